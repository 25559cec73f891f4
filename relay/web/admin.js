// The status page: reads /health and /v1/models, writes nothing. The key lives in sessionStorage of this tab.
const PERIOD_MS = 3000;
const by = id => document.getElementById(id);
const element = (tag, text, name = "") => Object.assign(document.createElement(tag), { textContent: text, className: name });

const ask = async path => {
  const key = sessionStorage.getItem("relay-key");
  const answer = await fetch(path, { headers: key ? { Authorization: `Bearer ${key}` } : {}, cache: "no-store" });
  return { status: answer.status, body: await answer.json() };
};

const row = account => {
  const line = document.createElement("tr");
  line.append(
    element("td", `${account.site}/${account.account}`),
    element("td", account.state, `state ${account.state}`),
    element("td", account.why),
    element("td", account.chats),
    element("td", account.tabs),
  );
  return line;
};

const show = (health, models) => {
  const { body } = health;
  const wantsKey = !body.accounts;
  by("key").hidden = !wantsKey;
  by("status").textContent = body.status;
  by("status").className = `badge ${body.status}`;
  by("summary").textContent = `${body.running} answering, ${body.waiting} waiting`;
  by("version").textContent = `relay ${body.version}`;
  by("accounts").tBodies[0].replaceChildren(...(body.accounts ?? []).map(row));
  by("no-accounts").hidden = wantsKey || body.accounts.length > 0;
  const names = models.status === 200 ? models.body.data.map(model => model.id) : [];
  by("models").replaceChildren(...names.map(name => { const item = document.createElement("li"); item.append(element("code", name)); return item; }));
};

const refresh = async () => {
  try {
    show(await ask("/health"), await ask("/v1/models"));
  } catch {
    by("status").textContent = "not reachable";
    by("status").className = "badge degraded";
  }
};

by("key").addEventListener("submit", event => {
  event.preventDefault();
  sessionStorage.setItem("relay-key", by("key-value").value);
  by("key-value").value = "";
  void refresh();
});
void refresh();
setInterval(() => document.hidden || void refresh(), PERIOD_MS);
