// The elements' class names and words: layout A is the fact sheet's section 6, layout B is what no sheet knows.
const CLASSES = {
  box: "_27c9245",
  send: "ds-button--primary",
  disabled: "ds-button--disabled",
  button: "ds-button",
  buttonIcon: "ds-button__icon",
  buttonGround: "ds-button__background",
  toggle: "ds-toggle-button",
  selected: "ds-toggle-button--selected",
  list: "ds-virtual-list",
  visible: "ds-virtual-list-visible-items",
  item: "_9663006",
  message: "ds-message",
  main: "ds-assistant-message-main-content",
  markdown: "ds-markdown",
  think: "_74c0879",
  search: "_58a6d71",
  tip: "_0fcaa63",
  below: "ds-flex",
  toasts: "ds-notification-container",
  toast: "ds-toast",
  newChat: "_5a8ac7a",
};

const WORDS = {
  placeholder: "给 DeepSeek 发送消息",
  thinking: "深度思考",
  search: "智能搜索",
  default: "快速模式",
  expert: "专家模式",
  vision: "识图模式",
  newChat: "新对话",
  proceed: "继续生成",
};

const A = { css: CLASSES, words: WORDS, known: true };
const B = {
  css: Object.fromEntries(
    Object.keys(CLASSES).map((role, index) => [role, `z${(index + 40).toString(36)}-${role.length.toString(36)}q`]),
  ),
  words: {
    placeholder: "写点什么",
    thinking: "慢想",
    search: "查网",
    default: "甲",
    expert: "乙",
    vision: "丙",
    newChat: "另起",
    proceed: "接着写",
  },
  known: false,
};

export const names = (layout) => (layout === "B" ? B : A);

export function element(tag, classes = "", properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  if (classes) made.className = classes;
  made.append(...children);
  return made;
}

// Roles and states are what a sheet can name, so layout B goes without.
export function mark(node, known, attributes) {
  if (known) for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
