// What a person sets before sending: two toggles, and on the empty page one of three modes.
import { element, mark } from "./names.js";

const MODES = ["default", "expert", "vision"];

export class Switches {
  constructor({ css, words, known }) {
    Object.assign(this, { css, words, known });
    this.on = { thinking: false, search: false };
    this.mode = "default";
    this.toggles = Object.fromEntries(Object.keys(this.on).map((name) => [name, this.toggle(name)]));
    this.radios = MODES.map((mode) => {
      const twice = [words[mode], words[mode]].map((textContent) => element("span", "", { textContent }));
      return mark(element("div", "", {}, ...twice), known, { role: "radio" });
    });
    this.modes = mark(element("div", "modes", {}, ...this.radios), known, { role: "radiogroup" });
    this.show();
  }

  toggle(name) {
    const node = element("div", this.css.toggle, { textContent: this.words[name] });
    return mark(node, this.known, { role: "button" });
  }

  // Clicks before this are lost.
  hydrate() {
    for (const [name, node] of Object.entries(this.toggles)) {
      node.onclick = () => this.set({ on: { ...this.on, [name]: !this.on[name] } });
    }
    this.radios.forEach((node, at) => (node.onclick = () => this.set({ mode: MODES[at] })));
  }

  set(changes) {
    Object.assign(this, changes);
    this.show();
  }

  show() {
    for (const [name, node] of Object.entries(this.toggles)) {
      mark(node, this.known, { "aria-pressed": String(this.on[name]) });
      node.classList.toggle(this.css.selected, this.on[name]);
    }
    this.radios.forEach((node, at) => mark(node, this.known, { "aria-checked": String(MODES[at] === this.mode) }));
  }
}
