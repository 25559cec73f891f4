// The model picker: click the entry to open and to close, hover an effort row for its options.
import { element } from "./names.js";

export class Picker {
  constructor(css, catalog) {
    this.css = css;
    this.models = catalog.availableModels;
    const { scenario, model } = catalog.defaultScenario;
    this.model = this.models.find((each) => each.id === model && each.scenario === scenario);
    this.effort = this.model.defaultReasoningEffort;
    this.entry = element("div", css.model, { onclick: () => this.toggle() });
    this.node = element("div", "model-picker", {}, this.entry);
    this.show();
  }

  get options() {
    const thinking = this.effort !== "REASONING_EFFORT_NONE";
    return { thinking, enable_plugin: true, reasoning_effort: this.effort, model: this.model.id };
  }

  show() {
    const option = this.model.reasoningEffortOptions.find(({ effort }) => effort === this.effort);
    const name = element("span", this.css.name, { textContent: this.model.displayName });
    this.entry.replaceChildren(name, element("span", this.css.effort, { textContent: option?.displayName ?? "" }));
  }

  toggle() {
    if (this.menu) {
      this.menu.remove();
      this.menu = null;
      return;
    }
    this.menu = element("div", "models-container");
    for (const model of this.models) {
      const choose = () => this.choose(model, model.defaultReasoningEffort);
      const name = element("span", this.css.name, { textContent: model.displayName });
      this.menu.append(element("div", this.css.modelItem, { onclick: choose }, name));
    }
    this.menu.append(this.efforts());
    this.node.append(this.menu);
  }

  efforts() {
    const options = element("div", "effort-options", { hidden: true });
    for (const { effort, displayName } of this.model.reasoningEffortOptions) {
      const name = element("span", this.css.effortName, { textContent: displayName });
      options.append(
        element("div", this.css.effortOption, { onclick: () => this.choose(this.model, effort) }, name),
      );
    }
    const row = element("div", this.css.effortItem, { textContent: "Thinking" }, options);
    row.onmouseenter = () => (options.hidden = false);
    row.onmouseleave = () => (options.hidden = true);
    return row;
  }

  choose(model, effort) {
    Object.assign(this, { model, effort });
    this.show();
    this.toggle();
  }
}
