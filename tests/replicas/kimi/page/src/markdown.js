// Renders a growing Markdown text: blocks that can no longer change stay, only the last one is made again.
import { Marked, Renderer } from "marked";
import katex from "marked-katex-extension";

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const marked = new Marked(katex({ throwOnError: false, nonStandard: true }), {
  renderer: {
    html: ({ text }) => escaped(text),
    code({ text, lang }) {
      const name = escaped(lang ?? "");
      return (
        `<div class="segment-code"><div class="segment-code-header"><span>${name}</span>` +
        `<div class="icon-button">复制</div></div><pre><code class="language-${name}">${escaped(text)}</code></pre></div>`
      );
    },
    table(token) {
      const actions = '<div class="table-actions"><div class="icon-button">下载</div></div>';
      return `<div class="table markdown-table">${actions}${Renderer.prototype.table.call(this, token)}</div>`;
    },
  },
});

export class Growing {
  constructor(target) {
    this.target = target;
    this.tail = "";
    this.open = [];
    this.waiting = null;
    this.pause = 0;
  }

  add(text) {
    this.tail += text;
    this.waiting ??= this.frame();
  }

  // Once per painted frame; a hidden page paints none, so a timer stands in. A slow block is made less often.
  frame() {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, Math.max(100, this.pause));
      if (!this.pause) requestAnimationFrame(() => (clearTimeout(timer), resolve()));
    }).then(() => this.waiting && this.render());
  }

  render() {
    this.waiting = null;
    const start = performance.now();
    const tokens = marked.lexer(this.tail);
    const last = tokens.findLastIndex((token) => token.type !== "space");
    const closed = tokens.slice(0, Math.max(0, last));
    for (const node of this.open) node.remove();
    this.put(closed);
    this.tail = this.tail.slice(closed.reduce((size, token) => size + token.raw.length, 0));
    this.open = this.put(tokens.slice(Math.max(0, last)));
    const cost = performance.now() - start;
    this.pause = cost > 30 ? cost * 5 : 0;
  }

  put(tokens) {
    const made = document.createElement("template");
    made.innerHTML = marked.parser(tokens);
    const nodes = [...made.content.childNodes];
    this.target.append(...nodes);
    return nodes;
  }
}
