import { Box } from "./editor.js";
import { Growing } from "./markdown.js";
import { element, names } from "./names.js";
import { Picker } from "./picker.js";
import { chat, claims, rpc, upload } from "./session.js";

const GUEST_CATALOG = {
  availableModels: [
    {
      id: "k2d6-chat",
      scenario: "SCENARIO_CHAT",
      displayName: "K2.6",
      reasoningEffortOptions: [],
      defaultReasoningEffort: "REASONING_EFFORT_NONE",
    },
  ],
  defaultScenario: { id: "k2d6-chat", scenario: "SCENARIO_CHAT", model: "k2d6-chat" },
};

class Page {
  constructor(root, layout) {
    this.css = names(layout);
    this.root = root;
    this.conversation = location.pathname.match(/^\/chat\/([\w-]+)$/)?.[1] ?? "";
    this.parent = "";
    this.files = [];
    this.running = null;
    this.draw(layout);
  }

  draw(layout) {
    const { css } = this;
    this.list = element("div", "chat-content-list");
    this.field = element("div", css.editor, { contentEditable: "true" });
    if (layout === "A") this.field.setAttribute("role", "textbox");
    this.send = element("div", `${css.send} ${css.disabled}`, { onclick: () => this.press() });
    this.icon("Send");
    this.attachments = element("div", "attachments");
    this.input = element("input", css.file, { type: "file", multiple: true, onchange: () => this.attach() });
    this.area = element("div", "user-area");
    this.bar = element("div", "chat-editor-action", {}, element("div", css.toolkit), this.input, this.send);
    this.root.replaceChildren(
      element(
        "aside",
        "sidebar",
        {},
        element("a", css.newChat, { href: "/?chat_enter_method=new_chat", textContent: "新建会话" }),
        this.area,
      ),
      element("main", "", {}, this.list, element("div", "chat-editor", {}, this.attachments, this.field, this.bar)),
    );
    this.box = new Box(this.field, () => this.update());
  }

  async start() {
    const user = await rpc("account.v1.UserService/GetCurrentUser", {}).catch(() => null);
    const { css } = this;
    this.area.replaceChildren(
      user
        ? element("div", css.account, {}, element("img", "", { src: user.user.avatar, alt: user.user.nickname }))
        : element("div", css.guest, { textContent: "登录" }),
    );
    const catalog = user ? await rpc("config.v1.ConfigService/GetAvailableModels", {}) : GUEST_CATALOG;
    this.picker = new Picker(css, catalog);
    this.bar.prepend(this.picker.node);
    if (this.conversation && user) await this.recall();
    this.update();
  }

  async recall() {
    const { messages } = await rpc("chat.v1.ChatService/ListMessages", { chatId: this.conversation, pageSize: 50 });
    this.parent = messages[0]?.id ?? "";
    for (const message of messages.reverse()) {
      const text = (kind) => message.blocks.map((block) => block[kind]?.content ?? "").join("");
      if (message.role === "user") {
        this.userTurn(text("text"));
      } else {
        const turn = this.answerTurn();
        if (text("think")) turn.part("think").add(text("think"));
        turn.part("text").add(text("text"));
      }
    }
  }

  icon(name) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("name", name);
    this.send.replaceChildren(svg);
  }

  update() {
    const { css, send } = this;
    const able = this.running || (this.picker && !this.uploading && (!this.box.empty || this.files.length));
    send.classList.toggle(css.disabled, !able);
    if (send.classList.contains(css.stop) !== Boolean(this.running)) {
      send.classList.toggle(css.stop, Boolean(this.running));
      this.icon(this.running ? "Stop" : "Send");
    }
  }

  press() {
    if (this.running) this.running.abort();
    else if (!this.send.classList.contains(this.css.disabled)) this.ask();
  }

  async attach() {
    const chosen = [...this.input.files];
    this.input.value = "";
    this.uploading = (this.uploading ?? 0) + 1;
    this.update();
    try {
      for (const file of chosen) {
        const card = element("div", "file-card", { textContent: file.name });
        card.dataset.status = "uploading";
        this.attachments.append(card);
        this.files.push(await upload(file));
        card.dataset.status = "done";
      }
    } finally {
      this.uploading -= 1;
      this.update();
    }
  }

  request(prompt) {
    const { scenario, kimiPlusId, agentMode } = this.picker.model;
    const blocks = this.files.map((id) => ({ message_id: "", file: { id, status: "PROCESS_STATUS_SUCCESS" } }));
    if (prompt) blocks.push({ message_id: "", text: { content: prompt } });
    return {
      chat_id: this.conversation,
      scenario,
      ...(kimiPlusId && { kimiplusId: kimiPlusId, agentMode }),
      tools: [{ type: "TOOL_TYPE_CRON_JOB" }],
      message: { parent_id: this.parent, role: "user", scenario, is_goal: false, blocks },
      options: this.picker.options,
      project_id: "",
    };
  }

  async ask() {
    const prompt = this.box.text;
    const request = this.request(prompt);
    this.running = new AbortController();
    this.box.clear();
    this.files = [];
    this.attachments.replaceChildren();
    this.update();
    this.userTurn(prompt);
    const turn = this.answerTurn();
    try {
      for await (const frame of chat(request, this.running.signal)) this.take(frame, turn);
    } catch (error) {
      if (error.name !== "AbortError") this.complain(error.message);
    } finally {
      this.running = null;
      turn.end();
      this.update();
    }
  }

  take(frame, turn) {
    if (frame.error) return this.complain(frame.error.message);
    const { mask, chat: about, message, block } = frame;
    if (mask === "chat") {
      this.conversation = about.id;
      history.replaceState(null, "", `/chat/${about.id}`);
    } else if (mask === "chat.name") document.title = about.name;
    else if (mask === "message" && message.role === "assistant") this.parent = message.id;
    else if (block?.think) turn.part("think").add(block.think.content);
    else if (block?.text) turn.part("text").add(block.text.content);
  }

  userTurn(text) {
    const content = element("div", "user-content", { textContent: text });
    this.list.append(element("div", `chat-content-item ${this.css.user}`, {}, content));
  }

  answerTurn() {
    const { css } = this;
    const content = element("div", "segment-content");
    const item = element("div", `chat-content-item ${css.assistant}`, {}, content);
    this.list.append(item);
    const parts = {};
    const add = (kind) => {
      const markdown = element("div", css.markdown);
      const thought = kind === "think";
      const container = element("div", css.container + (thought ? ` ${css.reasoning}` : ""), {}, markdown);
      content.append(thought ? element("div", css.rollup, {}, container) : container);
      return new Growing(markdown);
    };
    const buttons = element("div", "icon-button", { textContent: "复制" });
    return {
      part: (kind) => (parts[kind] ??= add(kind)),
      end() {
        for (const part of Object.values(parts)) part.render();
        item.append(element("div", css.actions, {}, buttons));
      },
    };
  }

  complain(text) {
    this.list.append(element("div", "chat-error", { textContent: text }));
  }
}

const token = claims() && localStorage.getItem("access_token");
const config = await window.fetch("/page-config", { headers: token ? { Authorization: `Bearer ${token}` } : {} });
const { layout, hydrateMs } = await config.json();
await new Promise((resolve) => setTimeout(resolve, hydrateMs));
await new Page(document.getElementById("app"), layout).start();
