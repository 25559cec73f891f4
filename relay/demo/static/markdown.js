// Markdown that arrives in pieces, rendered at a cost in proportion to the text.
//
// The text is split at settled blocks: a block is settled once a later block has a complete first line, since nothing
// that follows can change it then. Settled blocks are put into the page once and never touched again; only the tail is
// lexed and drawn anew. A tail of one huge block is drawn anew only when it has grown by a part of itself, so that
// even an answer that is a single block costs O(n), not O(n²).

import { Marked } from "./vendor/marked/marked.esm.js";

const LARGE_TAIL = 8192; // characters; below this each frame draws the tail anew
const GROWTH = 1 / 8;
const FORMULA = /\$|\\[([]/;

const escape = (text) =>
  text.replace(/[&<>"']/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" })[c]);
const isWeb = (url) => /^(https?:|mailto:)/i.test(url);
const isOwn = (url) => /^\/(?!\/)/.test(url);

let ending = false; // whether the text being lexed is complete: then an open $$ is not a formula
let cited = new Map(); // source number -> address, of the answer being lexed

const displayMath = {
  name: "displayMath",
  level: "block",
  start: (src) => src.match(/\n(?:\$\$|\\\[)/)?.index,
  tokenizer(src) {
    const found = /^(?:\$\$([\s\S]*?)(?:\$\$|$(?![\s\S]))|\\\[([\s\S]*?)(?:\\\]|$(?![\s\S])))[ \t]*(?:\n|$)/.exec(src);
    if (!found) return undefined;
    const closed = /(?:\$\$|\\\])\s*$/.test(found[0].slice(2));
    if (!closed && ending) return undefined;
    return { type: "displayMath", raw: found[0], tex: (found[1] ?? found[2]).trim() };
  },
  renderer: (token) => `<p class="math display">${escape(token.tex)}</p>\n`,
};

const inlineMath = {
  name: "inlineMath",
  level: "inline",
  start: (src) => src.match(/\$|\\\(/)?.index,
  tokenizer(src) {
    const found = /^(?:\$(?![\s$])((?:\\.|[^\\$\n])*?(?:\\.|[^\s\\$]))\$(?!\d)|\\\((.+?)\\\))/.exec(src);
    return found ? { type: "inlineMath", raw: found[0], tex: found[1] ?? found[2] } : undefined;
  },
  renderer: (token) => `<span class="math">${escape(token.tex)}</span>`,
};

const citation = {
  name: "citation",
  level: "inline",
  start: (src) => src.match(/\[\d/)?.index,
  tokenizer(src) {
    const found = /^\[(\d{1,3})\](?![(\[])/.exec(src);
    const href = found && cited.get(Number(found[1]));
    return href ? { type: "citation", raw: found[0], number: found[1], href } : undefined;
  },
  renderer: (token) =>
    `<a class="cite" href="${escape(token.href)}" target="_blank" rel="noopener noreferrer">[${token.number}]</a>`,
};

const marked = new Marked({
  gfm: true,
  extensions: [displayMath, inlineMath, citation],
  renderer: {
    html({ text, block }) {
      if (/^<br\s*\/?>$/i.test(text)) return "<br>"; // the only way to break a line in a table
      return block ? `<p class="raw">${escape(text.trimEnd())}</p>\n` : escape(text);
    },
    link({ href, title, tokens }) {
      const inner = this.parser.parseInline(tokens);
      if (!isWeb(href) && !isOwn(href)) return inner;
      const hint = title ? ` title="${escape(title)}"` : "";
      return `<a href="${escape(href)}"${hint} target="_blank" rel="noopener noreferrer">${inner}</a>`;
    },
    image({ href, text }) {
      // The page's policy lets no foreign image in: those become links.
      if (isOwn(href)) return `<img src="${escape(href)}" alt="${escape(text)}">`;
      return isWeb(href) ? `<a href="${escape(href)}" target="_blank" rel="noopener noreferrer">${escape(text)}</a>` : escape(text);
    },
  },
});

let katex = null; // loaded with the first formula
let loading = null;

const plain = {
  render(tex, node, { displayMode }) {
    const mark = displayMode ? "$$" : "$";
    node.textContent = mark + tex + mark;
  },
};

function loadKatex() {
  loading ??= (async () => {
    const sheet = document.createElement("link");
    sheet.rel = "stylesheet";
    sheet.href = "/static/vendor/katex/katex.min.css";
    document.head.append(sheet);
    await import("./vendor/katex/katex.min.js"); // sets the global
    return globalThis.katex;
  })()
    .catch(() => plain)
    .then((found) => (katex = found));
  return loading;
}

export class MarkdownStream {
  constructor(root) {
    this.root = root;
    this.sources = new Map();
    this.tail = ""; // text of the blocks that are not settled
    this.incoming = []; // pieces that are not drawn yet
    this.incomingLength = 0;
    this.settled = null; // last node of the settled blocks
    this.links = {}; // link definitions of the settled blocks
    this.carriage = ""; // a line end that may be half of one
  }

  push(text) {
    this.incoming.push(text);
    this.incomingLength += text.length;
  }

  /** Draw what has arrived, unless the tail is large and has hardly grown. */
  draw() {
    if (!this.incomingLength) return;
    if (!katex && this.#mayHaveFormula()) {
      loadKatex().then(() => this.draw()); // what is drawn once stays as it is: no formula in a makeshift form
      return;
    }
    if (this.tail.length > LARGE_TAIL && this.incomingLength < this.tail.length * GROWTH) return;
    this.#take();
    this.#render(false);
  }

  /** Draw everything, formulas included. */
  async finish() {
    if (!katex && this.#mayHaveFormula()) await loadKatex();
    this.#take();
    this.tail += this.carriage;
    this.carriage = "";
    this.#render(true);
  }

  #mayHaveFormula() {
    return FORMULA.test(this.tail.slice(-1) + this.incoming.join(""));
  }

  #take() {
    let text = this.carriage + this.incoming.join("");
    this.incoming = [];
    this.incomingLength = 0;
    this.carriage = text.endsWith("\r") ? "\r" : "";
    if (this.carriage) text = text.slice(0, -1);
    this.tail += text.replace(/\r\n?/g, "\n");
  }

  #render(last) {
    ending = last;
    cited = this.sources;
    const lexer = new marked.Lexer(marked.defaults);
    Object.assign(lexer.tokens.links, this.links);
    const tokens = lexer.lex(this.tail);
    const cut = last ? tokens.length : settledCount(tokens);
    const settledLength = tokens.slice(0, cut).reduce((sum, token) => sum + token.raw.length, 0);
    const whole = tokens.reduce((sum, token) => sum + token.raw.length, 0) === this.tail.length;
    while (this.root.lastChild !== this.settled) this.root.lastChild.remove();
    if (cut && (whole || last)) {
      this.#append(tokens.slice(0, cut));
      this.settled = this.root.lastChild;
      this.links = { ...tokens.links };
      this.tail = this.tail.slice(settledLength);
      this.#append(tokens.slice(cut));
    } else {
      this.#append(tokens);
    }
  }

  #append(tokens) {
    if (!tokens.length) return;
    const template = document.createElement("template");
    template.innerHTML = marked.parser(tokens);
    for (const formula of template.content.querySelectorAll(".math")) {
      const displayMode = formula.classList.contains("display");
      // Nodes, not HTML: the page's policy forbids style attributes, not styles set by script.
      katex.render(formula.textContent, formula, { displayMode, throwOnError: false, strict: "ignore" });
    }
    this.root.append(template.content);
  }
}

/** How many of the tokens can no longer change. */
function settledCount(tokens) {
  const blocks = tokens.map((token, at) => at).filter((at) => tokens[at].type !== "space");
  if (blocks.length < 2) return 0;
  const lineIsComplete = tokens[blocks.at(-1)].raw.trimStart().includes("\n") || tokens.at(-1).type === "space";
  return lineIsComplete ? blocks.at(-1) : blocks.at(-2);
}
