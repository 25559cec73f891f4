// The toy site's page: one text area, one room.
const A = { q: "q", go: "go", halt: "halt", reply: "reply", md: "md", oops: "oops" };
const B = { q: "x1", go: "x2", halt: "x3", reply: "x4", md: "x5", oops: "x6" };
const app = document.getElementById("app");

function make(tag, marks, ...children) {
  const node = Object.assign(document.createElement(tag), marks);
  node.append(...children);
  return node;
}

class Page {
  constructor(names) {
    this.names = names;
    this.room = location.pathname.match(/^\/room\/(.+)/)?.[1] ?? null;
    this.after = null;
    this.list = make("main", {});
    this.box = make(names === A ? "textarea" : "div", { id: names.q, contentEditable: "plaintext-only" });
    this.box.oninput = () => this.update();
    this.go = make("button", { id: names.go, onclick: () => this.ask() }, "Go");
    this.halt = make("button", { id: names.halt, onclick: () => this.running?.abort() }, "Halt");
    this.bar = make("footer", {}, this.box, this.go);
    app.replaceChildren(this.list, this.bar);
    this.update();
  }

  get text() {
    return this.names === A ? this.box.value : this.box.innerText;
  }

  update() {
    this.go.disabled = Boolean(this.running) || !this.text;
    if (this.running) this.bar.append(this.halt);
    else this.halt.remove();
  }

  turn(text) {
    const md = make("div", { className: this.names.md });
    this.list.append(make("p", {}, text), make("div", { className: this.names.reply }, md));
    return md;
  }

  complain(text) {
    this.list.append(make("div", { className: this.names.oops }, text));
  }

  async recall() {
    if (!this.room) return;
    for (const { text, id } of await (await fetch(`/api/rooms/${this.room}`)).json()) {
      this.turn(text).textContent = "…";
      this.after = id;
    }
  }

  async ask() {
    const { text } = this;
    this.running = new AbortController();
    if (this.names === A) this.box.value = "";
    else this.box.textContent = "";
    this.update();
    const md = this.turn(text);
    try {
      const answer = await fetch("/api/ask", {
        method: "POST",
        headers: { "Content-Type": "application/json", "x-toy-client": "web-1" },
        body: JSON.stringify({ text, after: this.after, room: this.room }),
        signal: this.running.signal,
      });
      if (!answer.headers.get("content-type")?.startsWith("application/x-ndjson")) throw new Error("Toy is busy.");
      await this.read(answer, md);
    } catch (error) {
      if (error.name !== "AbortError") this.complain(error.message);
    } finally {
      this.running = null;
      this.update();
    }
  }

  async read(answer, md) {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let held = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Error("The answer broke off.");
      const lines = (held + value).split("\n");
      held = lines.pop();
      for (const line of lines) {
        const said = JSON.parse(line);
        if (said.room) {
          [this.room, this.after] = [said.room, said.id];
          history.replaceState(null, "", `/room/${said.room}`);
        }
        if (said.t) md.append(said.t);
        if (said.fail) throw new Error(said.say);
        if (said.end) return;
      }
    }
  }
}

const { layout, hydrateMs } = await (await fetch("/page-config")).json();
await new Promise((resolve) => setTimeout(resolve, hydrateMs));
const who = await fetch("/api/whoami");
if (who.status === 200 && (await who.json()).name) await new Page(layout === "B" ? B : A).recall();
else app.replaceChildren(make("form", { id: "enter" }, "Log in"));
