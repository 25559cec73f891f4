import { Box } from "./box.js";
import { element, mark, names } from "./names.js";
import { Challenged, Refusal, get, headers, leave, post, stream, token, upload } from "./session.js";
import { Switches } from "./switches.js";
import { Telling } from "./telling.js";
import { Answer, List, question } from "./turns.js";

class Page {
  constructor(root, { layout, inputCharacterLimit }) {
    this.names = names(layout);
    this.limit = inputCharacterLimit;
    this.root = root;
    this.files = [];
    this.uploading = 0;
    this.running = null;
    this.draw();
  }

  draw() {
    const { css, words, known } = this.names;
    this.list = new List(css);
    this.box = new Box(this.names);
    this.switches = new Switches(this.names);
    this.newChat = element("a", css.newChat, { href: "/", textContent: words.newChat });
    this.send = mark(element("div", `${css.button} ${css.send} ${css.disabled}`), known, { role: "button" });
    this.icon("M8 14V2M2 8l6-6 6 6");
    this.input = element("input", "", { type: "file", multiple: true });
    this.attachments = element("div", "attachments");
    this.toasts = element("div", css.toasts);
    const bar = element("div", "bar", {}, ...Object.values(this.switches.toggles), this.input, this.send);
    this.editor = element("div", "editor", {}, this.attachments, this.box.node, bar);
    this.root.replaceChildren(
      element("aside", "", {}, this.newChat),
      element("main", "", {}, this.list.node, this.switches.modes, this.editor),
      this.toasts,
    );
  }

  async hydrate() {
    const id = location.pathname.match(/\/chat\/s\/([\w-]+)$/)?.[1];
    if (id) await this.recall(id);
    else this.prepare();
    this.box.hydrate(
      () => this.update(),
      () => this.enter(),
    );
    this.switches.hydrate();
    this.send.onclick = () => this.press();
    this.input.onchange = () => this.attach();
    this.newChat.onclick = (event) => {
      event.preventDefault();
      this.begin();
    };
    this.update();
  }

  // The site makes the next conversation's session ahead.
  prepare() {
    this.parent = null;
    const made = post("chat_session/create", {}).then(({ chat_session, id }) => chat_session?.id ?? id);
    this.session = made;
    made.catch(() => this.session === made && (this.session = null)); // made when it is needed
  }

  begin() {
    this.running?.abort();
    history.pushState(null, "", "/");
    this.list.clear();
    this.switches.set({ on: { ...this.switches.on, thinking: false }, mode: "default" });
    this.prepare();
    this.update();
  }

  async recall(id) {
    try {
      const { chat_session, chat_messages } = await get(`chat/history_messages?chat_session_id=${id}`);
      this.session = Promise.resolve(id);
      this.switches.set({ mode: chat_session.model_type ?? "default" });
      document.title = chat_session.title ?? "DeepSeek";
      const way = [];
      for (let at = chat_messages.at(-1); at; at = chat_messages.find((each) => each.message_id === at.parent_id)) {
        way.unshift(at);
      }
      for (const message of way) this.remember(message);
    } catch (error) {
      this.complain(error);
      history.replaceState(null, "", "/");
      this.prepare();
    }
  }

  remember(message) {
    if (message.role === "USER") {
      this.list.add(question(this.names, message.fragments[0].content));
      return;
    }
    const answer = new Answer(this.names);
    this.list.add(answer.node);
    this.parent = message.message_id;
    answer.show(message);
    this.close(answer, message);
  }

  icon(path) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const shape = document.createElementNS("http://www.w3.org/2000/svg", path ? "path" : "rect");
    svg.setAttribute("viewBox", "0 0 16 16");
    if (path) shape.setAttribute("d", path);
    else for (const side of ["width", "height"]) shape.setAttribute(side, "10");
    svg.append(shape);
    this.send.replaceChildren(svg);
  }

  update() {
    const { css } = this.names;
    this.send.classList.toggle(css.disabled, !this.running && (this.box.empty || this.uploading > 0));
    const stopping = this.send.querySelector("rect") !== null;
    if (stopping !== Boolean(this.running)) this.icon(this.running ? "" : "M8 14V2M2 8l6-6 6 6");
    if (this.list.items.length) this.switches.modes.remove();
    else this.editor.before(this.switches.modes);
  }

  press() {
    if (this.running) this.stop();
    else this.enter();
  }

  enter() {
    if (this.running) this.toast("有消息正在生成");
    else if (!this.box.empty && !this.uploading) this.ask();
  }

  async attach() {
    const chosen = [...this.input.files];
    this.input.value = "";
    this.uploading += 1;
    this.update();
    try {
      for (const file of chosen) {
        const picture = file.type.startsWith("image/");
        const card = picture
          ? element("img", "", { src: URL.createObjectURL(file), alt: file.name })
          : element("div", "file-card", { textContent: file.name });
        card.dataset.status = "uploading";
        this.attachments.append(card);
        try {
          this.files.push(await upload(file, picture ? "vision" : "default", this.switches.on.thinking));
          card.dataset.status = "done";
        } catch (error) {
          card.remove();
          this.complain(error);
        }
      }
    } finally {
      this.uploading -= 1;
      this.update();
    }
  }

  async ask() {
    const prompt = this.box.text;
    if (prompt.length > this.limit) {
      this.toast(`内容超长约 ${Math.round((prompt.length / this.limit - 1) * 100)}%，请删减后再试`);
      return;
    }
    const asked = question(this.names, prompt);
    const answer = new Answer(this.names);
    const request = {
      parent_message_id: this.parent,
      model_type: this.switches.mode,
      prompt,
      ref_file_ids: this.files,
      thinking_enabled: this.switches.on.thinking,
      search_enabled: this.switches.on.search,
      action: null,
      preempt: false,
    };
    this.box.text = "";
    this.files = [];
    this.attachments.replaceChildren();
    this.list.add(asked);
    this.list.add(answer.node);
    const taken = await this.follow(answer, "chat/completion", request);
    if (!taken) for (const item of [asked, answer.node]) this.list.drop(item);
    this.update();
  }

  // Runs an answer to its end; false when the site has refused the request.
  async follow(answer, path, request) {
    const running = (this.running = new AbortController());
    const telling = new Telling();
    const { signal } = running;
    let refused = false;
    this.update();
    try {
      if (!this.session) this.prepare();
      const id = await this.session;
      const take = (event, data) => {
        if (event === "ready") this.ready(running, id, data);
        else if (event === "title") document.title = data.content;
        else if (event === "message") {
          telling.take(data);
          if (telling.message) answer.show(telling.message);
        }
      };
      await stream(path, { chat_session_id: id, ...request }, signal, take);
      this.close(answer, telling.message, signal.aborted);
    } catch (error) {
      refused = !signal.aborted && !running.stop && (error instanceof Refusal || error instanceof Challenged);
      if (signal.aborted) this.close(answer, telling.message, true);
      else {
        this.complain(error);
        answer.note(error.message);
      }
    }
    if (this.running === running) {
      if (!running.stop && !refused) await this.resync();
      this.running = null;
      this.update();
    }
    return !refused;
  }

  ready(running, id, { response_message_id }) {
    running.stop = { chat_session_id: id, message_id: response_message_id };
    this.parent = response_message_id;
    history.replaceState(null, "", `/a/chat/s/${id}`);
  }

  // An answer broke off before it told its ids: ask what the site has kept.
  async resync() {
    try {
      const { chat_messages } = await get(`chat/history_messages?chat_session_id=${await this.session}`);
      this.parent = chat_messages.findLast(({ role }) => role === "ASSISTANT")?.message_id ?? null;
    } catch (error) {
      this.complain(error);
    }
  }

  close(answer, message, stopped = false) {
    const { css, words, known } = this.names;
    if (message?.status === "CONTEXT_LENGTH_EXCEEDED") {
      answer.note("达到对话长度上限，请开启新对话");
    } else if (message?.status === "INCOMPLETE" && !stopped) {
      const proceed = element("div", css.button, { textContent: words.proceed, onclick: () => this.proceed(answer, message) });
      answer.note(mark(proceed, known, { role: "button" }));
    } else if (stopped || ["FINISHED", "CONTENT_FILTER"].includes(message?.status)) {
      answer.end({ 重新生成: () => message && this.again(answer, message) });
    } else {
      answer.note("服务器繁忙，请稍后重试");
    }
  }

  proceed(answer, message) {
    if (this.running) return;
    answer.clear();
    this.follow(answer, "chat/continue", { message_id: message.message_id, fallback_to_resume: true });
  }

  again(answer, message) {
    if (this.running || message.ban_regenerate) return;
    answer.clear();
    answer.note();
    const { thinking, search } = this.switches.on;
    const request = { child_message_id: message.message_id, thinking_enabled: thinking, search_enabled: search };
    this.follow(answer, "chat/regenerate", request);
  }

  stop() {
    const { running } = this;
    running.abort();
    if (running.stop) post("chat/stop_stream", running.stop).catch((error) => this.complain(error));
  }

  complain(error) {
    if (error instanceof Challenged) challenge(this.root);
    else this.toast(error instanceof Refusal ? error.message : "服务器繁忙，请稍后重试");
  }

  toast(text) {
    const { css, known } = this.names;
    const note = mark(element("div", css.toast, { textContent: text }), known, { role: "alert" });
    this.toasts.append(note);
    setTimeout(() => note.remove(), 10_000);
  }
}

function challenge(root) {
  const note = element("p", "", { textContent: "正在进行安全验证…" });
  root.replaceChildren(element("div", "", { id: "challenge-container" }, note));
}

function wall(root) {
  root.replaceChildren(
    element(
      "div",
      "ds-sign-in-form",
      {},
      element("div", "ds-tab", { textContent: "密码登录" }),
      element("input", "ds-input", { type: "text", placeholder: "请输入手机号/邮箱地址" }),
      element("input", "ds-input", { type: "password", placeholder: "请输入密码" }),
      element("div", "ds-button", { textContent: "登录" }),
    ),
  );
}

async function start(root) {
  if (location.pathname === "/sign_in") return wall(root);
  if (!token()) return leave();
  try {
    const [config] = await Promise.all([
      window.fetch("/page-config", { headers: headers() }).then((answer) => answer.json()),
      get("users/current"),
    ]);
    localStorage.setItem(
      "__ds_remote_feature_store_model",
      JSON.stringify({ input_character_limit: config.inputCharacterLimit }),
    );
    const page = new Page(root, config);
    await new Promise((resolve) => setTimeout(resolve, config.hydrateMs));
    await page.hydrate();
  } catch (error) {
    if (error instanceof Challenged) challenge(root);
    else if (error instanceof Refusal) root.textContent = error.message;
    else throw error;
  }
}

await start(document.getElementById("app"));
