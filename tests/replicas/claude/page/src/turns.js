// The turns of a conversation: what the user said, and the blocks of each answer.
import { Growing } from "./markdown.js";
import { mark, marks } from "./names.js";

export function userTurn(make, { text, files }, onEdit) {
  const said = make("div", "user", { textContent: text });
  const names = files.map((name) => make("div", "file-name", { textContent: name }));
  const button = make("button", "edit", { type: "button", textContent: "Edit" });
  const node = make("div", "turn", {}, make("div", "bubble", {}, ...names, said), button);
  button.onclick = () => {
    const field = make("textarea", "edit-field", { value: text });
    const save = make("button", "edit-save", { type: "button", textContent: "Save" });
    save.onclick = () => onEdit(field.value);
    node.replaceChildren(field, save);
  };
  return node;
}

export class AnswerTurn {
  constructor(make, layout) {
    Object.assign(this, { make, layout, blocks: [] });
    this.response = make("div", "response");
    this.streamed = make("div", "answer", {}, this.response);
    this.node = make("div", "turn", {}, this.streamed);
    this.streaming(true);
  }

  streaming(yes) {
    this.streamed.setAttribute(this.layout === "B" ? "data-live" : "data-is-streaming", String(yes));
  }

  // A block begins; what it holds already is shown.
  begin(block) {
    const started = { block, input: "" };
    this.blocks.push(started);
    if (block.type === "text") {
      started.node = this.make("div", "growing");
      this.response.append(started.node);
      this.write(started, block.text);
    } else if (block.type === "thinking") {
      started.node = this.thought();
      this.write(started, block.thinking);
    } else if (block.type === "tool_use") {
      const artifact = block.name === "artifacts";
      started.node = this.make("div", artifact ? "artifact" : "tool-cell", { textContent: block.message ?? block.name });
      if (artifact && block.input.title) started.node.textContent = block.input.title;
      this.response.append(started.node);
    }
  }

  // The collapsible part before the text.
  thought() {
    const body = this.make("div", "thought-body", { hidden: true });
    const button = this.make("button", "thought-head", { type: "button", textContent: "Thought process" });
    button.setAttribute("aria-expanded", "false");
    button.onclick = () => {
      body.hidden = !body.hidden;
      button.setAttribute("aria-expanded", String(!body.hidden));
    };
    this.response.append(this.make("div", "thought", {}, button, body));
    return body;
  }

  write(started, text) {
    if (!text) return;
    started.growing ??= new Growing(started.node);
    started.growing.add(text);
  }

  delta(delta) {
    const started = this.blocks.at(-1);
    switch (delta.type) {
      case "text_delta":
        return this.write(started, delta.text);
      case "thinking_delta":
        return this.write(started, delta.thinking);
      case "citation_end_delta":
        return this.write(started, ` [${delta.citation.title}](${delta.citation.url})`);
      case "tool_use_block_update_delta":
        started.node.textContent = delta.message;
        return;
      case "input_json_delta":
        started.input += delta.partial_json;
    }
  }

  close() {
    const { block, input, node } = this.blocks.at(-1);
    if (block.name === "artifacts" && block.type === "tool_use" && input) node.textContent = JSON.parse(input).title;
  }

  // The answer is over; `onRetry` makes it again.
  end(onRetry) {
    for (const { block, node, growing } of this.blocks) {
      growing?.render();
      if (block.type !== "text") continue;
      node.removeAttribute("class");
      mark(node, marks(this.layout).grown);
    }
    this.streaming(false);
    const copy = this.make("button", "copy", { type: "button", textContent: "Copy" });
    const retry = this.make("button", "retry", { type: "button", textContent: "Retry", onclick: onRetry });
    this.node.append(this.make("div", "action-bar", {}, copy, retry));
  }
}
