// The elements' marks: layout A is the fact sheet's section 6, layout B is what no sheet knows.
const A = {
  form: { "data-type": "unified-composer" },
  input: { id: "prompt-textarea" },
  send: { "data-testid": "send-button", "aria-label": "Send prompt" },
  stop: { "data-testid": "stop-button", "aria-label": "Stop streaming" },
  attach: { "aria-label": "Add files and more" },
  photos: { "data-testid": "upload-photos-input" },
  files: { id: "upload-files" },
  newChat: { "data-testid": "create-new-chat-button" },
  header: { id: "conversation-header-actions" },
  temporary: { "aria-label": "Turn on temporary chat" },
  login: { "data-testid": "login-button" },
  profile: { "data-testid": "accounts-profile-button" },
  trigger: { "data-animated-slider-trigger": "" },
  picker: { "data-testid": "composer-intelligence-picker-content", role: "menu" },
  radio: { role: "menuitemradio" },
  submenu: { role: "menuitem", "data-has-submenu": "" },
  menu: { role: "menu" },
  entry: { role: "menuitem" },
  markdown: { class: "markdown prose" },
  copy: { "data-testid": "copy-turn-action-button", "aria-label": "Copy" },
  regenerate: { "data-testid": "regenerate-turn-action-button", "aria-label": "Try again" },
  edit: { "data-testid": "edit-turn-action-button", "aria-label": "Edit message" },
  pill: { "data-testid": "webpage-citation-pill" },
  alert: { role: "alert" },
  status: { role: "status" },
};

const B = Object.fromEntries(
  Object.keys(A).map((role, index) => [role, { "data-k": `${(index + 11).toString(36)}${role.length.toString(36)}x` }]),
);

// What depends on a message has its own rule: who wrote it, its number, its id.
const message = {
  A: {
    turn: (role, number) => ({ "data-testid": `conversation-turn-${number}`, "data-turn": role }),
    said: (role, id) => ({ "data-message-author-role": role, "data-message-id": id }),
    model: (slug) => ({ "data-message-model-slug": slug }),
    image: (id) => ({ id: `image-${id}`, class: "group/imagegen-image" }),
    picture: () => ({ alt: "Generated image" }),
  },
  B: {
    turn: (role, number) => ({ "data-k": `t${number}${role.length}` }),
    said: (role) => ({ "data-k": `w${role.length}` }),
    model: () => ({}),
    image: () => ({ "data-k": "im" }),
    picture: () => ({ "data-k": "pc" }),
  },
};

export const names = (layout) => ({ ...(layout === "B" ? B : A), ...message[layout] });

export function element(tag, marks = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(marks)) {
    if (typeof value === "function") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
