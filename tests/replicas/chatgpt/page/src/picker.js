// The "intelligence" picker and the "+" menu: both open by a click on their button and close by a choice.
import { element } from "./names.js";

const EFFORTS = { Instant: null, Medium: "standard", High: "extended" };
const TOOLS = { "Web search": "search", "Create image": "picture_v2", "Think longer": "reason" };

class Menu {
  constructor(marks, label, build) {
    this.button = element("button", { type: "button", onclick: () => this.toggle() }, label);
    this.node = element("span", { class: "menu-place" }, this.button);
    Object.assign(this, { marks, build, open: null });
  }

  toggle() {
    this.open?.remove();
    this.open = this.open ? null : element("div", this.marks, ...this.build());
    if (this.open) this.node.append(this.open);
  }
}

export class Picker extends Menu {
  constructor(css, models) {
    super(css.picker, "", () => this.items());
    this.css = css;
    this.models = models;
    this.model = models[0].slug;
    this.effort = null;
    this.show();
  }

  get options() {
    return { model: this.model, ...(this.effort && { thinking_effort: this.effort }) };
  }

  show() {
    const { title } = this.models.find(({ slug }) => slug === this.model);
    this.button.replaceChildren(element("span", this.css.trigger, this.effort ? `${title} ${this.effort}` : title));
  }

  items() {
    const thinker = this.models.find(({ slug }) => slug.endsWith("-thinking"))?.slug;
    const efforts = Object.entries(EFFORTS).filter(([, effort]) => !effort || thinker);
    const models = this.models.map(({ slug, title }) =>
      this.radio(title, slug === this.model, () => this.choose(slug, null)),
    );
    const levels = ["standard", "extended"].map((effort) =>
      this.radio(effort, effort === this.effort, () => this.choose(this.model, effort)),
    );
    return [
      ...efforts.map(([name, effort]) =>
        this.radio(name, false, () => this.choose(effort ? thinker : this.models[0].slug, effort)),
      ),
      this.submenu("Model", models),
      this.submenu("Effort", levels),
    ];
  }

  radio(text, checked, onclick) {
    return element("div", { ...this.css.radio, "aria-checked": String(checked), onclick }, text);
  }

  submenu(text, items) {
    const inner = element("div", { ...this.css.menu, hidden: "" }, ...items);
    const onclick = ({ target }) => {
      if (!inner.contains(target)) inner.hidden = !inner.hidden;
    };
    return element("div", { ...this.css.submenu, onclick }, text, inner);
  }

  choose(model, effort) {
    Object.assign(this, { model, effort });
    this.show();
    this.toggle();
  }
}

export class Tools extends Menu {
  constructor(css, attach) {
    super(css.menu, "+", () => this.items());
    for (const [name, value] of Object.entries(css.attach)) this.button.setAttribute(name, value);
    Object.assign(this, { css, attach, hint: null });
  }

  get hints() {
    return this.hint ? [this.hint] : [];
  }

  items() {
    const radios = Object.entries(TOOLS).map(([name, hint]) => {
      const onclick = () => ((this.hint = this.hint === hint ? null : hint), this.toggle());
      return element("div", { ...this.css.radio, "aria-checked": String(hint === this.hint), onclick }, name);
    });
    const attach = () => (this.toggle(), this.attach());
    return [element("div", { ...this.css.entry, onclick: attach }, "Add photos & files"), ...radios];
  }
}
