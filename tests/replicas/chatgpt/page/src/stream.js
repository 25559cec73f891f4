// The answer stream: events, the deltas of encoding v1, and the ways in which an answer goes on elsewhere.
import { Refusal } from "./api.js";

const IDLE_MS = 60_000;
const SOCKET_IDLE_MS = 30_000;
const TRIES = 12;
const PASSING = [408, 409, 425, 429, 502, 504];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Broken extends Error {}

export function* cut(text) {
  for (const block of text.split("\n\n")) {
    const event = { name: "", data: "" };
    for (const line of block.split("\n")) {
      if (line.startsWith("event: ")) event.name = line.slice(7);
      else if (line.startsWith("data: ")) event.data = line.slice(6);
    }
    if (event.data) yield event;
  }
}

async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  try {
    for (;;) {
      const { value, done } = await timely(reader.read(), IDLE_MS);
      if (done) return;
      const end = (held += value).lastIndexOf("\n\n") + 2;
      if (end > 1) {
        yield* cut(held.slice(0, end));
        held = held.slice(end);
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // it may be broken already, which the caller knows
  }
}

function timely(promise, ms) {
  let timer;
  const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Broken("silence")), ms)));
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// Messages as they stand: a delta that leaves out p, o or c means those of the one before.
export class Deltas {
  constructor() {
    this.last = {};
    this.open = new Map();
  }

  take(delta) {
    const { p, o, c, v } = (this.last = { ...this.last, ...delta, v: delta.v });
    if (o === "add" && p === "") this.open.set(c, v.message);
    else for (const op of o === "patch" ? v : [{ p, o, v }]) this.edit(c, op);
    return this.open.get(c);
  }

  edit(channel, { p, o, v }) {
    const steps = p.split("/").slice(2);
    const last = steps.pop();
    const place = steps.reduce((at, step) => at[step], this.open.get(channel));
    const old = place[last];
    if (o !== "append" || old === undefined || old === null) place[last] = v;
    else if (typeof old === "string") place[last] = old + v;
    else if (Array.isArray(old)) place[last] = [...old, ...v];
    else place[last] = { ...old, ...v };
  }
}

// One answer, wherever it goes on. Yields typed events, {message} for each change of one, {waiting}, and {readBack}.
export class Following {
  constructor(api, signal) {
    this.api = api;
    this.signal = signal;
    this.start();
  }

  start() {
    this.deltas = new Deltas();
    this.count = 0;
    this.over = false;
    this.handoff = null;
  }

  *take({ name, data }) {
    if (data === "[DONE]") {
      this.over = true;
      return;
    }
    const value = JSON.parse(data);
    if (name === "ping") return;
    this.count += 1;
    if (name === "delta") {
      yield { message: this.deltas.take(value) };
      return;
    }
    if (value.type === "resume_conversation_token") {
      this.conversation = value.conversation_id;
      this.token = value.token;
      sessionStorage.setItem(`resume:${this.conversation}`, this.token);
    } else if (value.type === "stream_handoff") this.handoff = value;
    else if (value.type === "message_stream_complete") this.over = true;
    else if (value.error) throw new Error(value.error);
    if (name === "") yield value;
  }

  async *read(body) {
    for await (const event of events(body)) yield* this.take(event);
  }

  async *all(answer) {
    try {
      yield* this.read(answer.body);
    } catch (error) {
      if (!this.passes(error)) throw error;
    }
    if (!this.conversation) throw new Error("Network error");
    if (this.handoff) yield* this.elsewhere(this.handoff.options);
    else if (!this.over) yield* this.resume();
  }

  passes(error) {
    return !this.signal.aborted && (error instanceof Broken || error instanceof TypeError);
  }

  async *elsewhere(options) {
    const topic = options.find(({ type }) => type === "subscribe_ws_topic")?.topic_id;
    const resumes = options.some(({ type }) => type === "resume_sse_endpoint");
    this.start();
    if (resumes) yield* this.resume();
    else if (topic) yield* this.listen(topic);
    else yield* this.poll();
  }

  async *resume() {
    for (let tries = 0, wait = 300; tries < TRIES && !this.over; tries++) {
      try {
        const answer = await this.api.call("POST", "/f/conversation/resume", {
          body: { conversation_id: this.conversation, offset: this.count },
          headers: { "X-Conduit-Token": this.token },
          accept: "text/event-stream",
          signal: this.signal,
        });
        yield* this.read(answer.body);
        if (this.over) return;
      } catch (error) {
        if (error instanceof Refusal && [404, 410].includes(error.status)) break;
        if (!this.passes(error) && !(error instanceof Refusal && PASSING.includes(error.status))) throw error;
      }
      await pause(wait);
      wait = Math.min(5000, wait * 2);
    }
    if (!this.over) yield* this.poll();
  }

  async *listen(topic) {
    const { websocket_url } = await this.api.json("GET", "/celsius/ws/user");
    const socket = new WebSocket(websocket_url);
    const arrived = [];
    let wake = () => {};
    const put = (value) => (arrived.push(value), wake());
    socket.onmessage = ({ data }) => put(JSON.parse(data));
    socket.onclose = () => put(null);
    const close = () => socket.close();
    this.signal.addEventListener("abort", close);
    socket.onopen = () =>
      socket.send(
        JSON.stringify([
          { id: 1, command: { type: "connect", presence: { type: "presence", state: "foreground" } } },
          { id: 2, command: { type: "subscribe", topic_id: topic, offset: "0" } },
        ]),
      );
    try {
      while (!this.over) {
        if (!arrived.length) await timely(new Promise((resolve) => (wake = resolve)), SOCKET_IDLE_MS);
        const next = arrived.shift();
        if (!next) break;
        const messages = [next].flat().flatMap((one) => one.reply?.catchups ?? [one]);
        for (const { payload } of messages) {
          if (payload?.payload.type !== "stream-item") continue;
          for (const event of cut(payload.payload.encoded_item)) yield* this.take(event);
        }
      }
    } catch (error) {
      if (!this.passes(error)) throw error;
    } finally {
      this.signal.removeEventListener("abort", close);
      close();
    }
    this.signal.throwIfAborted();
    if (!this.over) yield* this.poll();
  }

  async *poll() {
    yield { waiting: "Connection interrupted. Waiting for the complete answer" };
    const path = `/conversation/${this.conversation}`;
    for (;;) {
      this.signal.throwIfAborted();
      const { status } = await this.api.json("GET", `${path}/stream_status`);
      if (status === "COMPLETE") break;
      if (status !== "IS_STREAMING") throw new Error("Something went wrong while generating the response.");
      await pause(500);
    }
    yield { readBack: await this.api.json("GET", path) };
  }
}
