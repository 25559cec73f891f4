// The page: login, composer, attachments, and the chat under way. What may be held on to is listed in index.html.

import { ApiError, call, chat } from "./api.js";
import { AnswerView, element } from "./answer.js";

const SHOWN_PROMPT = 4000; // characters of a prompt that are put on screen

const $ = (id) => document.getElementById(id);
const app = $("app");
const prompt = $("prompt");

let conversation = null; // {id, parent}, once the first answer has started
let current = null; // {view, abort} of the answer under way
let attachments = []; // {id, name, chip}
let uploading = 0;

// ---- login

async function enter() {
  try {
    const me = await call("GET", "/api/me");
    app.dataset.user = me.user;
    $("user").textContent = me.user;
    await fillModels();
    $("login").hidden = true;
    app.hidden = false;
    prompt.focus();
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401) throw error;
    leave();
  }
}

function leave() {
  newChat();
  delete app.dataset.user;
  app.hidden = true;
  $("login").hidden = false;
  $("login-user").focus();
}

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("login-error").hidden = true;
  try {
    await call("POST", "/api/login", { user: $("login-user").value, password: $("login-password").value });
    $("login").reset();
    await enter();
  } catch (error) {
    $("login-error").textContent = error.message;
    $("login-error").hidden = false;
  }
});

$("logout").addEventListener("click", async () => {
  await call("POST", "/api/logout");
  leave();
});

async function fillModels() {
  const { models, default: first } = await call("GET", "/api/models");
  $("model").replaceChildren(
    ...models.map(({ id, name }) => {
      const option = element("option", "", name);
      option.value = id;
      return option;
    }),
  );
  const wanted = new URLSearchParams(location.search).get("model");
  $("model").value = models.some(({ id }) => id === wanted) ? wanted : first;
}

$("model").addEventListener("change", () => {
  const address = new URL(location.href);
  address.searchParams.set("model", $("model").value);
  history.replaceState(null, "", address);
});

// ---- composer

function refresh() {
  const generating = current !== null;
  app.dataset.state = generating ? "generating" : "idle";
  $("stop").hidden = !generating;
  $("send").hidden = generating;
  $("send").disabled = generating || uploading > 0 || !/\S/.test(prompt.value);
}

prompt.addEventListener("input", refresh);
prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});

$("file").addEventListener("change", async () => {
  const files = [...$("file").files];
  $("file").value = "";
  await Promise.all(files.map(attach));
});

async function attach(file) {
  const chip = element("span", "chip", file.name);
  chip.dataset.state = "uploading";
  $("attachments").append(chip);
  uploading += 1;
  refresh();
  try {
    const form = new FormData();
    form.append("file", file, file.name);
    const kept = await call("POST", "/api/files", form);
    chip.dataset.state = "ready";
    chip.dataset.fileId = kept.id;
    if (chip.isConnected) attachments.push({ id: kept.id, chip }); // else for a chat that was left meanwhile
  } catch (error) {
    chip.dataset.state = "failed";
    chip.title = error.message;
  } finally {
    uploading -= 1;
    refresh();
  }
}

// ---- chat

async function send() {
  refresh();
  if ($("send").disabled) return;
  const body = {
    model: $("model").value,
    prompt: prompt.value,
    conversation_id: conversation?.id ?? null,
    parent_id: conversation?.parent ?? null,
    thinking: $("thinking").checked,
    search: $("search").checked,
    files: attachments.map(({ id }) => id),
  };
  showPrompt(body.prompt);
  prompt.value = "";
  const mine = { view: new AnswerView($("turns")), abort: new AbortController() };
  current = mine;
  refresh();
  try {
    for await (const events of chat(body, mine.abort.signal)) {
      mine.view.apply(events);
      if (current === mine && mine.view.conversation) remember(mine.view);
    }
    if (!mine.view.ended) mine.view.fail("cut", "The answer was cut off.");
  } catch (error) {
    failed(mine, error);
  }
  await mine.view.finish();
  if (current === mine) current = null;
  refresh();
}

function failed({ view, abort }, error) {
  if (abort.signal.aborted) {
    view.root.dataset.state = "stopped";
    return;
  }
  view.fail(error.code ?? "network", error instanceof ApiError ? error.message : "The connection was lost.");
  if (error.status === 401) call("GET", "/api/me").catch(leave); // the whole session, or only this model?
}

function remember(view) {
  conversation = { id: view.conversation, parent: view.message };
  app.dataset.conversation = conversation.id;
}

function showPrompt(text) {
  const turn = element("article", "turn user");
  const shown = text.length > SHOWN_PROMPT ? `${text.slice(0, SHOWN_PROMPT)}… (${text.length} characters)` : text;
  turn.append(element("div", "prompt", shown), ...attachments.map(({ chip }) => chip));
  $("turns").append(turn);
  $("attachments").replaceChildren();
  attachments = [];
}

async function stop() {
  if (!current) return;
  const { view, abort } = current;
  try {
    // The server ends the stream itself; before it has named the message there is nothing to stop but the request.
    if (view.message && (await call("POST", "/api/stop", { message: view.message })).stopped) return;
  } catch (error) {
    console.warn("stop failed, aborting instead:", error.message);
  }
  abort.abort();
}

function newChat() {
  current?.abort.abort();
  current = null;
  conversation = null;
  delete app.dataset.conversation;
  $("turns").replaceChildren();
  prompt.value = "";
  attachments = [];
  $("attachments").replaceChildren();
  refresh();
}

$("stop").addEventListener("click", stop);
$("new-chat").addEventListener("click", () => {
  newChat();
  prompt.focus();
});

enter();
