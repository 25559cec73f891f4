// The conversation on the page: turns, and a list that keeps only the newest of them in the document.
import { Growing } from "../../../kimi/page/src/markdown.js";
import { element, mark } from "./names.js";

// The renderer's buttons, as this site marks its own.
class Written extends Growing {
  put(tokens) {
    const made = super.put(tokens);
    for (const button of this.target.querySelectorAll(".icon-button:not([role])")) button.setAttribute("role", "button");
    return made;
  }
}

const KEPT = 10;

export class List {
  constructor(css) {
    this.items = [];
    this.visible = element("div", css.visible);
    this.node = element("div", css.list, { onwheel: ({ deltaY }) => deltaY < 0 && this.look() }, this.visible);
  }

  add(item) {
    this.items.push(item);
    this.visible.append(item);
    while (this.visible.childElementCount > KEPT) this.visible.firstElementChild.remove();
    this.node.scrollTop = this.node.scrollHeight;
  }

  drop(item) {
    this.items.splice(this.items.indexOf(item), 1);
    item.remove();
  }

  // Who scrolls up at the top sees the turns before.
  look() {
    const first = this.items.indexOf(this.visible.firstElementChild);
    if (this.node.scrollTop === 0 && first > 0) this.visible.prepend(...this.items.slice(Math.max(0, first - KEPT), first));
  }

  clear() {
    this.items = [];
    this.visible.replaceChildren();
  }
}

export function question({ css }, text) {
  const bubble = element("div", css.message, {}, element("div", "fbb737a4", { textContent: text }));
  return element("div", css.item, {}, bubble);
}

// One answer: shows a message of the site as far as it is told.
export class Answer {
  constructor(names) {
    this.names = names;
    const { css } = names;
    this.body = element("div", css.message);
    this.below = element("div", css.below);
    this.node = element("div", css.item, {}, this.body, this.below);
    this.clear();
  }

  clear() {
    this.parts = new Map();
    this.pages = [];
    this.main = null;
    this.body.replaceChildren();
  }

  show(message) {
    const ids = message.fragments.map(({ id }) => id);
    if ([...this.parts.keys()].some((id) => !ids.includes(id))) this.clear(); // taken back
    this.pages = message.fragments.flatMap(({ results }) => results ?? []);
    for (const fragment of message.fragments) {
      if (!this.parts.has(fragment.id)) this.parts.set(fragment.id, this.part(fragment.type));
      this.parts.get(fragment.id)(fragment);
    }
  }

  part(type) {
    if (type.startsWith("THINK")) return this.thought();
    if (type === "RESPONSE" || type === "TEMPLATE_RESPONSE") return this.words();
    const { css } = this.names;
    const note = element("div", type === "TIP" ? css.tip : css.search);
    if (type === "TIP" || !this.main) this.body.append(note);
    else this.main.before(note);
    return ({ content, hide_on_wip, status }) => {
      note.textContent = content ?? (status === "WIP" ? "正在搜索…" : "浏览网页");
      if (hide_on_wip) this.tip = note;
    };
  }

  thought() {
    const { css } = this.names;
    const title = element("div", "", { textContent: "正在思考…" });
    const text = element("div", css.markdown);
    const node = element("div", css.think, {}, title, text);
    if (this.main) this.main.before(node);
    else this.body.append(node);
    const growing = grown(text);
    return ({ content, elapsed_secs }) => {
      growing(content);
      if (elapsed_secs != null) title.textContent = `已思考（用时 ${Math.round(elapsed_secs)} 秒）`;
    };
  }

  words() {
    const { css } = this.names;
    if (!this.main) {
      this.main = element("div", `${css.main} ${css.markdown}`);
      this.body.append(this.main);
      this.growing = new Written(this.main);
    }
    let size = 0;
    const { growing } = this;
    return ({ content }) => {
      if (content.length > size) growing.add(this.linked(content.slice(size)));
      size = content.length;
    };
  }

  linked(text) {
    const cited = (number) => {
      const page = this.pages[number];
      return page ? `[${number + 1}](${page.url})` : "";
    };
    return text
      .replace(/\[reference:(\d+)\]/g, (_, number) => cited(Number(number)))
      .replace(/\[citation:(\d+)\]/g, (_, number) => cited(Number(number) - 1));
  }

  // The row under an answer that is over: five buttons, each of three elements.
  end(actions) {
    const { css, known } = this.names;
    this.growing?.render();
    const buttons = ["复制", "重新生成", "喜欢", "不喜欢", "分享"].map((label) => {
      const inner = [element("div", css.buttonGround), element("div", css.buttonIcon)];
      return mark(element("div", css.button, { title: label, onclick: actions[label] ?? null }, ...inner), known, {
        role: "button",
      });
    });
    this.below.replaceChildren(...buttons);
  }

  note(...content) {
    this.growing?.render();
    this.below.replaceChildren(...content);
  }
}

function grown(target) {
  const growing = new Written(target);
  let size = 0;
  return (text) => {
    if (text.length > size) growing.add(text.slice(size));
    size = text.length;
  };
}
