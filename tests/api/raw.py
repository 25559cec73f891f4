"""Server-sent events read by hand, so that nothing forgives."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.spec import validate

CHAT = "/v1/chat/completions"


def body(model: str = "demo", **fields: Any) -> dict[str, Any]:
    """A request body."""
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], **fields}


@dataclass
class Stream:
    """A whole SSE answer, checked line by line."""

    chunks: list[dict[str, Any]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    error: dict[str, Any] | None = None
    done: bool = False

    @property
    def content(self) -> str:
        """The answer's text."""
        return self.joined("content")

    @property
    def finish(self) -> list[str]:
        """Every finish_reason that is not null."""
        return [c["finish_reason"] for chunk in self.chunks for c in chunk["choices"] if c["finish_reason"]]

    def joined(self, name: str) -> str:
        """One field of the deltas."""
        return "".join(c["delta"].get(name) or "" for chunk in self.chunks for c in chunk["choices"])

    def deltas(self, name: str) -> list[Any]:
        """The deltas' field where it is."""
        return [c["delta"][name] for chunk in self.chunks for c in chunk["choices"] if name in c["delta"]]


def parse(text: str) -> Stream:
    """Check form and order: events end with a blank line, [DONE] once and last, nothing after an error."""
    stream = Stream()
    assert text.endswith("\n\n")
    for event in text[:-2].split("\n\n"):
        assert "\n" not in event, "one line each"
        assert not stream.done and stream.error is None, "nothing follows the end"
        if event.startswith(":"):
            stream.comments.append(event)
            continue
        assert event.startswith("data: ")
        if event == "data: [DONE]":
            stream.done = True
            continue
        value = json.loads(event[6:])
        if "error" in value:
            validate("ErrorResponse", value)
            stream.error = value["error"]
        else:
            validate("CreateChatCompletionStreamResponse", value)
            stream.chunks.append(value)
    return stream


def stream(http: httpx.Client, model: str = "demo", **fields: Any) -> Stream:
    """Ask for a stream and read it whole."""
    response = http.post(CHAT, json=body(model, stream=True, **fields))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    return parse(response.text)


def error_of(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check an error answer's form; its fields."""
    assert response.status_code == status, response.text
    validate("ErrorResponse", response.json())
    assert set(response.json()) == {"error"}
    error: dict[str, Any] = response.json()["error"]
    assert error["code"] == code, error
    assert error["message"]
    assert response.headers["x-request-id"]
    return error
