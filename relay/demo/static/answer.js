// One answer in the page. Events change plain fields; the page is touched once per frame, for all of them together.

import { MarkdownStream } from "./markdown.js";

const FRAME_MS = 40; // at most 25 drawings a second
const SHARE = 3; // and three times as long without drawing as the last one took
const HIDDEN_MS = 200; // a page that is not painted gets no animation frames: then this clock draws

const waiting = new Set();
let scheduled = false;
let drawnAt = 0;
let costMs = 0;

function schedule(view) {
  waiting.add(view);
  if (scheduled) return;
  scheduled = true;
  let fallback = 0;
  const draw = () => {
    if (!scheduled) return;
    clearTimeout(fallback);
    scheduled = false;
    drawnAt = performance.now();
    const views = [...waiting];
    waiting.clear();
    for (const each of views) each.draw();
    // The next task runs after layout and paint, which are most of the cost.
    setTimeout(() => (costMs = performance.now() - drawnAt));
  };
  const wait = Math.max(0, Math.max(FRAME_MS, SHARE * costMs) - (performance.now() - drawnAt));
  setTimeout(() => requestAnimationFrame(draw), wait);
  fallback = setTimeout(draw, wait + HIDDEN_MS);
}

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export class AnswerView {
  constructor(log) {
    this.root = element("article", "turn assistant");
    this.root.dataset.state = "streaming";
    this.answer = element("div", "answer");
    this.markdown = element("div", "markdown");
    this.answer.append(this.markdown);
    this.root.append(this.answer);
    this.stream = new MarkdownStream(this.markdown);
    this.thoughts = [];
    this.conversation = null;
    this.message = null;
    this.ended = false;
    log.append(this.root);
  }

  apply(events) {
    for (const event of events) this.#event(event);
    schedule(this);
  }

  #event(event) {
    switch (event.type) {
      case "start":
        this.conversation = event.conversation;
        this.message = event.message;
        this.root.dataset.messageId = event.message;
        break;
      case "reasoning":
        this.thoughts.push(event.text);
        break;
      case "text":
        this.stream.push(event.text);
        break;
      case "search":
        this.root.insertBefore(element("p", "search", event.query), this.answer);
        break;
      case "sources":
        this.#sources(event.items);
        break;
      case "media":
        this.#media(event);
        break;
      case "end":
        this.ended = true;
        this.root.dataset.finish = event.reason;
        this.root.dataset.state = event.stopped ? "stopped" : "done";
        break;
      case "error":
        this.ended = true;
        this.fail(event.code, event.message);
        break;
    }
  }

  draw() {
    if (this.thoughts.length) {
      this.reasoning ??= this.#openReasoning();
      this.reasoning.appendData(this.thoughts.join(""));
      this.thoughts = [];
    }
    this.stream.draw();
  }

  fail(code, message) {
    const error = element("p", "error", message);
    error.dataset.code = code;
    error.setAttribute("role", "alert");
    this.root.append(error);
    this.root.dataset.state = "error";
    if (!this.message) this.answer.remove();
  }

  async finish() {
    this.draw();
    await this.stream.finish();
  }

  #openReasoning() {
    const details = element("details", "reasoning");
    details.open = true;
    const text = element("div", "reasoning-text", "");
    const node = document.createTextNode("");
    text.append(node);
    details.append(element("summary", "", "Reasoning"), text);
    this.root.prepend(details);
    return node;
  }

  #sources(items) {
    const list = element("ol", "sources");
    for (const { url, title, snippet, index } of items) {
      this.stream.sources.set(index, url);
      const item = element("li");
      item.value = index;
      const link = element("a", "source", title);
      link.href = url;
      link.target = "_blank";
      link.rel = "noopener noreferrer";
      item.append(link, " ", element("span", "snippet", snippet));
      list.append(item);
    }
    this.root.append(list);
  }

  #media({ kind, url, name }) {
    const box = element("div", "media");
    const shown = element(kind === "image" ? "img" : "a", "", kind === "image" ? undefined : name);
    if (kind === "image") {
      shown.src = url;
      shown.alt = name;
    } else {
      shown.href = url;
      shown.download = name;
    }
    box.append(shown);
    this.answer.after(box);
  }
}
