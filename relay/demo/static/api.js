// The site's HTTP face, as the page uses it.

export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** A call with a JSON answer (or none). Throws ApiError. */
export async function call(method, path, body) {
  const form = body instanceof FormData;
  const response = await fetch(path, {
    method,
    headers: body && !form ? { "content-type": "application/json" } : {},
    body: form || !body ? body : JSON.stringify(body),
  });
  if (!response.ok) throw await refusal(response);
  return response.status === 204 ? null : response.json();
}

/** The events of an answer, in batches as they come off the network. Throws ApiError if there is no stream. */
export async function* chat(body, signal) {
  const response = await fetch("/api/chat", {
    method: "POST",
    headers: { "content-type": "application/json", accept: "text/event-stream" },
    body: JSON.stringify(body),
    signal,
  });
  const type = response.headers.get("content-type") ?? "";
  if (!response.ok || !type.startsWith("text/event-stream")) throw await refusal(response);
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const frames = (rest + decoder.decode(value, { stream: true })).split("\n\n");
    rest = frames.pop();
    const events = frames.filter((frame) => frame.startsWith("data: ")).map((frame) => JSON.parse(frame.slice(6)));
    if (events.length) yield events;
  }
}

async function refusal(response) {
  const type = response.headers.get("content-type") ?? "";
  if (!type.startsWith("application/json")) {
    const challenged = response.status === 403;
    return new ApiError(
      response.status,
      challenged ? "challenge" : "no_answer",
      challenged ? "The site asks for proof that you are a person." : `The site answered ${response.status}.`,
    );
  }
  const { error } = await response.json();
  return new ApiError(response.status, error?.code ?? "no_answer", error?.message ?? "The site sent no answer.");
}
