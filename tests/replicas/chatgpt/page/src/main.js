import { Api } from "./api.js";
import { Box } from "./editor.js";
import { element, names } from "./names.js";
import { Picker, Tools } from "./picker.js";
import { asked, draft, userMessage, windowFacts } from "./request.js";
import { Following } from "./stream.js";
import { Turns } from "./turns.js";

const ROOT = "client-created-root";
const ANONYMOUS = [{ slug: "auto", title: "ChatGPT" }];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

class Page {
  constructor(root, layout, api) {
    const [, gizmo, conversation] = location.pathname.match(/^(?:\/g\/(g-(?:p-)?[0-9a-zA-Z]+)[\w-]*)?(?:\/c\/(.+))?/);
    Object.assign(this, { root, api, gizmo, conversation: conversation ?? "", parent: ROOT, files: [] });
    this.temporary = new URLSearchParams(location.search).get("temporary-chat") === "true";
    this.css = names(layout);
    this.turns = new Turns(this.css, api);
    this.tools = new Tools(this.css, () => this.inputs[1].click());
    this.draw();
    api.onLogout = () => {
      this.gone = true;
      this.account();
      this.update();
    };
  }

  draw() {
    const { css } = this;
    const onchange = ({ target }) => this.attach(target);
    this.box = new Box(css.input, { onChange: () => this.typed(), onEnter: () => this.ask() });
    this.inputs = [
      element("input", { ...css.photos, type: "file", accept: "image/*", multiple: "", onchange }),
      element("input", { ...css.files, type: "file", multiple: "", onchange }),
    ];
    this.cards = element("div", { class: "attachments" });
    this.bar = element("div", { class: "composer-bar" }, this.tools.node, ...this.inputs);
    const onsubmit = (event) => (event.preventDefault(), this.ask());
    const form = element("form", { ...css.form, onsubmit }, this.cards, this.box.node, this.bar);
    this.person = element("div");
    this.notices = element("div");
    const temporary = () => location.assign("/?temporary-chat=true");
    const fresh = element("a", { ...css.newChat, href: "/" }, "New chat");
    const header = element(
      "header",
      css.header,
      element("button", { ...css.temporary, onclick: temporary }, "Temporary"),
    );
    this.root.replaceChildren(
      element("aside", {}, fresh, this.person),
      element("main", {}, header, this.turns.node, this.notices, form),
    );
  }

  account() {
    const { user } = this.api;
    const login = () => element("button", { ...this.css.login, type: "button" }, "Log in");
    this.person.replaceChildren(user ? element("button", { ...this.css.profile, type: "button" }, user.name) : login());
  }

  async start() {
    const { api } = this;
    await api.refresh();
    this.account();
    let models = ANONYMOUS;
    if (api.user) {
      try {
        await api.json("POST", "/conversation/init", {});
        ({ models } = await api.json("GET", "/models?history_and_training_disabled=false"));
        if (this.conversation) await this.recall();
      } catch (error) {
        this.complain(error.message);
      }
    }
    this.picker = new Picker(this.css, models);
    this.bar.append(this.picker.node);
    this.update();
  }

  // An opened conversation; an answer that is still being written is followed to its end.
  async recall() {
    const path = `/conversation/${this.conversation}`;
    this.show(await this.api.json("GET", path));
    const { status } = await this.api.json("GET", `${path}/stream_status`);
    if (status !== "IS_STREAMING") return;
    await this.run(async (following, turn) => {
      following.conversation = this.conversation;
      following.token = sessionStorage.getItem(`resume:${this.conversation}`);
      this.turns.drop(turn.node.previousSibling, turn.node);
      return following.token ? following.resume() : following.poll();
    });
  }

  show({ title, current_node, mapping }) {
    document.title = title;
    const way = [];
    for (let node = mapping[current_node]; node; node = mapping[node.parent]) way.unshift(node);
    this.turns.clear();
    let turn = null;
    for (const { message, parent } of way) {
      if (!message) continue;
      if (message.author.role === "user") {
        turn?.end();
        this.userTurn(message, parent);
        turn = this.answerTurn(message, parent);
      } else {
        this.follow(message);
        turn?.show(message);
      }
    }
    turn?.end();
  }

  // The next prompt follows what was written last.
  follow({ id, author }) {
    if (author.role !== "system") this.parent = id;
  }

  userTurn(message, parent) {
    const text = message.content.parts.filter((part) => typeof part === "string").join("\n");
    const turn = this.turns.user(message.id, text, () => {
      this.edited = { turn, parent };
      this.box.text = text;
    });
  }

  answerTurn(message, parent) {
    return this.turns.answer(() => this.send("variant", message, parent));
  }

  typed() {
    this.update();
    if (this.picker && this.box.text) this.prepare().catch(() => {}); // the send tries again and says what is wrong
  }

  update() {
    const { css, running } = this;
    const able = this.picker && !this.gone && !this.uploading && (this.box.text || this.files.length);
    const wanted = running ? "stop" : able ? "send" : "";
    if (this.button?.dataset.kind === wanted) return;
    this.button?.remove();
    this.button = null;
    if (!wanted) return;
    const marks = running
      ? { ...css.stop, type: "button", onclick: () => this.stop() }
      : { ...css.send, type: "submit" };
    this.button = element("button", { ...marks, "data-kind": wanted }, running ? "■" : "↑");
    this.bar.append(this.button);
  }

  async attach(input) {
    const chosen = [...input.files];
    input.value = "";
    this.uploading = (this.uploading ?? 0) + 1;
    this.update();
    try {
      for (const file of chosen) {
        const card = element("div", { class: "file-card", "data-status": "uploading" }, file.name);
        this.cards.append(card);
        this.files.push(await this.api.upload(file, file.type.startsWith("image/")));
        card.dataset.status = "done";
      }
    } catch (error) {
      this.complain(error.message);
    } finally {
      this.uploading -= 1;
      this.update();
    }
  }

  place(parent) {
    return {
      parent_message_id: parent,
      ...(this.conversation && { conversation_id: this.conversation }),
      ...this.picker.options,
      timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
      timezone_offset_min: new Date().getTimezoneOffset(),
      conversation_mode: this.gizmo
        ? { kind: "gizmo_interaction", gizmo_id: this.gizmo }
        : { kind: "primary_assistant" },
      system_hints: this.tools.hints,
      supports_buffering: true,
      supported_encodings: ["v1"],
      ...(this.temporary && { history_and_training_disabled: true }),
    };
  }

  // While the user types: the conduit token for this place, once.
  prepare(parent = this.parent) {
    const key = `${this.api.base} ${this.conversation} ${parent}`;
    if (this.conduit?.key !== key) {
      const body = {
        action: "next",
        fork_from_shared_post: false,
        ...this.place(parent),
        client_prepare_state: "none",
        partial_query: draft(this.box.text),
        client_contextual_info: { app_name: "chatgpt.com" },
      };
      const token = this.api.json("POST", "/f/conversation/prepare", body).then((told) => told.conduit_token);
      this.conduit = { key, token };
      token.catch(() => (this.conduit = null));
    }
    return this.conduit.token;
  }

  async ask() {
    if (this.running || this.button?.dataset.kind !== "send") return;
    const message = userMessage(this.box.text, this.files);
    if (this.edited) {
      this.parent = this.edited.parent;
      this.turns.drop(this.edited.turn);
      this.edited = null;
    }
    this.box.text = "";
    this.files = [];
    this.cards.replaceChildren();
    this.userTurn(message, this.parent);
    await this.send("next", message, this.parent);
  }

  send(action, message, parent) {
    return this.run(async (following, turn) => {
      turn.regenerate = () => this.send("variant", message, parent);
      const conduit = await this.prepare(parent);
      const proofs = await this.api.sentinel(this.tools.hint === "picture_v2");
      const body = {
        action,
        messages: [asked(message)],
        ...this.place(parent),
        client_prepare_state: "success",
        enable_message_followups: true,
        paragen_cot_summary_display_override: "allow",
        force_parallel_switch: "auto",
        client_contextual_info: windowFacts(),
      };
      const answer = await this.api.call("POST", "/f/conversation", {
        body,
        headers: { ...proofs, "X-Conduit-Token": conduit, "x-oai-turn-trace-id": crypto.randomUUID() },
        accept: "text/event-stream",
        signal: following.signal,
      });
      if (!answer.headers.get("content-type")?.startsWith("text/event-stream")) throw new Error("no answer came");
      return following.all(answer);
    });
  }

  // One answer from its first event to its last; `begin` says where the events come from.
  async run(begin) {
    const abort = new AbortController();
    const following = new Following(this.api, abort.signal);
    const turn = this.turns.answer(() => {});
    Object.assign(this, { running: { abort, following }, painting: false });
    this.notices.replaceChildren();
    this.update();
    try {
      for await (const event of await begin(following, turn)) this.take(event, turn);
      if (this.painting) await this.wait(following);
    } catch (error) {
      if (error.name !== "AbortError") this.complain(error.message);
    } finally {
      this.running = null;
      turn.end();
      this.update();
    }
  }

  take(event, turn) {
    const { message, type } = event;
    if (message) {
      this.follow(message);
      turn.show(message);
    } else if (event.waiting) this.notices.replaceChildren(element("div", this.css.status, event.waiting));
    else if (event.readBack) {
      this.notices.replaceChildren();
      turn.node.remove();
      this.show(event.readBack);
    } else if (type === "resume_conversation_token") this.settle(event.conversation_id);
    else if (type === "title_generation") document.title = event.title;
    else if (type === "conversation_async_status") this.painting = true;
    else if (type === "moderation" && event.moderation_response.blocked) {
      turn.retract("This content may violate our usage policies.");
    }
  }

  settle(conversation) {
    if (this.conversation) return;
    this.conversation = conversation;
    const custom = this.gizmo ? `/g/${this.gizmo}` : "";
    if (!this.temporary) history.replaceState(null, "", `${custom}/c/${conversation}`);
  }

  // Pictures that are made apart from the answer come with a later read of the conversation.
  async wait({ signal, conversation }) {
    for (;;) {
      signal.throwIfAborted();
      const told = await this.api.json("GET", `/conversation/${conversation}`);
      if (told.mapping[told.current_node].message.content.content_type === "multimodal_text") return this.show(told);
      await pause(300);
    }
  }

  async stop() {
    const { abort, following } = this.running;
    try {
      if (following.conversation) {
        const body = { conversation_id: following.conversation, exclude_async_types: [] };
        await this.api.json("POST", "/stop_conversation", body);
      }
    } finally {
      abort.abort();
    }
  }

  complain(text) {
    this.notices.replaceChildren(element("div", this.css.alert, text));
  }
}

const api = new Api();
const { layout, hydrateMs } = await (await window.fetch("/page-config")).json();
await pause(hydrateMs);
await new Page(document.getElementById("app"), layout, api).start();
