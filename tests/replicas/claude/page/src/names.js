// What the elements are known by: layout A is the fact sheet's section 6, layout B is what no sheet knows.
const A = {
  input: { "data-testid": "chat-input", role: "textbox", "aria-label": "Write your prompt to Claude" },
  send: { "aria-label": "Send message" },
  stop: { "aria-label": "Stop response" },
  turn: { "data-test-render-count": "1" },
  bubble: { "data-user-message-bubble": "true" },
  user: { "data-testid": "user-message" },
  response: { class: "font-claude-response" },
  growing: { class: "progressive-markdown" },
  grown: { class: "standard-markdown" },
  newChat: { href: "/new", "aria-label": "New chat" },
  model: { "data-testid": "model-selector-dropdown" },
  item: { role: "menuitem" },
  toggle: { role: "menuitemcheckbox" },
  file: { "data-testid": "file-upload" },
  title: { "data-testid": "chat-title-button" },
  artifact: { class: "artifact-block-cell" },
  copy: { "data-testid": "action-bar-copy" },
  retry: { "data-testid": "action-bar-retry" },
  edit: { "aria-label": "Edit" },
  google: { "data-testid": "login-with-google" },
  code: { "data-testid": "code" },
};

const B = Object.fromEntries(
  Object.keys(A).map((role, index) => [role, { class: `c-${(index + 11).toString(36)}${role.length.toString(36)}y` }]),
);
B.newChat.href = "/?from=menu";

export const marks = (layout) => (layout === "B" ? B : A);

export function mark(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

// A function that makes elements: by their role where a layout names it, by a class of its own elsewhere.
export const maker = (layout) => {
  const known = marks(layout);
  return (tag, role, properties = {}, ...children) => {
    const made = mark(Object.assign(document.createElement(tag), properties), known[role] ?? { class: role });
    made.append(...children);
    return made;
  };
};
