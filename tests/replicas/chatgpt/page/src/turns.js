// What the conversation shows: prompts, answers as Markdown with citation pills, pictures.
import { Marked, Renderer } from "marked";
import katex from "marked-katex-extension";
import { Growing } from "../../../kimi/page/src/markdown.js";
import { element } from "./names.js";

const MARK = /\ue200[^\ue201]*(\ue201|$)/g;
const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const marked = new Marked(katex({ throwOnError: false, nonStandard: true }), {
  renderer: {
    html: ({ text }) => escaped(text),
    code: ({ text, lang }) => `<pre><code class="language-${escaped(lang ?? "")}">${escaped(text)}\n</code></pre>`,
    text(token) {
      // What a mark stands for comes later, if ever; until then its place is empty.
      const pill = (mark) => `<span class="reference" data-mark="${mark.slice(1, -1)}"></span>`;
      return Renderer.prototype.text.call(this, token).replace(MARK, (mark, end) => (end ? pill(mark) : ""));
    },
  },
});

// The Markdown of Kimi's page, with this site's blocks and its references.
class Cited extends Growing {
  constructor(target, pill) {
    super(target);
    this.pill = pill;
    this.references = new Map();
  }

  put(tokens) {
    const made = document.createElement("template");
    made.innerHTML = marked.parser(tokens);
    const nodes = [...made.content.childNodes];
    this.fill(made.content);
    this.target.append(...nodes);
    return nodes;
  }

  refer(references) {
    for (const { matched_text, items } of references) this.references.set(matched_text.slice(1, -1), items[0]);
    this.fill(this.target);
  }

  fill(root) {
    for (const place of root.querySelectorAll(".reference:empty")) {
      const item = this.references.get(place.dataset.mark);
      if (item) place.append(element("span", this.pill, element("a", { href: item.url, rel: "noopener" }, item.title)));
    }
  }
}

export class Turns {
  constructor(css, api) {
    this.css = css;
    this.api = api;
    this.node = element("div", { class: "thread" });
    this.clear();
  }

  clear() {
    this.node.replaceChildren();
    this.number = 0;
  }

  // A turn and all that follow it, up to `end`.
  drop(turn, end = null) {
    while (turn && turn !== end) {
      const next = turn.nextSibling;
      turn.remove();
      turn = next;
      this.number -= 1;
    }
  }

  open(role, ...children) {
    this.number += 1;
    const turn = element("section", this.css.turn(role, this.number), ...children);
    this.node.append(turn);
    return turn;
  }

  user(id, text, edit) {
    const said = element("div", this.css.said("user", id), element("div", { class: "whitespace-pre-wrap" }, text));
    return this.open("user", said, element("button", { ...this.css.edit, type: "button", onclick: edit }, "Edit"));
  }

  answer(regenerate) {
    return new AnswerTurn(this, regenerate);
  }
}

class AnswerTurn {
  constructor(turns, regenerate) {
    Object.assign(this, { turns, regenerate, css: turns.css, pictures: new Set() });
    this.node = turns.open("assistant");
  }

  show(message) {
    const { author, content, channel, metadata } = message;
    if (metadata?.is_visually_hidden_from_conversation) return;
    if (content.content_type === "thoughts") this.think("Thinking");
    else if (content.content_type === "reasoning_recap") this.think(content.content);
    else if (content.content_type === "system_error") throw new Error(content.text);
    else if (author.role === "assistant" && channel === "final") this.write(message);
    else if (author.role === "tool") for (const part of content.parts ?? []) this.draw(part);
  }

  think(text) {
    this.thought ??= this.node.appendChild(element("button", { type: "button" }));
    this.thought.textContent = text;
  }

  write({ id, content, metadata }) {
    const text = content.parts.join("");
    if (!this.markdown || !text.startsWith(this.text)) {
      this.said?.remove();
      const body = element("div", this.css.markdown);
      this.said = element(
        "div",
        { ...this.css.said("assistant", id), ...this.css.model(metadata.model_slug ?? "") },
        body,
      );
      this.node.append(this.said);
      this.markdown = new Cited(body, this.css.pill);
      this.text = "";
    }
    if (text.length > this.text.length) this.markdown.add(text.slice(this.text.length));
    this.text = text;
    this.markdown.refer(metadata.content_references ?? []);
  }

  draw(part) {
    const id = part.asset_pointer?.split("://")[1];
    if (part.content_type !== "image_asset_pointer" || this.pictures.has(id)) return;
    this.pictures.add(id);
    const image = element("img", this.css.picture());
    this.node.append(element("div", this.css.image(id), image));
    this.turns.api.json("GET", `/files/download/${id}`).then(({ download_url }) => (image.src = download_url));
  }

  retract(text) {
    this.said?.remove();
    this.markdown = null;
    this.node.append(element("div", this.css.alert, text));
  }

  end() {
    this.markdown?.render();
    const { copy, regenerate } = this.css;
    const again = () => {
      this.turns.drop(this.node);
      this.regenerate();
    };
    this.node.append(
      element("button", { ...copy, type: "button" }, "Copy"),
      element("button", { ...regenerate, type: "button", onclick: again }, "Try again"),
    );
  }
}
