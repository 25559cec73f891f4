// Renders a growing Markdown text as Kimi's page does, with Claude's own elements.
import { Marked } from "marked";
import katex from "marked-katex-extension";
import { Growing as Base } from "../../../kimi/page/src/markdown.js";

const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const marked = new Marked(katex({ throwOnError: false, nonStandard: true }), {
  renderer: {
    html: ({ text }) => escaped(text),
    code: ({ text, lang }) => `<pre><code class="language-${escaped(lang ?? "")}">${escaped(text)}</code></pre>`,
  },
});

export class Growing extends Base {
  put(tokens) {
    const made = document.createElement("template");
    made.innerHTML = marked.parser(tokens);
    const nodes = [...made.content.childNodes];
    this.target.append(...nodes);
    return nodes;
  }
}
