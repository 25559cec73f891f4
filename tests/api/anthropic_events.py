"""Answers of `/v1/messages` read by hand and judged by what clients rely on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.spec import ANTHROPIC, validate

MESSAGES = "/v1/messages"
COUNT = "/v1/messages/count_tokens"
GROWS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("thinking", "signature"),
    "input_json_delta": ("tool_use", "partial_json"),
    "citations_delta": ("text", "citation"),
}
"""For each delta the block that it belongs into, and its field."""


def body(model: str = "demo", **fields: Any) -> dict[str, Any]:
    """A request body."""
    return {"model": model, "max_tokens": 4096, "messages": [{"role": "user", "content": "hi"}], **fields}


@dataclass
class Events:
    """A whole stream: the message that its events add up to, or the error that ended it."""

    message: dict[str, Any] = field(default_factory=dict)
    types: list[str] = field(default_factory=list)
    """Of the events, neighbours of one kind once."""
    error: dict[str, Any] | None = None


def parse(text: str) -> Events:
    """Check every event, their order, and that blocks are open one at a time."""
    stream = Events()
    opened: dict[str, Any] | None = None
    written = ""
    assert text.endswith("\n\n")
    for block in text[:-2].split("\n\n"):
        named, told = block.split("\n")
        event = json.loads(told.removeprefix("data: "))
        kind = event["type"]
        assert named == f"event: {kind}"
        assert stream.error is None and stream.types[-1:] != ["message_stop"], "nothing follows the end"
        if stream.types[-1:] != [kind]:
            stream.types.append(kind)
        if kind == "error":
            check_error(event)
            stream.error = event["error"]
            continue
        if kind == "ping":
            assert event == {"type": "ping"}
            continue
        validate("RawMessageStreamEvent", event, ANTHROPIC)
        match kind:
            case "message_start":
                assert not stream.message
                stream.message = event["message"]
                assert (stream.message["content"], stream.message["stop_reason"]) == ([], None)
            case "content_block_start":
                assert opened is None and event["index"] == len(stream.message["content"])
                opened, written = event["content_block"], ""
                stream.message["content"].append(opened)
            case "content_block_delta":
                assert opened is not None and event["index"] == len(stream.message["content"]) - 1
                delta = event["delta"]
                into, name = GROWS[delta["type"]]
                assert opened["type"] == into
                if name == "partial_json":
                    written += delta[name]
                elif name == "citation":
                    opened.setdefault("citations", []).append(delta[name])
                else:
                    opened[name] += delta[name]
            case "content_block_stop":
                assert opened is not None and event["index"] == len(stream.message["content"]) - 1
                if opened["type"] == "tool_use":
                    opened["input"] = json.loads(written)
                opened = None
            case "message_delta":
                assert opened is None
                stream.message.update(event["delta"])
                stream.message["usage"].update(event["usage"])
                if "conversation_id" in event:
                    stream.message["conversation_id"] = event["conversation_id"]
    assert (stream.types[-2:] == ["message_delta", "message_stop"]) == (stream.error is None)
    return stream


def ask(http: httpx.Client, model: str = "demo", *, stream: bool = False, **fields: Any) -> dict[str, Any]:
    """A message, however it came; every byte judged."""
    answer = http.post(MESSAGES, json=body(model, stream=stream, **fields))
    assert answer.status_code == 200, answer.text
    if stream:
        assert answer.headers["content-type"].startswith("text/event-stream")
        message = parse(answer.text).message
    else:
        message = answer.json()
    validate("Message", message, ANTHROPIC)
    return message


def text_of(message: dict[str, Any]) -> str:
    """Its text."""
    return "".join(block["text"] for block in message["content"] if block["type"] == "text")


def check_error(value: dict[str, Any]) -> None:
    """The form of Anthropic's errors, with relay's `code` in it."""
    assert set(value) == {"type", "error", "request_id"}
    assert value["type"] == "error"
    assert set(value["error"]) == {"type", "message", "code"}
    assert all(value["error"].values()) and value["request_id"]


def error_of(response: httpx.Response, status: int, kind: str, code: str) -> str:
    """Check an error answer; its message."""
    assert response.status_code == status, response.text
    told = response.json()
    check_error(told)
    assert (told["error"]["type"], told["error"]["code"]) == (kind, code)
    assert told["request_id"] == response.headers["request-id"]
    message: str = told["error"]["message"]
    return message
