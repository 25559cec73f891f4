// Follows the stream's patches: what the message is by now.
import { Refusal } from "./session.js";

const CONTENT = "response/fragments/-1/content";

export class Telling {
  constructor() {
    this.root = null;
    this.path = "";
    this.operation = "";
  }

  get message() {
    return this.root?.response;
  }

  take(data) {
    if (data.code) throw new Refusal(data.msg);
    const { p, o, v } = data;
    if (p === undefined && v?.response) {
      this.root = v;
    } else if (p === undefined && typeof v === "string") {
      this.apply(CONTENT, "APPEND", v);
    } else if (p === undefined) {
      this.apply("response", o ?? this.operation, v);
    } else {
      this.operation = o ?? (p.endsWith("fragments") || p.endsWith("content") ? "APPEND" : "SET");
      this.apply(p, this.operation, v);
    }
  }

  apply(path, operation, value) {
    if (!this.root) return;
    if (operation === "BATCH") {
      for (const { p, o, v } of value) this.apply(`${path}/${p}`, o ?? "SET", v);
      return;
    }
    const way = path.split("/");
    const last = way.pop();
    let place = this.root;
    for (const step of way) place = Array.isArray(place) ? place.at(Number(step)) : place[step];
    const before = place[last] ?? null;
    if (operation !== "APPEND" || before === null) place[last] = value;
    else place[last] = Array.isArray(before) ? [...before, ...value] : before + value;
  }
}
