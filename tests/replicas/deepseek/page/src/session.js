// The login (one token in localStorage), the headers of every call, the proof of work.
const API = "/api/v0/";
const COMPLETION = `${API}chat/completion`;
const UPLOAD = `${API}file/upload_file`;

export class Refusal extends Error {}

export class Challenged extends Error {}

export function token() {
  try {
    const kept = JSON.parse(localStorage.getItem("userToken"));
    return (typeof kept === "string" ? kept : kept?.value) || "";
  } catch {
    return ""; // nothing that this page wrote: not signed in
  }
}

export function leave() {
  location.replace("/sign_in");
}

export const headers = () => ({
  Authorization: `Bearer ${token()}`,
  "x-client-platform": "web",
  "x-client-version": "2.0.0",
  "X-App-Version": "2.0.0",
  "x-client-locale": navigator.language.startsWith("zh") ? "zh_CN" : "en_US",
  "x-client-timezone-offset": String(-60 * new Date().getTimezoneOffset()),
});

// An answer's data, or why there is none; a dead login leaves the page.
export function unwrapped(status, type, text, firewall) {
  if (firewall) throw new Challenged("challenge");
  if (!type?.startsWith("application/json")) throw new Refusal("服务器繁忙，请稍后重试");
  const { code, msg, data } = JSON.parse(text);
  const problem = code || data?.biz_code;
  if (status === 401 || status === 403 || (problem >= 40001 && problem <= 40003)) {
    leave();
    throw new Refusal("登录已失效");
  }
  if (status !== 200 || problem) throw new Refusal(msg || data?.biz_msg || "服务器繁忙，请稍后重试");
  return data.biz_data;
}

async function answered(promise) {
  const answer = await promise;
  const waf = answer.headers.get("x-amzn-waf-action");
  return unwrapped(answer.status, answer.headers.get("content-type"), await answer.text(), waf);
}

export const get = (path) => answered(window.fetch(API + path, { headers: headers() }));

export function post(path, body) {
  const sent = { ...headers(), "Content-Type": "application/json" };
  return answered(window.fetch(API + path, { method: "POST", headers: sent, body: JSON.stringify(body) }));
}

const solver = new Worker("/assets/pow.js");
let line = Promise.resolve();

// One after the other: the worker answers in the order in which it is asked.
function solved(challenge) {
  line = line.then(
    () =>
      new Promise((resolve) => {
        solver.onmessage = ({ data }) => resolve(data);
        solver.postMessage(challenge);
      }),
  );
  return line;
}

async function proof(target_path) {
  const { challenge } = await post("chat/create_pow_challenge", { target_path });
  const answer = await solved(challenge);
  const { algorithm, salt, signature } = challenge;
  return btoa(JSON.stringify({ algorithm, challenge: challenge.challenge, salt, answer, signature, target_path }));
}

// The site's page streams through XMLHttpRequest. `take` gets every event; the promise ends with the stream.
export async function stream(path, body, signal, take) {
  const shown = { ...headers(), "Content-Type": "application/json", Accept: "text/event-stream" };
  shown["X-DS-PoW-Response"] = await proof(COMPLETION);
  signal.throwIfAborted();
  const xhr = new XMLHttpRequest();
  xhr.open("POST", API + path);
  for (const [name, value] of Object.entries(shown)) xhr.setRequestHeader(name, value);
  await new Promise((resolve, reject) => {
    let at = 0;
    const streaming = () => xhr.getResponseHeader("content-type")?.startsWith("text/event-stream");
    const read = () => {
      for (let end; (end = xhr.responseText.indexOf("\n\n", at)) >= 0; at = end + 2) {
        const event = parsed(xhr.responseText.slice(at, end));
        if (event) take(...event);
      }
    };
    const guarded = (act) => () => {
      try {
        act();
      } catch (error) {
        reject(error);
        xhr.abort();
      }
    };
    xhr.onprogress = guarded(() => streaming() && read());
    xhr.onload = guarded(() => {
      if (streaming()) read();
      else {
        const waf = xhr.getResponseHeader("x-amzn-waf-action");
        unwrapped(xhr.status, xhr.getResponseHeader("content-type"), xhr.responseText, waf);
        throw new Refusal("服务器繁忙，请稍后重试"); // JSON without an error is no answer either
      }
      resolve();
    });
    xhr.onerror = () => reject(new Error("网络异常"));
    xhr.onabort = () => resolve();
    signal.addEventListener("abort", () => xhr.abort());
    xhr.send(JSON.stringify(body));
  });
}

function parsed(block) {
  let event = "message";
  let data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("event: ")) event = line.slice(7);
    if (line.startsWith("data: ")) data += line.slice(6);
  }
  return data && [event, JSON.parse(data)];
}

export async function upload(file, kind, thinking) {
  const form = new FormData();
  form.append("file", file, file.name);
  const sent = {
    ...headers(),
    "x-model-type": kind,
    "x-file-size": String(file.size),
    "x-thinking-enabled": thinking ? "1" : "0",
    "X-DS-PoW-Response": await proof(UPLOAD),
  };
  const { id } = await answered(window.fetch(UPLOAD, { method: "POST", headers: sent, body: form }));
  for (;;) {
    const { files } = await get(`file/fetch_files?file_ids=${id}`);
    const { status, audit_result } = files[0];
    if (status === "SUCCESS" && (audit_result ?? "PASS") !== "REJECT") return id;
    if (status === "FAILED" || status === "SUCCESS") throw new Refusal("文件解析失败");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
