// The prompt box: a plain textarea. In layout B it is no textarea, because a sheet names nothing else of it.
import { element } from "./names.js";

export class Box {
  constructor({ css, words, known }) {
    this.words = words;
    this.held = "";
    this.plain = known;
    this.node = known
      ? element("textarea", css.box, { rows: 2 })
      : element("div", css.box, { contentEditable: "plaintext-only" });
  }

  // Until now it took letters that nobody kept.
  hydrate(onInput, onEnter) {
    if (this.plain) this.node.placeholder = this.words.placeholder;
    else this.node.dataset.hint = this.words.placeholder;
    this.text = "";
    this.node.oninput = () => {
      this.held = this.plain ? this.node.value : this.node.innerText;
      onInput();
    };
    this.node.onkeydown = (event) => {
      // As on the site, the key's own effect is not prevented: a typed Enter leaves a line break in the box.
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) onEnter();
    };
  }

  // What the page knows: a value that was set without an input event is not part of it.
  get text() {
    return this.held;
  }

  set text(value) {
    this.held = value;
    if (this.plain) this.node.value = value;
    else this.node.textContent = value;
  }

  get empty() {
    return this.held.trim() === "";
  }
}
