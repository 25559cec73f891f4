"""`chat.completion` and its chunks as bytes. What is the same in all chunks of an answer is rendered once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from relay.api.answer import Composer, Piece
from relay.api.errors import body_of
from relay.api.sse import json_text
from relay.chat.events import ToolCall
from relay.chat.usage import Usage
from relay.errors import RelayError

_FIELD = {"content": b'{"content":', "reasoning": b'{"reasoning_content":'}


@dataclass(frozen=True, slots=True)
class Frame:
    """What every chunk and the whole answer repeat."""

    id: str
    created: int
    model: str


class Chunks:
    """The chunks of one answer, each a whole `data:` event."""

    def __init__(self, frame: Frame, *, with_usage: bool) -> None:
        self.with_usage = with_usage
        start = _dump(
            {"id": frame.id, "object": "chat.completion.chunk", "created": frame.created, "model": frame.model}
        )
        self._start = b"data: " + start[:-1]
        self._head = self._start + b',"choices":[{"index":0,"delta":'
        self._usage = b',"usage":null' if with_usage else b""
        self._tail = b',"finish_reason":null}]' + self._usage + b"}\n\n"

    def role(self) -> bytes:
        """The first chunk: timers stop."""
        return self._head + b'{"role":"assistant","content":""}' + self._tail

    def piece(self, piece: Piece) -> bytes:
        """Text or reasoning."""
        return b"".join((self._head, _FIELD[piece.kind], json_text(piece.text), b"}", self._tail))

    def extras(self, composer: Composer) -> bytes:
        """What is known only at the end: annotations and tool calls."""
        delta: dict[str, Any] = {}
        annotations = composer.annotations()
        if annotations:
            delta["annotations"] = annotations
        if composer.tool_calls:
            calls = tool_calls(composer.tool_calls)
            delta["tool_calls"] = [{"index": index, **call} for index, call in enumerate(calls)]
        return self._head + _dump(delta) + self._tail if delta else b""

    def finish(self, reason: str, conversation_id: str) -> bytes:
        """The last chunk with a choice; it also names the conversation."""
        extra = b',"conversation_id":' + json_text(conversation_id) if conversation_id else b""
        return b"".join((self._head, b'{},"finish_reason":', json_text(reason), b"}]", self._usage, extra, b"}\n\n"))

    def usage(self, usage: Usage) -> bytes:
        """The chunk without a choice, for who asked."""
        return self._start + b',"choices":[],"usage":' + _dump(usage_body(usage)) + b"}\n\n"


def error_event(error: RelayError) -> bytes:
    """How a stream that failed ends."""
    return b"data: " + _dump(body_of(error)) + b"\n\n"


def completion(frame: Frame, composer: Composer, usage: Usage) -> bytes:
    """The whole answer in one body."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": composer.content,
        "refusal": None,
        "annotations": composer.annotations(),
    }
    if composer.reasoning:
        message["reasoning_content"] = composer.reasoning
    if composer.tool_calls:
        message["tool_calls"] = tool_calls(composer.tool_calls)
    body: dict[str, Any] = {
        "id": frame.id,
        "object": "chat.completion",
        "created": frame.created,
        "model": frame.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": composer.finish}],
        "usage": usage_body(usage),
    }
    if composer.conversation:
        body["conversation_id"] = composer.conversation
    return _dump(body)


def usage_body(usage: Usage) -> dict[str, Any]:
    """OpenAI's `usage`; an estimate."""
    return {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.total,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def tool_calls(calls: list[ToolCall]) -> list[dict[str, Any]]:
    """The site's own calls in OpenAI's form."""
    return [
        {"id": f"call_{number}", "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for number, call in enumerate(calls)
    ]


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
