"""`chat.completion` and its chunks as bytes. What is the same in all chunks of an answer is rendered once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from relay.api.answer import Composer, Piece
from relay.api.errors import body_of
from relay.api.sse import DONE, json_bytes, json_text, keep_alive
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
    functions: bool = False
    """Whether the client speaks of `functions`, as before there were tools: it looks for one `function_call`."""

    def reason(self, finish: str) -> str:
        """The finish reason in the client's words."""
        return "function_call" if self.functions and finish == "tool_calls" else finish


class ChatRenderer:
    """The `Renderer` of one answer: chunks, each a whole `data:` event, or the one body."""

    def __init__(self, frame: Frame, *, with_usage: bool = False) -> None:
        self._frame = frame
        self._with_usage = with_usage
        start = json_bytes(
            {"id": frame.id, "object": "chat.completion.chunk", "created": frame.created, "model": frame.model}
        )
        self._start = b"data: " + start[:-1]
        self._head = self._start + b',"choices":[{"index":0,"delta":'
        self._usage = b',"usage":null' if with_usage else b""
        self._tail = b',"finish_reason":null}]' + self._usage + b"}\n\n"

    def opening(self) -> bytes:
        """The role."""
        return self._head + b'{"role":"assistant","content":""}' + self._tail

    def pieces(self, pieces: Sequence[Piece]) -> bytes:
        """A chunk of text or reasoning each."""
        parts: list[bytes] = []
        for piece in pieces:
            parts += (self._head, _FIELD[piece.kind], json_text(piece.text), b"}", self._tail)
        return b"".join(parts)

    def keep_alive(self, note: str) -> bytes:
        """A comment."""
        return keep_alive(note)

    def closing(self, composer: Composer, usage: Usage) -> bytes:
        """Calls and annotations, the finish reason, the usage for who asked for it, and the end mark."""
        assert composer.finish is not None
        counts = self._start + b',"choices":[],"usage":' + json_bytes(usage_body(usage)) + b"}\n\n"
        return b"".join(
            (
                self._extras(composer),
                self._finish(self._frame.reason(composer.finish), composer.conversation),
                counts if self._with_usage else b"",
                DONE,
            )
        )

    def _extras(self, composer: Composer) -> bytes:
        """What is known only at the end: annotations, and each call in two chunks, as clients merge them."""
        deltas: list[dict[str, Any]] = []
        annotations = composer.annotations()
        if annotations:
            deltas.append({"annotations": annotations})
        calls = tool_calls(composer.tool_calls)
        if calls and self._frame.functions:
            deltas.append({"function_call": calls[0]["function"]})
            calls = []
        for index, call in enumerate(calls):
            function = call["function"]
            opened = {"index": index, **call, "function": {"name": function["name"], "arguments": ""}}
            filled = {"index": index, "function": {"arguments": function["arguments"]}}
            deltas += [{"tool_calls": [opened]}, {"tool_calls": [filled]}]
        return b"".join(self._head + json_bytes(delta) + self._tail for delta in deltas)

    def _finish(self, reason: str, conversation_id: str) -> bytes:
        """The last chunk with a choice; it also names the conversation."""
        extra = b',"conversation_id":' + json_text(conversation_id) if conversation_id else b""
        return b"".join((self._head, b'{},"finish_reason":', json_text(reason), b"}]", self._usage, extra, b"}\n\n"))

    def failure(self, error: RelayError) -> bytes:
        """The error; no [DONE]: it was not done."""
        return b"data: " + json_bytes(body_of(error)) + b"\n\n"

    def whole(self, composer: Composer, usage: Usage) -> bytes:
        """A `chat.completion`."""
        return completion(self._frame, composer, usage)


def completion(frame: Frame, composer: Composer, usage: Usage) -> bytes:
    """The whole answer in one body."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": composer.content or (None if composer.tool_calls else ""),
        "refusal": None,
        "annotations": composer.annotations(),
    }
    if composer.reasoning:
        message["reasoning_content"] = composer.reasoning
    calls = tool_calls(composer.tool_calls)
    if calls and frame.functions:
        message["function_call"] = calls[0]["function"]
    elif calls:
        message["tool_calls"] = calls
    body: dict[str, Any] = {
        "id": frame.id,
        "object": "chat.completion",
        "created": frame.created,
        "model": frame.model,
        "choices": [
            {"index": 0, "message": message, "logprobs": None, "finish_reason": frame.reason(composer.finish or "")}
        ],
        "usage": usage_body(usage),
    }
    if composer.conversation:
        body["conversation_id"] = composer.conversation
    return json_bytes(body)


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
    """Calls in OpenAI's form."""
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in calls
    ]
