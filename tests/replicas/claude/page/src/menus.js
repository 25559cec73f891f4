// The menus beside the box: which model, and which tools.
class Menu {
  constructor(make, role, properties) {
    this.make = make;
    this.button = make("button", role, { type: "button", onclick: () => this.toggle(), ...properties });
    this.node = make("div", "menu-anchor", {}, this.button);
  }

  toggle() {
    if (this.menu) {
      this.menu.remove();
      this.menu = null;
      return;
    }
    this.menu = this.make("div", "menu", {}, ...this.items());
    this.node.append(this.menu);
  }
}

export class ModelMenu extends Menu {
  constructor(make, models) {
    super(make, "model");
    this.models = models;
    this.choose(models[0]);
  }

  choose(model) {
    this.model = model;
    this.button.textContent = model.name;
    if (this.menu) this.toggle();
  }

  items() {
    return this.models.map((model) =>
      this.make("div", "item", { textContent: model.name, onclick: () => this.choose(model) }),
    );
  }
}

export class ToolMenu extends Menu {
  constructor(make) {
    super(make, "tools-button", { textContent: "Search and tools" });
    this.on = { search: false, thinking: false };
  }

  items() {
    const names = { search: "Web search", thinking: "Extended thinking" };
    return Object.entries(names).map(([tool, name]) => {
      const item = this.make("div", "toggle", { textContent: name });
      const show = () => item.setAttribute("aria-checked", String(this.on[tool]));
      item.onclick = () => ((this.on[tool] = !this.on[tool]), show());
      show();
      return item;
    });
  }
}
