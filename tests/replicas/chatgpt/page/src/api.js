// The login and the calls: a session cookie that is traded for a Bearer token, and what the sentinel wants to see.

// Taken when the bundle starts, like the site's: who wants to see the calls must be there first.
const fetch = window.fetch.bind(window);
const REFRESH_MS = 600_000;
const SENTINEL_MS = 540_000;
const uuid = () => crypto.randomUUID();
const sessionId = uuid();

function deviceId() {
  const found = document.cookie.match(/(?:^|; )oai-did=([^;]+)/)?.[1];
  if (found) return found;
  const made = uuid();
  document.cookie = `oai-did=${made}; path=/; domain=.chatgpt.com; secure; samesite=lax`;
  return made;
}

export class Refusal extends Error {
  constructor(status, body) {
    const { detail } = body ?? {};
    super(detail?.message ?? (typeof detail === "string" ? detail : `the site answered ${status}`));
    this.status = status;
  }
}

export class Api {
  constructor() {
    this.token = "";
    this.expires = 0;
    this.user = null;
    this.onLogout = () => {};
  }

  get base() {
    return this.token ? "/backend-api" : "/backend-anon";
  }

  async refresh() {
    const { user: before } = this;
    const answer = await fetch("/api/auth/session");
    const { user, accessToken } = answer.ok ? await answer.json() : {};
    this.token = accessToken ?? "";
    this.user = accessToken ? user : null;
    if (before && !this.user) {
      this.onLogout();
      throw new Refusal(401, { detail: "Your session has expired. Please log in again." });
    }
    const payload = this.token.split(".")[1]?.replaceAll("-", "+").replaceAll("_", "/");
    this.expires = payload ? JSON.parse(atob(payload)).exp * 1000 : 0;
  }

  // The path is without its base, which changes with the login.
  async call(method, path, { body, headers = {}, signal, accept = "application/json" } = {}) {
    if (this.token && this.expires - Date.now() < REFRESH_MS) await this.refresh();
    const once = () =>
      fetch(this.base + path, {
        method,
        signal,
        headers: { ...this.headers(this.base + path.split("?")[0]), Accept: accept, ...headers },
        ...(body && { body: JSON.stringify(body) }),
      });
    let answer = await once();
    if (answer.status === 401 && this.token) {
      await this.refresh();
      answer = await once();
    }
    if (!answer.ok) throw new Refusal(answer.status, await answer.json().catch(() => null));
    return answer;
  }

  headers(path) {
    return {
      "Content-Type": "application/json",
      ...(this.token && { Authorization: `Bearer ${this.token}` }),
      "OAI-Device-Id": deviceId(),
      "OAI-Session-Id": sessionId,
      "OAI-Language": navigator.language,
      "OAI-Client-Version": document.documentElement.dataset.build,
      "OAI-Client-Build-Number": "7000001",
      "X-OpenAI-Target-Path": path,
      "X-OpenAI-Target-Route": path,
    };
  }

  async json(method, path, body) {
    return (await this.call(method, path, { body })).json();
  }

  // Steps 2 and 4: one token is good for minutes of text; pictures want a fresh one.
  async sentinel(fresh) {
    if (fresh || Date.now() - (this.proven?.at ?? 0) > SENTINEL_MS || this.proven.base !== this.base) {
      this.proven = await this.prove();
    }
    return this.proven.headers;
  }

  async prove() {
    const at = Date.now();
    const { base } = this;
    const path = "/sentinel/chat-requirements";
    const asked = await this.json("POST", `${path}/prepare`, { p: window.SentinelSDK.describe() });
    const { seed, difficulty } = asked.proofofwork;
    const proofofwork = window.SentinelSDK.solve(seed, difficulty);
    const turnstile = await window.SentinelSDK.answer(asked.turnstile.dx);
    const body = { prepare_token: asked.prepare_token, proofofwork, turnstile };
    const given = await this.json("POST", `${path}/finalize`, body);
    const headers = {
      "OpenAI-Sentinel-Chat-Requirements-Token": given.token,
      "OpenAI-Sentinel-Proof-Token": proofofwork,
      "OpenAI-Sentinel-Turnstile-Token": turnstile,
      "OpenAI-Sentinel-SO-Token": given.so_token,
    };
    return { at, base, headers };
  }

  async upload(file, picture) {
    const size = picture ? await createImageBitmap(file).then(({ width, height }) => ({ width, height })) : {};
    const announced = await this.json("POST", "/files", {
      file_name: file.name,
      file_size: file.size,
      use_case: picture ? "multimodal" : "my_files",
      ...size,
      timezone_offset_min: new Date().getTimezoneOffset(),
    });
    const sent = await fetch(announced.upload_url, {
      method: "PUT",
      headers: {
        "Content-Type": file.type || "application/octet-stream",
        "x-ms-blob-type": "BlockBlob",
        "x-ms-version": "2020-04-08",
      },
      body: file,
    });
    if (!sent.ok) throw new Refusal(sent.status, null);
    await this.json("POST", `/files/${announced.file_id}/uploaded`, {});
    return { id: announced.file_id, name: file.name, mimeType: file.type, size: file.size, ...size };
  }
}
