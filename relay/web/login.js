// The viewer of a remote login: pictures of the page come in, what is done here goes out (relay/api/remote.py).
const by = id => document.getElementById(id);
const [picture, typing, stage] = ["picture", "typing", "stage"].map(by);
const pen = picture.getContext("2d");
const SENTINEL = " "; // gives an on-screen keyboard something to delete
const [ALT, CTRL, META, SHIFT] = [1, 2, 4, 8];
const IS_MAC = /Mac|iPhone|iPad/.test(navigator.platform);
const MAX_FILES_BYTES = 16 * 1024 * 1024;
const TEXT_PIECE = 10_000;
const OWN_KEYS = new Set(["F5", "F11", "F12"]);
const OWN_CTRL_KEYS = new Set(["r", "t", "w", "n", "l", "+", "-", "0", "Tab"]);
const REFUSED = 1008;

// The connection

let socket = null, over = false, waits = [], retries = 0;
let page = { width: 1, height: 1 }; // the page in CSS pixels, as in the newest picture

const send = gesture => {
  const text = JSON.stringify(gesture);
  if (socket?.readyState === WebSocket.OPEN) socket.send(text);
  else if (gesture.kind === "files") waits.push(text); // a telephone's camera hides this page, which ends the connection
};

const connect = () => {
  if (socket || over || document.hidden) return;
  const address = new URL(`${location.pathname.replace(/\/$/, "")}/view`, location);
  address.protocol = address.protocol.replace("http", "ws");
  const mine = socket = new WebSocket(address);
  mine.binaryType = "arraybuffer";
  mine.onopen = () => {
    retries = 0;
    size = "";
    tellSize();
    waits.splice(0).forEach(text => mine.send(text));
  };
  mine.onmessage = ({ data }) => typeof data === "string" ? hear(JSON.parse(data)) : see(data);
  mine.onclose = ({ code, reason }) => {
    if (socket === mine) socket = null;
    if (over) return;
    if (code === REFUSED) end("ended", reason);
    else void reconnect();
  };
};

const reconnect = async () => {
  if (document.hidden) return;
  show("connecting", "Connecting again…");
  await new Promise(resolve => setTimeout(resolve, Math.min(5000, 300 * 2 ** retries++)));
  try {
    const answer = await fetch(location.href, { cache: "no-store" });
    if (!answer.ok) {
      const why = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("why");
      if (why) return end("ended", why.textContent);
    }
  } catch { /* the server is not there: try again */ }
  connect();
};

document.addEventListener("visibilitychange", () => {
  if (document.hidden) socket?.close();
  else connect();
});

// What is shown

const show = (state, text) => {
  document.body.dataset.state = state;
  by("status").textContent = text;
};

const end = (state, why) => {
  over = true;
  show(state, state === "live" ? `Logged in${why ? ` as ${why}` : ""}. You may close this page.` : `The login has ended: ${why || "no reason was given."}`);
  for (const id of ["chooser", "dialog", "notice"]) by(id).hidden = true;
  typing.blur();
};

const hear = message => {
  if (message.type === "copied") return void keepCopied(message.text);
  if (message.type !== "scene") return;
  if (message.state !== "waiting") return end(message.state, message.why);
  show("waiting", message.why || "Waiting for login: log in on the page below.");
  by("address").textContent = message.address;
  showWindows(message);
  by("chooser").hidden = !message.chooser;
  by("files").multiple = message.chooser === "many";
  showDialog(message);
  tellSize();
};

const showWindows = ({ windows, shown }) => {
  by("windows").hidden = windows.length < 2;
  by("windows").replaceChildren(...windows.map((title, index) => {
    const tab = document.createElement("span");
    const name = Object.assign(document.createElement("button"), { type: "button", textContent: title || "(no title)" });
    name.setAttribute("role", "tab");
    name.setAttribute("aria-selected", index === shown);
    name.onclick = () => send({ kind: "show", window: index });
    tab.append(name);
    if (index) {
      const close = Object.assign(document.createElement("button"), { type: "button", textContent: "×", title: "Close" });
      close.onclick = () => send({ kind: "close_window", window: index });
      tab.append(close);
    }
    return tab;
  }));
};

const showDialog = ({ dialog, question }) => {
  if (by("dialog").hidden && dialog) by("answer").value = "";
  by("dialog").hidden = !dialog;
  by("question").textContent = question;
  by("answer").hidden = dialog !== "prompt";
  by("dismiss").hidden = dialog === "alert";
};

const notice = text => {
  by("notice").textContent = text;
  by("notice").hidden = !text;
};

// Pictures: only the newest is decoded.

let next = null, drawing = false;

const see = async data => {
  next = data;
  if (drawing) return;
  drawing = true;
  while (next) {
    const head = new DataView(next), body = new Blob([next.slice(4)]);
    next = null;
    try {
      const bitmap = await createImageBitmap(body);
      page = { width: head.getUint16(0), height: head.getUint16(2) };
      if (picture.width !== bitmap.width || picture.height !== bitmap.height)
        [picture.width, picture.height] = [bitmap.width, bitmap.height];
      pen.drawImage(bitmap, 0, 0);
      picture.dataset.page = `${page.width}x${page.height}`;
      bitmap.close();
      fit();
    } catch { /* a picture that cannot be decoded: the next one will do */ }
  }
  drawing = false;
};

const fit = () => {
  const scale = Math.min(1, stage.clientWidth / page.width || 1);
  picture.style.width = `${page.width * scale}px`;
  picture.style.height = `${page.height * scale}px`;
};

let size = "", told = { x: 0, y: 0 };

// The page gets this window's size. Where an on-screen keyboard makes the window lower, that does not count.
const keyboardShown = () => size && document.activeElement === typing && matchMedia("(pointer: coarse)").matches
  && stage.clientWidth === told.x && stage.clientHeight < .75 * told.y;

const tellSize = () => {
  if (keyboardShown()) return;
  const [x, y] = [stage.clientWidth, stage.clientHeight].map(side => Math.min(4096, Math.max(280, side)));
  if (size === `${x}x${y}` || socket?.readyState !== WebSocket.OPEN) return;
  [size, told] = [`${x}x${y}`, { x, y }];
  send({ kind: "resize", x, y, scale: Math.min(4, Math.max(1, devicePixelRatio || 1)) });
};

let resizing = 0;
new ResizeObserver(() => {
  clearTimeout(resizing);
  resizing = setTimeout(() => { fit(); tellSize(); }, 150);
}).observe(stage);

// Mouse, touch, wheel

const at = event => {
  const box = picture.getBoundingClientRect();
  return {
    x: (event.clientX - box.left) * page.width / box.width,
    y: (event.clientY - box.top) * page.height / box.height,
  };
};

const modifiersOf = event =>
  event.getModifierState?.("AltGraph") ? (event.shiftKey ? SHIFT : 0)
    : (event.altKey ? ALT : 0) | (event.ctrlKey ? CTRL : 0) | (event.metaKey ? META : 0) | (event.shiftKey ? SHIFT : 0);

// At most one message per shown frame; of moves the newest, of wheel turns the sum.
const pending = new Map();
const soon = (kind, gesture) => {
  if (!pending.size) requestAnimationFrame(flush);
  pending.set(kind, gesture);
};
const flush = () => {
  const gestures = [...pending.values()];
  pending.clear();
  gestures.forEach(send);
};

const BUTTONS = ["left", "middle", "right"];
let last = { time: 0, x: 0, y: 0, clicks: 0 };
const clicksOf = (event, { x, y }) => {
  const near = Math.hypot(x - last.x, y - last.y) < 5 && event.timeStamp - last.time < 500;
  last = { time: event.timeStamp, x, y, clicks: near ? last.clicks % 3 + 1 : 1 };
  return last.clicks;
};

const onPointer = event => {
  if (!event.isPrimary) return;
  const place = at(event), modifiers = modifiersOf(event);
  const touch = event.pointerType === "touch";
  if (event.type === "pointermove") {
    if (!touch) soon("move", { kind: "move", ...place, modifiers });
    else if (event.buttons) soon("move", { kind: "touch_move", ...place, modifiers });
    return;
  }
  flush();
  const down = event.type === "pointerdown";
  if (down) {
    picture.setPointerCapture(event.pointerId);
    placeTyping(event);
    if (!touch) typing.focus({ preventScroll: true });
  }
  if (touch) send({ kind: down ? "touch_start" : "touch_end", ...place, modifiers });
  else if (event.button in BUTTONS)
    send({ kind: down ? "down" : "up", ...place, button: BUTTONS[event.button], clicks: down ? clicksOf(event, place) : last.clicks, modifiers });
  event.preventDefault();
};
for (const type of ["pointerdown", "pointermove", "pointerup", "pointercancel"]) picture.addEventListener(type, onPointer);
picture.addEventListener("mousedown", event => event.preventDefault()); // else the focus leaves the text field
picture.addEventListener("contextmenu", event => event.preventDefault());
picture.addEventListener("wheel", event => {
  const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? page.height : 1;
  const before = pending.get("wheel") ?? { dx: 0, dy: 0 };
  const limited = value => Math.max(-10_000, Math.min(10_000, value));
  soon("wheel", { kind: "wheel", ...at(event), dx: limited(before.dx + event.deltaX * unit), dy: limited(before.dy + event.deltaY * unit), modifiers: modifiersOf(event) });
  event.preventDefault();
}, { passive: false });

// Where the page was tapped, so that keyboards and the windows of input methods do not cover it.
const placeTyping = event => {
  const box = stage.getBoundingClientRect();
  typing.style.left = `${Math.max(0, Math.min(event.clientX - box.left, box.width - 4))}px`;
  typing.style.top = `${Math.max(0, Math.min(event.clientY - box.top, box.height - 30))}px`;
};

// Keys, input methods, paste: all by a text field that nobody sees.

const press = (key, code, keyCode) => {
  for (const kind of ["key_down", "key_up"]) send({ kind, key, code, key_code: keyCode });
};

const sendText = text => {
  const whole = Array.from(text.toWellFormed?.() ?? text);
  for (let start = 0; start < whole.length; start += TEXT_PIECE)
    send({ kind: "text", text: whole.slice(start, start + TEXT_PIECE).join("") });
};

const reset = () => {
  typing.value = SENTINEL;
  typing.setSelectionRange(1, 1);
};

let composing = false;

const onKey = event => {
  if (composing || event.isComposing || event.keyCode === 229 || event.key === "Dead" || event.key === "Unidentified") return;
  let modifiers = modifiersOf(event);
  if (IS_MAC && modifiers & META) modifiers = modifiers & ~META | CTRL;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (OWN_KEYS.has(event.key) || modifiers & CTRL && OWN_CTRL_KEYS.has(key)) return;
  if (modifiers & CTRL && key === "v" || modifiers & SHIFT && key === "Insert") return; // it becomes a paste event
  event.preventDefault();
  flush();
  send({
    kind: event.type === "keydown" ? "key_down" : "key_up",
    key: event.key.slice(0, 64), code: event.code.slice(0, 64), key_code: Math.min(255, event.keyCode), modifiers,
  });
};
typing.addEventListener("keydown", onKey);
typing.addEventListener("keyup", onKey);
typing.addEventListener("compositionstart", () => { composing = true; });
typing.addEventListener("compositionupdate", event => send({ kind: "compose", text: event.data.toWellFormed?.() ?? event.data }));
typing.addEventListener("compositionend", event => {
  composing = false;
  if (event.data) sendText(event.data);
  else send({ kind: "compose", text: "" });
  reset();
});
typing.addEventListener("beforeinput", event => {
  if (composing || event.inputType.includes("Composition")) return;
  event.preventDefault();
  if (event.inputType.startsWith("delete")) press("Backspace", "Backspace", 8);
  else if (event.inputType === "insertLineBreak" || event.inputType === "insertParagraph") press("Enter", "Enter", 13);
  else if (event.data) sendText(event.data);
});
typing.addEventListener("input", event => { if (!composing && !event.isComposing) reset(); });
typing.addEventListener("paste", event => {
  event.preventDefault();
  sendText(event.clipboardData.getData("text/plain"));
});
reset();

const keepCopied = async text => {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // not over plain HTTP
    typing.value = text;
    typing.select();
    document.execCommand("copy");
    reset();
  }
};

// Buttons

by("back").onclick = () => send({ kind: "back" });
by("reload").onclick = () => send({ kind: "reload" });
by("keyboard").onclick = () => typing.focus();
by("save").onclick = () => picture.toBlob(blob => {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: "login.png" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
});
by("no-files").onclick = () => send({ kind: "cancel_files" });
by("files").onchange = async () => {
  const chosen = [...by("files").files].slice(0, 10);
  by("files").value = "";
  if (!chosen.length) return;
  if (chosen.reduce((sum, file) => sum + file.size, 0) > MAX_FILES_BYTES)
    return notice("These files are too large: 16 MiB together are the most.");
  notice("");
  const read = file => new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve({ name: file.name, data: reader.result.slice(reader.result.indexOf(",") + 1) });
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
  try {
    send({ kind: "files", files: await Promise.all(chosen.map(read)) });
  } catch (error) {
    notice(`A file could not be read: ${error.message}`);
  }
};
by("dialog").onsubmit = event => {
  event.preventDefault();
  send({ kind: "accept", text: by("answer").value });
};
by("dismiss").onclick = () => send({ kind: "dismiss" });
by("chooser").onsubmit = event => event.preventDefault();

connect();
