// The elements' class names: layout A is the fact sheet's section 6, layout B is what no sheet knows.
const A = {
  editor: "chat-input-editor",
  send: "send-button-container",
  disabled: "disabled",
  stop: "stop",
  user: "chat-content-item-user",
  assistant: "chat-content-item-assistant",
  container: "markdown-container",
  markdown: "markdown",
  reasoning: "toolcall-content-text",
  rollup: "toolcall-rollup",
  actions: "segment-assistant-actions",
  account: "user-area__main",
  guest: "not-login-container",
  file: "hidden-input",
  toolkit: "toolkit-trigger-btn",
  newChat: "new-chat-btn",
  model: "current-model",
  name: "name",
  effort: "current-effort",
  modelItem: "model-item",
  effortItem: "effort-item",
  effortOption: "effort-option",
  effortName: "effort-name",
};

const B = Object.fromEntries(
  Object.keys(A).map((role, index) => [role, `k-${(index + 11).toString(36)}${role.length.toString(36)}x`]),
);

export const names = (layout) => (layout === "B" ? B : A);

export function element(tag, classes = "", properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  if (classes) made.className = classes;
  made.append(...children);
  return made;
}
