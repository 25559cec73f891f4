// The site's API as its page calls it: cookies say who is there, nothing is signed.
export const ROOT = "00000000-0000-4000-8000-000000000000";

const cookie = (name) => document.cookie.match(new RegExp(`(?:^|; )${name}=([^;]*)`))?.[1] ?? "";

export class Failed extends Error {
  constructor(status, error) {
    super(error?.message ?? `The site answered ${status}`);
    this.status = status;
    this.loggedOut = status === 401 || error?.message === "Invalid authorization";
  }
}

// Every call goes through window.fetch as it is at that moment, like the site's own client.
async function call(method, path, { body, accept = "*/*", signal } = {}) {
  const answer = await window.fetch(path, {
    method,
    credentials: "include",
    signal,
    headers: {
      Accept: accept,
      "anthropic-client-platform": "web_claude_ai",
      "anthropic-client-version": "1.0.0",
      "anthropic-device-id": cookie("anthropic-device-id"),
      "x-activity-session-id": cookie("activitySessionId"),
      ...(body && !(body instanceof FormData) && { "Content-Type": "application/json" }),
    },
    body: body instanceof FormData ? body : body && JSON.stringify(body),
  });
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => null);
  throw new Failed(answer.status, said?.error);
}

const json = async (method, path, body) => (await call(method, path, { body })).json();

export class Site {
  constructor(account, organization) {
    this.account = account;
    this.prefix = `/api/organizations/${organization}`;
    this.organization = organization;
  }

  // The site of who is signed in, or null.
  static async open() {
    const { account } = await json("GET", "/api/bootstrap");
    if (!account) return null;
    const chatting = account.memberships.find(({ organization }) => organization.capabilities.includes("chat"));
    document.cookie = `lastActiveOrg=${chatting.organization.uuid}; domain=.claude.ai; path=/; max-age=31536000; secure`;
    return new Site(account, chatting.organization.uuid);
  }

  async models() {
    const query = "statsig_hashing_algorithm=djb2&growthbook_format=sdk";
    const started = await json("GET", `/edge-api/bootstrap/${this.organization}/app_start?${query}`);
    return started.claude_ai_bootstrap_models_config.filter((model) => !model.inactive);
  }

  chat(conversation) {
    return `${this.prefix}/chat_conversations/${conversation}`;
  }

  recall(conversation) {
    const query = "tree=True&rendering_mode=messages&render_all_tools=true";
    return json("GET", `${this.chat(conversation)}?${query}`);
  }

  create(body) {
    return json("POST", `${this.prefix}/chat_conversations`, body);
  }

  title(conversation, message_content) {
    return json("POST", `${this.chat(conversation)}/title`, { message_content, recent_titles: [] });
  }

  stop(conversation) {
    return call("POST", `${this.chat(conversation)}/stop_response`, { body: {} });
  }

  async upload(conversation, file) {
    const form = new FormData();
    form.append("file", file, file.name);
    return json("POST", `${this.prefix}/conversations/${conversation}/wiggle/upload-file`, form);
  }

  async *complete(conversation, operation, body, signal) {
    const options = { body, accept: "text/event-stream", signal };
    const answer = await call("POST", `${this.chat(conversation)}/${operation}`, options);
    if (!answer.headers.get("content-type")?.startsWith("text/event-stream")) throw new Failed(answer.status);
    let held = "";
    for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
      const parts = (held + text).split("\n\n");
      held = parts.pop();
      for (const part of parts) yield JSON.parse(part.slice(part.indexOf("data: ") + 6));
    }
  }
}
