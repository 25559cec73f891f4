"""Real Gradio apps for the tests: runs with Gradio 4, 5 and 6 in an environment of `scripts/test-env`.

    python app.py KIND [KIND ...] --port 0 --folder DIR

Each kind is mounted at `/<kind>/` of one server; its address is printed as one line of JSON. What the apps
receive is appended to `DIR/received.jsonl`. A message `script:<id>` is answered with `DIR/<id>.json`
(`{"text": ..., "cuts": [...]}`: the text is streamed up to each cut in turn). The kind `stage` answers every message
with the pieces of `DIR/scenario.json`; what goes wrong there is in `faults.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import re
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.update(
    GRADIO_ANALYTICS_ENABLED="False",
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    GRADIO_SSR_MODE="False",
    GRADIO_MCP_SERVER="False",
)

import gradio as gr
import uvicorn
from fastapi import FastAPI
from faults import Faults

VERSION = int(gr.__version__.split(".")[0])
FOLDER = Path()
YIELD_S = 0.5
MODELS = [("Small one", "tiny-1b"), ("Large one", "big/70b")]


def record(kind: str, event: str, **details: Any) -> None:
    """Append what happened to the record that tests read."""
    with (FOLDER / "received.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"kind": kind, "event": event, **details}) + "\n")


def pieces(message: str) -> Iterator[str]:
    """The growing answer to a message."""
    if match := re.search(r"script:([\w-]+)", message):
        script = json.loads((FOLDER / f"{match[1]}.json").read_text("utf-8"))
        for cut in script["cuts"]:
            yield script["text"][:cut]
        yield script["text"]
    elif message == "error:shown":
        yield "so far"
        raise gr.Error("The weights are on fire.")
    elif message == "error:hidden":
        raise ValueError("a secret of the app")
    elif message == "error:quota":
        raise gr.Error("You have exceeded your GPU quota (60s requested vs. 0s left).")
    else:
        words = f"You said: {message}".split(" ")
        yield from (" ".join(words[: n + 1]) for n in range(len(words)))


async def endless(kind: str) -> AsyncIterator[str]:
    """An answer that ends only when it is stopped."""
    text = "tick"
    try:
        while True:
            yield text
            text += " tick"
            await asyncio.sleep(0.05)
    finally:
        record(kind, "stopped")


def answerer(kind: str) -> Callable[..., AsyncIterator[str]]:
    """The chat function of a text app."""

    async def chat(message: str, history: Any) -> AsyncIterator[str]:
        record(kind, "message", text=message, history=len(history))
        if message == "endless":
            async for text in endless(kind):
                yield text
            return
        for text in pieces(message):
            yield text
            await asyncio.sleep(0)

    return chat


def chat_interface(fn: Callable[..., Any], **options: Any) -> Any:
    """A ChatInterface in the messages format where the version lets one choose."""
    if VERSION == 5:
        options["type"] = "messages"
    return gr.ChatInterface(fn, **options)


def text() -> Any:
    """A plain text chat."""
    return chat_interface(answerer("text"))


def auth() -> Any:
    """The same behind a login."""
    return chat_interface(answerer("auth"))


def private() -> Any:
    """A ChatInterface whose API is switched off: only the page's own chain of events is left."""
    options: dict[str, Any] = {"api_visibility": "private"} if VERSION == 6 else {}
    app = chat_interface(answerer("private"), **options)
    for function in app.fns.values() if VERSION < 6 else ():
        if function.api_name == "chat":
            function.api_name = False
    return app


def multimodal() -> Any:
    """Reports the files it got."""

    def report(message: dict[str, Any], history: Any) -> str:
        lines = [message["text"]]
        for file in message["files"]:
            path = Path(file if isinstance(file, str) else file["path"])
            lines.append(f"{path.name} {path.stat().st_size} {hashlib.sha256(path.read_bytes()).hexdigest()}")
        record("multimodal", "message", text=message["text"], files=lines[1:])
        return "\n".join(lines)

    return chat_interface(report, multimodal=True, textbox=gr.MultimodalTextbox(file_count="multiple"))


def thinking() -> Any:
    """Reasons in a bubble of its own, then answers, then shows a picture (Gradio 5 and 6)."""

    def think(message: str, history: Any) -> Iterator[Any]:
        thought = gr.ChatMessage(role="assistant", content="", metadata={"title": "Thinking", "status": "pending"})
        for text in ("Let me", "Let me see", "Let me see ..."):
            thought.content = text
            yield [thought]
        thought.metadata["status"] = "done"
        answer = gr.ChatMessage(role="assistant", content="")
        for text in ("The", "The answer", "The answer is **42**."):
            answer.content = text
            yield [thought, answer]
        if message == "picture":
            yield [thought, answer, gr.ChatMessage(role="assistant", content={"path": str(picture())})]

    return chat_interface(think)


def stage() -> Any:
    """Plays the pieces of a scenario (tests/replicas/scenario.py), and tells of the files it got."""

    async def play(message: dict[str, Any], history: Any) -> AsyncIterator[Any]:
        scenario = json.loads((FOLDER / "scenario.json").read_text("utf-8"))
        paths = [Path(file if isinstance(file, str) else file["path"]) for file in message["files"]]
        files = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
        record("stage", "message", text=message["text"], files=files, history=len(history))
        ended = False
        try:
            async for value in scripted(scenario["pieces"]):
                yield value
            if scenario["error"]:
                raise gr.Error(scenario["error"])
            ended = True
        except gr.Error:
            ended = True
            raise
        finally:
            if not ended:
                record("stage", "stopped")

    # A box of one's own has no stop button unless it asks for one.
    box = gr.MultimodalTextbox(file_count="multiple", stop_btn=True)
    return chat_interface(play, multimodal=True, textbox=box)


async def scripted(pieces: list[dict[str, Any]]) -> AsyncIterator[Any]:
    """The growing answer: a text, or a bubble with the thought and one with the text."""
    thought = gr.ChatMessage(role="assistant", content="", metadata={"title": "Thinking", "status": "pending"})
    answer = gr.ChatMessage(role="assistant", content="")
    thinks = any(piece["kind"] == "reasoning" for piece in pieces)
    shown: list[Any] = []
    for piece in pieces:
        for _ in range(int(piece["after_ms"] / 1000 / YIELD_S)):  # it can be stopped only where it yields
            await asyncio.sleep(YIELD_S)
            if shown:
                yield shown if thinks else answer.content
        await asyncio.sleep(piece["after_ms"] / 1000 % YIELD_S)
        if piece["kind"] == "reasoning":
            thought.content += piece["text"]
        elif piece["kind"] == "text":
            thought.metadata["status"] = "done"
            answer.content += piece["text"]
        shown = [thought, answer] if answer.content else [thought]
        yield shown if thinks else answer.content


def picture() -> Path:
    """A one-pixel image that the app may serve."""
    path = FOLDER / "pixel.gif"
    path.write_bytes(
        bytes.fromhex("47494638396101000100800000ff0000ffffff21f90401000000002c00000000010001000002024401003b")
    )
    return path


def options() -> Any:
    """Additional inputs, among them a choice of model."""

    def chat(message: str, history: Any, model: str, length: float) -> str:
        record("options", "message", text=message, model=model, length=length)
        return f"{model} ({length:g}): {message}"

    model = gr.Dropdown(MODELS, value="tiny-1b", label="Model")
    return chat_interface(chat, additional_inputs=[model, gr.Slider(1, 100, value=7, label="Length")])


def blocks() -> Any:
    """A chat of single components: box and button, a user step and a bot step."""

    def user(message: str, history: list[Any]) -> tuple[str, list[Any]]:
        if VERSION == 4:
            return "", [*history, [message, None]]
        return "", [*history, {"role": "user", "content": message}]

    async def bot(history: list[Any], model: str) -> AsyncIterator[list[Any]]:
        last = history[-1]
        said = last[0] if VERSION == 4 else last["content"]
        message = said if isinstance(said, str) else said[0]["text"]
        record("blocks", "message", text=message, model=model, history=len(history))
        async for text in answerer("blocks")(message, history):
            yield (
                [*history[:-1], [message, text]] if VERSION == 4 else [*history, {"role": "assistant", "content": text}]
            )

    with gr.Blocks() as app:
        gr.Textbox("not the message", label="Notes")
        chatbot = gr.Chatbot(type="messages") if VERSION == 5 else gr.Chatbot()
        model = gr.Radio(MODELS, value="tiny-1b", label="Which model")
        box = gr.Textbox(label="Message", placeholder="Say something")
        send, clear = gr.Button("Send"), gr.Button("Clear")
        box.submit(user, [box, chatbot], [box, chatbot], queue=False).then(bot, [chatbot, model], chatbot)
        send.click(user, [box, chatbot], [box, chatbot]).then(bot, [chatbot, model], chatbot)
        clear.click(list, None, chatbot, queue=False)
    return app


def plain() -> Any:
    """No chat at all: a text box in, Markdown out."""

    async def answer(message: str) -> AsyncIterator[str]:
        record("plain", "message", text=message)
        for text in pieces(message):
            yield text

    return gr.Interface(answer, gr.Textbox(label="Question"), gr.Markdown(), api_name=False)


KINDS = {make.__name__: make for make in (text, auth, private, multimodal, thinking, options, blocks, plain, stage)}


def main() -> None:
    """Serve the kinds that were asked for."""
    global FOLDER
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="+", choices=KINDS)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True)
    arguments = parser.parse_args()
    FOLDER = arguments.folder.resolve()
    server = FastAPI()
    for kind in arguments.kinds:
        secured: dict[str, Any] = {"auth": ("ada", "lovelace:1815")} if kind == "auth" else {}
        if kind == "thinking":
            secured["allowed_paths"] = [str(FOLDER)]
        app = KINDS[kind]()
        app._queue.sleep_when_free = 0.05  # Gradio 6 looks a thousand times a second, however idle
        server = gr.mount_gradio_app(server, app, path=f"/{kind}", show_error=kind != "plain", **secured)
    listener = socket.create_server(("127.0.0.1", arguments.port))
    print(json.dumps({"address": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
    # A function that nobody could stop is not waited for.
    config = uvicorn.Config(Faults(server, FOLDER), log_level="warning", timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
