import { Box } from "./editor.js";
import { ModelMenu, ToolMenu } from "./menus.js";
import { maker, marks } from "./names.js";
import { ROOT, Site } from "./site.js";
import { AnswerTurn, userTurn } from "./turns.js";

const STYLES = [{ type: "default", key: "Default", name: "Normal", isDefault: true }];

class Page {
  constructor(root, config, site) {
    Object.assign(this, { root, config, site, make: maker(config.layout) });
    const [, kind, uuid] = location.pathname.match(/^\/(chat|project)\/([\w-]+)$/) ?? [];
    this.known = kind === "chat";
    this.conversation = this.known ? uuid : crypto.randomUUID();
    this.project = kind === "project" ? uuid : "";
    this.turns = []; // { node, uuid, parent } of each message on the branch that is shown; an answer's uuid comes late
    this.files = [];
    this.pastes = [];
    this.uploading = 0;
    this.running = null;
  }

  get parent() {
    return this.turns.findLast((turn) => turn.answers && turn.uuid)?.uuid ?? ROOT;
  }

  async start() {
    this.models = new ModelMenu(this.make, await this.site.models());
    this.tools = new ToolMenu(this.make);
    this.draw();
    if (this.known) await this.recall();
    this.ready = true;
    this.update();
  }

  draw() {
    const { make, config } = this;
    this.list = make("div", "conversation");
    this.field = make("div", "field");
    this.chips = make("div", "chips");
    this.slot = make("div", "send-slot");
    this.send = make("button", "send", { type: "button", textContent: "↑", onclick: () => this.press() });
    this.stop = make("button", "stop", { type: "button", textContent: "■", onclick: () => this.halt() });
    this.input = make("input", "file", { type: "file", multiple: true, hidden: true, onchange: () => this.attach() });
    this.name = make("button", "title", { type: "button" });
    this.ghost = make("input", "incognito", { type: "checkbox", title: "Incognito chat" });
    const bar = make("div", "bar", {}, this.tools.node, this.models.node, this.input, this.slot);
    this.root.replaceChildren(
      make("nav", "sidebar", {}, make("a", "newChat", { textContent: "New chat" })),
      make("main", "page", {}, this.name, this.ghost, this.list, make("fieldset", "box", {}, this.chips, this.field, bar)),
    );
    this.box = new Box(this.field, marks(config.layout).input, {
      onChange: () => this.update(),
      onSend: () => this.press(),
      onPaste: (text) => this.pasted(text),
    });
    // The editor names itself: not in a layout that no sheet knows.
    if (config.layout === "B") this.box.view.dom.classList.remove("ProseMirror");
  }

  async recall() {
    const { name, current_leaf_message_uuid: leaf, chat_messages } = await this.site.recall(this.conversation);
    this.named(name);
    const byUuid = Object.fromEntries(chat_messages.map((message) => [message.uuid, message]));
    const branch = [];
    for (let message = byUuid[leaf]; message; message = byUuid[message.parent_message_uuid]) branch.unshift(message);
    for (const message of branch) {
      if (message.sender === "human") {
        const files = [...message.files_v2, ...message.attachments].map((file) => file.file_name);
        this.showQuestion(message.uuid, message.parent_message_uuid, message.content[0].text, files);
      } else {
        const answer = this.showAnswer(message.parent_message_uuid);
        this.turns.at(-1).uuid = message.uuid;
        for (const block of message.content) answer.begin(block);
        answer.end(() => this.retry(message.parent_message_uuid));
      }
    }
  }

  named(name) {
    this.name.textContent = name;
    document.title = name ? `${name} - Claude` : "Claude";
  }

  update() {
    if (!this.ready) return;
    const wanted = this.running ? this.stop : this.send;
    if (this.slot.firstChild !== wanted) this.slot.replaceChildren(wanted);
    const something = this.box.text.trim() || this.files.length || this.pastes.length;
    this.send.disabled = Boolean(this.uploading || !something);
  }

  chip(name) {
    const chip = this.make("div", "chip", { textContent: name });
    this.chips.append(chip);
    return chip;
  }

  pasted(text) {
    if (text.length < this.config.pasteChars) return false;
    const file_size = new TextEncoder().encode(text).length;
    this.pastes.push({ file_name: "paste.txt", file_type: "txt", file_size, extracted_content: text });
    this.chip("paste.txt").dataset.status = "done";
    this.update();
    return true;
  }

  async attach() {
    const chosen = [...this.input.files];
    this.input.value = "";
    this.uploading += 1;
    this.update();
    try {
      for (const file of chosen) {
        const chip = this.chip(file.name);
        chip.dataset.status = "uploading";
        const { file_uuid, file_name } = await this.site.upload(this.conversation, file);
        this.files.push({ uuid: file_uuid, name: file_name });
        chip.dataset.status = "done";
      }
    } catch (error) {
      this.complain(error.message);
    } finally {
      this.uploading -= 1;
      this.update();
    }
  }

  press() {
    if (this.running || this.send.disabled) return;
    const [files, attachments] = [this.files, this.pastes];
    const prompt = this.box.text;
    this.files = [];
    this.pastes = [];
    this.chips.replaceChildren();
    this.box.clear();
    this.ask(prompt, this.parent, files, attachments);
  }

  halt() {
    this.running?.abort();
    this.site.stop(this.conversation).catch(() => {}); // the answer may have ended in the meantime
  }

  request(prompt, parent, ids) {
    const { search, thinking } = this.tools.on;
    const tools = [
      ...(search ? [{ type: "web_search_v0", name: "web_search" }] : []),
      { type: "artifacts_v0", name: "artifacts" },
      { type: "repl_v0", name: "repl" },
    ];
    return {
      prompt,
      parent_message_uuid: parent,
      turn_message_uuids: ids,
      model: this.models.model.model,
      timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
      locale: /^[a-z]{2}-[A-Z]{2}$/.test(navigator.language) ? navigator.language : "en-US",
      rendering_mode: "messages",
      attachments: [],
      files: [],
      sync_sources: [],
      personalized_styles: STYLES,
      tools,
      thinking_mode: thinking ? "extended" : "off",
      completion_request_id: crypto.randomUUID(),
    };
  }

  // What makes the conversation: a request of its own for a project, a part of the first completion elsewhere.
  async creation() {
    if (this.known) return {};
    const made = {
      name: "",
      model: this.models.model.model,
      include_conversation_preferences: true,
      paprika_mode: null,
      is_temporary: this.ghost.checked,
    };
    if (!this.project) {
      const more = { compass_mode: null, enabled_imagine: true, tool_search_mode: "auto" };
      return { create_conversation_params: { ...made, ...more } };
    }
    await this.site.create({ uuid: this.conversation, project_uuid: this.project, ...made });
    this.known = true;
    return {};
  }

  async ask(prompt, parent, files, attachments) {
    const ids = { human_message_uuid: crypto.randomUUID(), assistant_message_uuid: crypto.randomUUID() };
    const names = [...files.map(({ name }) => name), ...attachments.map(({ file_name }) => file_name)];
    this.showQuestion(ids.human_message_uuid, parent, prompt, names);
    const first = !this.known;
    await this.run(ids.human_message_uuid, async () => {
      const body = { ...this.request(prompt, parent, ids), ...(await this.creation()) };
      Object.assign(body, { files: files.map(({ uuid }) => uuid), attachments });
      return this.site.complete(this.conversation, "completion", body, this.running.signal);
    });
    if (!first || !this.known) return;
    const message = prompt || attachments[0]?.extracted_content.slice(0, 200) || "Files";
    await this.site.title(this.conversation, message).then(
      ({ title }) => this.named(title),
      () => {}, // it does without
    );
  }

  async retry(question) {
    if (this.running) return;
    this.cutBack(this.turns.findIndex((turn) => turn.uuid === question) + 1);
    const ids = { human_message_uuid: crypto.randomUUID(), assistant_message_uuid: crypto.randomUUID() };
    const body = this.request("", question, ids);
    await this.run(question, async () =>
      this.site.complete(this.conversation, "retry_completion", body, this.running.signal),
    );
  }

  edit(turn, text) {
    if (this.running) return;
    this.cutBack(this.turns.indexOf(turn));
    this.ask(text, turn.parent, [], []);
  }

  cutBack(count) {
    for (const { node } of this.turns.splice(count)) node.remove();
  }

  async run(question, begin) {
    this.running = new AbortController();
    this.update();
    const answer = this.showAnswer(question);
    try {
      for await (const event of await begin()) this.take(event, answer);
    } catch (error) {
      if (error.loggedOut) location.replace("/login");
      else if (error.name !== "AbortError") this.complain(error.message);
    } finally {
      this.running = null;
      answer.end(() => this.retry(question));
      this.update();
    }
  }

  take(event, answer) {
    switch (event.type) {
      case "message_start":
        this.known = true;
        history.replaceState(null, "", `/chat/${this.conversation}`);
        this.turns.at(-1).uuid = event.message.uuid;
        break;
      case "content_block_start":
        answer.begin(event.content_block);
        break;
      case "content_block_delta":
        answer.delta(event.delta);
        break;
      case "content_block_stop":
        answer.close();
        break;
      case "message_limit":
        if (event.message_limit.type === "exceeded_limit") this.complain("You are out of messages");
        break;
      case "error":
        this.complain(event.error.message);
    }
  }

  showQuestion(uuid, parent, text, files) {
    const turn = { uuid, parent };
    turn.node = userTurn(this.make, { text, files }, (edited) => this.edit(turn, edited));
    this.turns.push(turn);
    this.list.append(turn.node);
  }

  showAnswer(question) {
    const answer = new AnswerTurn(this.make, this.config.layout);
    this.turns.push({ node: answer.node, uuid: "", parent: question, answers: true });
    this.list.append(answer.node);
    return answer;
  }

  complain(text) {
    const alert = this.make("div", "banner", { textContent: text });
    alert.setAttribute("role", "alert");
    this.list.append(alert);
  }
}

function login(root, make) {
  const google = make("button", "google", { type: "button", textContent: "Continue with Google" });
  const email = make("input", "email", { type: "email", placeholder: "Enter your email" });
  const code = make("input", "code", { inputMode: "numeric", placeholder: "Enter verification code" });
  root.replaceChildren(make("main", "login", {}, make("h1", "login-title", { textContent: "Claude" }), google, email, code));
}

async function open(root) {
  const config = await (await window.fetch("/page-config")).json();
  await new Promise((resolve) => setTimeout(resolve, config.hydrateMs));
  const site = await Site.open();
  if (location.pathname === "/login") {
    if (site) location.replace("/new");
    else login(root, maker(config.layout));
  } else if (site) await new Page(root, config, site).start();
  else location.replace(`/login?returnTo=${encodeURIComponent(location.pathname)}`);
}

const root = document.getElementById("root");
await open(root).catch((error) => root.replaceChildren(`Claude is not available: ${error.message}`));
