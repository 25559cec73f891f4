// The admin page: asks /admin/api, whose session is a cookie that scripts cannot read. Texts are set as text, never as HTML.
const PERIOD_MS = 3000;
const MODELS_PERIOD_MS = 60_000;
const NEEDED = {
  expired: "The login has ended: log in again.",
  guest: "The site treats it as a guest: log in again.",
  challenge: "The site shows a challenge that only you may solve: log in and solve it there.",
  banned: "The site has closed or muted the account: settle that with the site, then resume it.",
  damaged: "Its files cannot be used: mend or replace them, then resume it; or log in again.",
};
const AWAY = ["parked", "disabled", "elsewhere", "lent"];
const RESUMABLE = ["parked", "rate_limited", "site_down", "banned", "damaged"];

const by = id => document.getElementById(id);
const element = (tag, text = "", name = "") => Object.assign(document.createElement(tag), { textContent: text, className: name });
const words = name => name.replaceAll("_", " ");

class Refused extends Error {
  constructor(status, error) {
    super(error?.message ?? `The server answered HTTP ${status}.`);
    this.status = status;
  }
}

const ask = async (method, path, body) => {
  const options = { method, cache: "no-store" };
  if (method !== "GET") Object.assign(options, { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}) });
  const answer = await fetch(`/admin/api${path}`, options);
  const read = await answer.json().catch(() => null);
  if (!answer.ok || read === null) throw new Refused(answer.status, read?.error);
  return read;
};

const pathOf = (account, verb = "") =>
  `/accounts/${encodeURIComponent(account.site)}/${encodeURIComponent(account.account)}${verb && `/${verb}`}`;

// ---- times

const UNITS = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];
const span = seconds => {
  const [unit, length] = UNITS.find(([, length]) => seconds >= length) ?? UNITS.at(-1);
  return `${Math.max(0, Math.floor(seconds / length))} ${unit}`;
};
const clocks = new WeakMap(); // a time element -> its text now
const time = (at_s, said) => {
  if (at_s === null) return "";
  const when = new Date(at_s * 1000);
  const made = Object.assign(element("time"), { dateTime: when.toISOString(), title: when.toLocaleString() });
  clocks.set(made, () => said(Date.now() / 1000 - at_s));
  return made;
};
const tick = () => document.querySelectorAll("time").forEach(made => { made.textContent = clocks.get(made)(); });

// ---- what can be done with an account

const verb = name => account => ask("POST", pathOf(account, name));
const ACTIONS = [
  { name: "log in", shown: a => a.reason !== "lent" && a.reason !== "elsewhere", run: account => logInto(account), first: a => a.reason in NEEDED },
  { name: "check", shown: a => !AWAY.includes(a.reason), run: verb("check") },
  { name: "park", shown: a => !AWAY.includes(a.reason), run: verb("park") },
  { name: "resume", shown: a => RESUMABLE.includes(a.reason), run: verb("resume") },
  { name: "take back", shown: a => a.reason === "lent", run: verb("take-back") },
  { name: "remove", shown: a => a.reason !== "elsewhere", run: account => remove(account), danger: true },
];

// The tab is opened while the click still counts as one; browsers refuse it later.
const logInto = async account => {
  const tab = window.open("", "_blank");
  if (tab) {
    tab.opener = null;
    tab.document.body.textContent = `Opening the login of ${account.name}…`;
  }
  try {
    const { url } = await ask("POST", pathOf(account, "login"));
    if (tab && !tab.closed) tab.location.replace(url);
    else say(`The login of ${account.name} is at `, url);
  } catch (error) {
    tab?.close();
    throw error;
  }
};

const remove = async account => {
  by("removal-name").textContent = account.name;
  const dialog = by("removal");
  dialog.returnValue = "keep";
  dialog.showModal();
  await new Promise(closed => dialog.addEventListener("close", closed, { once: true }));
  if (dialog.returnValue === "remove") await ask("DELETE", pathOf(account));
};

const busy = new Map(); // name of an account -> what is being done with it

const act = async (account, action) => {
  if (busy.has(account.name)) return;
  busy.set(account.name, action.name);
  say("");
  render();
  try {
    await action.run(account);
  } catch (error) {
    if (error.status === 401) return logOut();
    say(`${account.name}, ${action.name}: ${error.message}`);
  } finally {
    busy.delete(account.name);
    await refresh();
  }
};

// ---- what is shown

let shown = { accounts: [] };

const say = (text, url = "") => {
  by("message").textContent = text;
  if (url) by("message").append(Object.assign(element("a", url), { href: url, target: "_blank", rel: "noopener" }));
  by("message").hidden = !text;
};

const buttons = account => {
  const doing = busy.get(account.name);
  const made = ACTIONS.filter(action => action.shown(account)).map(action => {
    const button = element("button", action.name, action.danger ? "danger" : action.first?.(account) ? "first" : "");
    button.type = "button";
    button.disabled = doing !== undefined;
    button.addEventListener("click", () => void act(account, action));
    return button;
  });
  if (doing !== undefined) made.push(element("span", `${doing}…`, "doing"));
  return made;
};

const limit = ({ window, used, resets_at }) => {
  const made = element("small", `${window} ${used === null ? "?" : `${Math.round(used * 100)}%`}`);
  if (resets_at !== null) made.append(", ", time(resets_at, ago => `anew in ${span(-ago)}`));
  return made;
};

const state = account => element("span", words(account.state), `state ${account.state}`);

const cell = (heading, ...content) => {
  const made = element("td");
  made.dataset.heading = heading;
  made.append(...content);
  return made;
};

const row = account => {
  const line = element("tr");
  line.dataset.account = account.name;
  const why = [account.reason && element("b", words(account.reason)), account.reason && account.why && ": ", account.why];
  line.append(
    cell("Account", element("span", account.name, "name"), account.label && element("small", account.label)),
    cell("State", state(account), ...account.quotas.map(limit)),
    cell("Why", ...why.filter(Boolean)),
    cell("When", time(account.since, ago => `since ${span(ago)}`), " ", time(account.until, ago => `back in ${span(-ago)}`)),
    cell("Chats", account.chats),
    cell("Tabs", account.tabs),
    cell("", ...buttons(account)),
  );
  line.lastChild.className = "actions";
  return line;
};

const card = account => {
  const item = element("li");
  item.dataset.account = account.name;
  const head = element("p", "", "head");
  head.append(element("b", account.name), " ", state(account), " ", time(account.since, ago => `for ${span(ago)}`));
  const actions = element("p", "", "actions");
  actions.append(...buttons(account));
  item.append(head, element("p", NEEDED[account.reason]), element("p", account.why, "hint"), actions);
  return item;
};

// What has not changed stays as it is: focus and clicks are not lost to the next refresh.
const drawn = new Map();
const draw = (key, parent, items, make) => {
  const next = JSON.stringify([items, items.map(item => busy.get(item.name))]);
  if (drawn.get(key) === next) return;
  drawn.set(key, next);
  const at = document.activeElement;
  const held = parent.contains(at) && [at.closest("[data-account]")?.dataset.account, at.textContent];
  parent.replaceChildren(...items.map(make));
  if (!held) return;
  const line = [...parent.children].find(child => child.dataset.account === held[0]);
  [...(line?.querySelectorAll("button") ?? [])].find(button => button.textContent === held[1])?.focus();
};

const render = () => {
  const { accounts } = shown;
  const needed = accounts.filter(account => account.reason in NEEDED);
  by("needed").hidden = needed.length === 0;
  draw("needed", by("needed").querySelector("ul"), needed, card);
  draw("accounts", by("accounts").tBodies[0], accounts.filter(account => !(account.reason in NEEDED)), row);
  tick();
  by("accounts").hidden = needed.length === accounts.length;
  by("no-accounts").hidden = accounts.length > 0;
  by("status").textContent = shown.ready ? "ready" : "not ready";
  by("status").className = `badge ${shown.ready ? "ok" : "degraded"}`;
  by("summary").textContent = `${shown.running} answering, ${shown.waiting} waiting`;
  by("version").textContent = `· relay ${shown.version} · ${shown.browser}`;
};

const enter = loggedIn => {
  for (const id of ["main", "log-out", "status"]) by(id).hidden = !loggedIn;
  if (by("login").hidden === loggedIn) return;
  by("login").hidden = loggedIn;
  if (!loggedIn) by("password").focus();
};

let modelsAt = -Infinity;
const refreshModels = async () => {
  if (performance.now() - modelsAt < MODELS_PERIOD_MS) return;
  const { models } = await ask("GET", "/models");
  modelsAt = performance.now();
  by("models").replaceChildren(...models.map(name => { const item = element("li"); item.append(element("code", name)); return item; }));
};

const logOut = () => {
  shown = { accounts: [] };
  drawn.clear();
  modelsAt = -Infinity;
  for (const list of [by("needed").querySelector("ul"), by("accounts").tBodies[0], by("models")]) list.replaceChildren();
  for (const id of ["summary", "version"]) by(id).textContent = "";
  say("");
  by("removal").close();
  enter(false);
};

let asking = 0;
const refresh = async () => {
  const mine = ++asking;
  try {
    const next = await ask("GET", "/accounts");
    if (mine !== asking) return; // a newer question is on its way
    if (by("message").dataset.lost) say("");
    delete by("message").dataset.lost;
    shown = next;
    render();
    enter(true);
    await refreshModels();
  } catch (error) {
    if (error.status === 401) return logOut();
    by("message").dataset.lost = "yes";
    say(error instanceof Refused ? error.message : "The relay cannot be reached. Trying again…");
  }
};

by("login").addEventListener("submit", async event => {
  event.preventDefault();
  const submit = by("login").querySelector("button");
  submit.disabled = true;
  by("login-error").textContent = "";
  try {
    await ask("POST", "/login", { password: by("password").value });
    by("password").value = "";
    await refresh();
  } catch (error) {
    by("login-error").textContent = error instanceof Refused ? error.message : "The relay cannot be reached.";
    by("password").select();
  } finally {
    submit.disabled = false;
  }
});

by("log-out").addEventListener("click", async () => {
  asking++;
  try {
    await ask("POST", "/logout");
    logOut();
  } catch (error) {
    say(error.message);
  }
});

void refresh();
setInterval(() => document.hidden || !by("login").hidden || void refresh(), PERIOD_MS);
