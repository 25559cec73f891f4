"""`relay chat`: a chat in the terminal with a running server, streamed."""

from __future__ import annotations

import base64
import json
import mimetypes
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from relay.cli.console import complain
from relay.cli.server import ServerClient
from relay.errors import RelayError, SiteUnavailable
from relay.settings import Settings

DIM, PLAIN = "\x1b[2m", "\x1b[0m"
_TIMEOUT = httpx.Timeout(10, read=120)
"""Seconds; the server sends a sign of life much more often than every two minutes, once it has committed."""


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Delta(_Lenient):
    content: str | None = None
    reasoning_content: str | None = None


class _Choice(_Lenient):
    delta: _Delta = _Delta()
    finish_reason: str | None = None


class _Error(_Lenient):
    message: str = "the server gave no reason"
    code: str | None = None


class _Chunk(_Lenient):
    choices: list[_Choice] = []
    error: _Error | None = None


def run_chat(model: str, prompt: str | None, files: list[Path], *, search: bool, think: bool, url: str | None) -> int:
    """One answer, or a dialogue where there is no prompt and a terminal; the exit status."""
    extras: dict[str, Any] = {}
    if search:
        extras["use_search"] = True
    if think:
        extras["enable_thinking"] = True
    with _server(url) as server:
        conversation = _Conversation(server, {"model": model, "stream": True, **extras})
        if prompt is None and sys.stdin.isatty():
            return conversation.talk(files)
        text = prompt if prompt is not None else sys.stdin.read()
        return conversation.ask(text, files)


def _server(url: str | None) -> ServerClient:
    """By the address that is given; else by the owner's socket, else by the address of the settings."""
    if url is not None:
        return ServerClient.at(url)
    settings = Settings()
    return ServerClient.find(settings) or ServerClient.at(_url_of(settings))


def _url_of(settings: Settings) -> str:
    host = settings.host if settings.host not in ("0.0.0.0", "::") else "127.0.0.1"
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


class _Conversation:
    """The history so far, and how to go on."""

    def __init__(self, server: ServerClient, body: dict[str, Any]) -> None:
        self._server = server
        self._body = body
        self._messages: list[dict[str, Any]] = []
        self._dims = sys.stdout.isatty()
        self._reasoned = False

    def talk(self, files: list[Path]) -> int:
        """A dialogue until end of input; Ctrl-C stops the answer under way, at the prompt it ends the dialogue."""
        while True:
            try:
                text = input("> ").strip()
            except (EOFError, KeyboardInterrupt):
                print()
                return 0
            if text:
                self.ask(text, files)
                files = []

    def ask(self, text: str, files: list[Path]) -> int:
        """Send a prompt and print the answer as it comes; the exit status."""
        self._messages.append({"role": "user", "content": [*map(_part, files), {"type": "text", "text": text}]})
        answer = ""
        try:
            for kind, piece in self._stream():
                answer += piece if kind == "content" else ""
                self._show(kind, piece)
        except KeyboardInterrupt:
            self._messages.pop()
            self._show("end", "")
            complain("stopped")
            return 1
        except RelayError as error:
            self._messages.pop()
            self._show("end", "")
            complain(error.message)
            return 1
        if not answer.endswith("\n"):
            self._show("end", "")
        self._messages.append({"role": "assistant", "content": answer})
        return 0

    def _stream(self) -> Iterator[tuple[str, str]]:
        """("reasoning" | "content", text) as it comes. Raises RelayError with what the server says."""
        body = {**self._body, "messages": self._messages}
        finished = False
        try:
            with self._server.http.stream("POST", "/v1/chat/completions", json=body, timeout=_TIMEOUT) as response:
                if response.status_code != 200:
                    raise RelayError(_refusal(response.status_code, response.read()))
                for line in response.iter_lines():
                    if not line.startswith("data: ") or line == "data: [DONE]":
                        continue
                    chunk = _Chunk.model_validate_json(line[6:])
                    if chunk.error is not None:
                        raise RelayError(chunk.error.message)
                    for choice in chunk.choices:
                        finished = finished or choice.finish_reason is not None
                        if choice.delta.reasoning_content:
                            yield "reasoning", choice.delta.reasoning_content
                        if choice.delta.content:
                            yield "content", choice.delta.content
        except httpx.ConnectError:
            raise SiteUnavailable(
                f"No server answers at {self._server.where}. "
                "Start one with `relay serve` or `relay demo`, or give its address with --url."
            ) from None
        except (httpx.TransportError, ValidationError) as error:
            raise SiteUnavailable(f"The connection to the server failed ({type(error).__name__}).") from None
        if not finished:
            raise SiteUnavailable("The answer was cut off.")

    def _show(self, kind: str, text: str) -> None:
        """Print a piece; reasoning goes dimmed to a terminal, and to standard error where the output is piped."""
        if kind == "reasoning":
            print(f"{DIM}{text}{PLAIN}" if self._dims else text, end="", flush=True, file=_reasoning_to(self._dims))
            self._reasoned = True
        elif kind == "content":
            if self._reasoned:
                print(end="\n\n", flush=True, file=_reasoning_to(self._dims))
                self._reasoned = False
            print(text, end="", flush=True)
        else:
            self._reasoned = False
            print(flush=True)


def _reasoning_to(terminal: bool) -> TextIO:
    return sys.stdout if terminal else sys.stderr


def _refusal(status: int, body: bytes) -> str:
    try:
        return _Error.model_validate(json.loads(body)["error"]).message
    except (ValueError, KeyError, TypeError):
        return f"The server answered HTTP {status} in a form that is not relay's."


def _part(file: Path) -> dict[str, Any]:
    """A file as a content part: an image, or anything else."""
    mime = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    source = f"data:{mime};base64,{base64.b64encode(file.read_bytes()).decode()}"
    if mime.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": source}}
    return {"type": "file", "file": {"filename": file.name, "file_data": source}}
