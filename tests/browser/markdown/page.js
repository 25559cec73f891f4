// The page of a make-believe chat site: renders a growing Markdown source the ways that real ones do.
const renderMath = (tex, displayMode) => katex.renderToString(tex, { displayMode, throwOnError: false });
marked.use({
  gfm: true,
  extensions: [
    {
      name: "displayMath", level: "block", start: (src) => src.match(/\$\$\n/)?.index,
      tokenizer(src) {
        const match = /^\$\$\n([\s\S]+?)\n\$\$(?:\n|$)/.exec(src);
        return match && { type: "displayMath", raw: match[0], text: match[1] };
      },
      renderer: (token) => `<p>${renderMath(token.text, true)}</p>\n`,
    },
    {
      name: "inlineMath", level: "inline", start: (src) => src.match(/\$/)?.index,
      tokenizer(src) {
        const match = /^\$(?![\s$])([^$\n]+?)(?<!\s)\$(?!\d)/.exec(src);
        return match && { type: "inlineMath", raw: match[0], text: match[1] };
      },
      renderer: (token) => renderMath(token.text, false),
    },
  ],
  renderer: {
    code({ text, lang }) {
      const escape = (s) => s.replace(/&/g, "&amp;").replace(/</g, "&lt;");
      const language = (lang || "").match(/^\S*/)[0];
      const code = `<pre><code${language ? ` class="language-${escape(language)}"` : ""}>${escape(text)}\n</code></pre>`;
      return chat.bars ? `<div class="code"><div class="bar"><span>${escape(language)}</span><button>Copy</button></div>${code}</div>` : code;
    },
  },
});

const chat = {
  bars: false,
  eager: false, // a report after each piece, however fast they come
  mode: "incremental", // or "replace": innerHTML of everything each time
  source: "",
  kept: [], // [raw, nodes] of the tokens on the page
  get answer() { return document.querySelector("#answer"); },
  html: (source) => marked.parse(source),
  start({ mode = "incremental", wrapped = false, bars = false, eager = false } = {}) {
    Object.assign(chat, { mode, bars, eager, source: "", kept: [] });
    document.body.innerHTML = '<h1>Chat</h1><div id="answer"></div><button>Send</button>';
    document.body.hidden = true; // no layout: the observer needs none
    chat.answer.innerHTML = wrapped ? '<div class="outer"><div class="markdown"></div></div>' : "";
    chat.place = chat.answer.querySelector(".markdown") || chat.answer;
  },
  grow(more) {
    chat.source += more;
    if (chat.mode === "replace") chat.place.innerHTML = marked.parse(chat.source);
    else chat.patch();
  },
  // Lex again from the last two tokens on (a list may take up what came after it), replace what differs.
  patch() {
    let keep = Math.max(0, chat.kept.length - 3);
    const start = chat.kept.slice(0, keep).reduce((n, [raw]) => n + raw.length, 0);
    const tail = marked.lexer(chat.source.slice(start));
    let at = 0;
    while (at < tail.length && chat.kept[keep]?.[0] === tail[at].raw) { keep++; at++; }
    for (const [, nodes] of chat.kept.splice(keep)) for (const node of nodes) node.remove();
    for (const token of tail.slice(at)) {
      const template = document.createElement("template");
      template.innerHTML = marked.parser(Object.assign([token], { links: {} }));
      const nodes = [...template.content.childNodes];
      chat.place.append(...nodes);
      chat.kept.push([token.raw, nodes]);
    }
  },
  // Every piece in its own task, so that the observer sees each state or several at once, as it comes.
  async play(pieces) {
    for (const piece of pieces) {
      chat.grow(piece);
      if (chat.eager) watch.flush();
      await new Promise((done) => { const c = new MessageChannel(); c.port1.onmessage = done; c.port2.postMessage(0); });
    }
  },
};
