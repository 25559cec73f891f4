// The login: two JWTs in localStorage, the page rotates both.
import { shield } from "./shield.js";

const GATEWAY = "/apiv2/kimi.gateway.";
let refreshing = null;

export function claims() {
  const token = localStorage.getItem("access_token");
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (c) => c.charCodeAt(0))));
  } catch {
    return null; // no token, or not a JWT: not signed in until a refresh says otherwise
  }
}

const fresh = () => (claims()?.exp ?? 0) * 1000 > Date.now();

async function refresh() {
  const token = localStorage.getItem("refresh_token");
  if (!token) return false;
  refreshing ??= window
    .fetch("/api/auth/token/refresh", { headers: { Authorization: `Bearer ${token}` } })
    .then(async (answer) => {
      if (!answer.ok) return false;
      const { access_token, refresh_token } = await answer.json();
      localStorage.setItem("access_token", access_token);
      localStorage.setItem("refresh_token", refresh_token);
      return true;
    })
    .finally(() => (refreshing = null));
  return refreshing;
}

function headers() {
  const { sub = "", ssid = "", device_id = "" } = claims() ?? {};
  return {
    Authorization: `Bearer ${localStorage.getItem("access_token") ?? ""}`,
    "X-Msh-Platform": "web",
    "X-Msh-Version": "2.2.0",
    "X-Msh-Device-Id": device_id,
    "X-Msh-Session-Id": ssid,
    "X-Traffic-Id": sub,
    "X-Language": navigator.language === "zh-CN" ? "zh-CN" : "en-US",
    "R-Timezone": Intl.DateTimeFormat().resolvedOptions().timeZone,
  };
}

// Every call goes through window.fetch as it is at that moment, like the site's own client.
async function call(path, init) {
  if (!fresh()) await refresh();
  const once = async () => {
    const body = init.body instanceof Uint8Array ? init.body : null;
    const signed = body ? { "x-msh-shield-data": await shield(path, claims()?.sub ?? "", body) } : {};
    return window.fetch(path, { ...init, headers: { ...headers(), ...init.headers, ...signed } });
  };
  const answer = await once();
  return answer.status === 401 && (await refresh()) ? once() : answer;
}

export async function rpc(method, body, prefix = GATEWAY) {
  const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await call(prefix + method, init);
  if (!answer.ok) throw new Error(`${method}: ${answer.status}`);
  return answer.json();
}

export async function upload(file) {
  const form = new FormData();
  form.append("file", file, file.name);
  const answer = await call("/apiv2-files/file/upload", { method: "POST", body: form });
  if (!answer.ok) throw new Error(`upload: ${answer.status}`);
  const { id } = (await answer.json()).file;
  for (;;) {
    const method = "file.v1.FileService/GetFileParseProgress";
    const { progresses } = await rpc(method, { file_ids: [id] }, "/apiv2-files/kimi.gateway.");
    if (progresses[0].status === "PROCESS_STATUS_SUCCESS") return id;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export async function* chat(request, signal) {
  const json = new TextEncoder().encode(JSON.stringify(request));
  const body = new Uint8Array(5 + json.length);
  new DataView(body.buffer).setUint32(1, json.length);
  body.set(json, 5);
  const answer = await call(`${GATEWAY}chat.v1.ChatService/Chat`, {
    method: "POST",
    headers: { "Content-Type": "application/connect+json", "Connect-Protocol-Version": "1" },
    body,
    signal,
  });
  if (answer.headers.get("content-type") !== "application/connect+json") throw new Error(`chat: ${answer.status}`);
  yield* envelopes(answer.body.getReader());
}

async function* envelopes(reader) {
  let held = new Uint8Array(0);
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const joined = new Uint8Array(held.length + value.length);
    joined.set(held);
    joined.set(value, held.length);
    let at = 0;
    while (joined.length - at >= 5) {
      const size = new DataView(joined.buffer, at + 1, 4).getUint32(0);
      if (joined.length - at - 5 < size) break;
      if (joined[at] === 0) yield JSON.parse(new TextDecoder().decode(joined.subarray(at + 5, at + 5 + size)));
      at += 5 + size;
    }
    held = joined.slice(at);
  }
}
