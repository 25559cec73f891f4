"""A `message` and its events as bytes. What is the same in all deltas of a block is rendered once."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from relay.api.answer import Composer, Piece
from relay.api.anthropic.error_body import error_body
from relay.api.sse import json_bytes, json_text
from relay.chat.events import Source, ToolCall
from relay.chat.usage import Usage
from relay.errors import RelayError

SIGNATURE = "cmVsYXk="
"""Of every thinking block: clients send it back with the block, and drop blocks that have none."""
MAX_CITED_CHARS = 150
_REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal", "tool_calls": "tool_use"}
_BEGUN: dict[str, dict[str, Any]] = {
    "content": {"type": "text", "text": ""},
    "reasoning": {"type": "thinking", "thinking": "", "signature": ""},
}
_DELTA = {
    "content": b'"delta":{"type":"text_delta","text":',
    "reasoning": b'"delta":{"type":"thinking_delta","thinking":',
}


@dataclass(frozen=True, slots=True)
class Frame:
    """What is known of an answer before it begins."""

    id: str
    model: str
    request_id: str
    input_tokens: int
    thinking: bool = True
    """Whether the client wants to see reasoning."""


class MessageRenderer:
    """The `Renderer` of one answer: blocks one after the other, text and thinking as they come; or the one body."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._index = -1
        self._open = ""
        """The kind of the pieces that the open block takes; empty where none is open."""
        self._head = b""

    def opening(self) -> bytes:
        """The message without its content."""
        return _event(
            "message_start", message=_message(self._frame, [], usage_body(Usage(self._frame.input_tokens, 0)))
        )

    def pieces(self, pieces: Sequence[Piece]) -> bytes:
        """A delta each; a new block where the kind changes."""
        parts: list[bytes] = []
        for piece in pieces:
            if piece.kind == "content" or self._frame.thinking:
                parts += (self._turned_to(piece.kind), self._head, json_text(piece.text), b"}}\n\n")
        return b"".join(parts)

    def keep_alive(self, note: str) -> bytes:
        """A ping, which has no room for a note."""
        return _event("ping")

    def closing(self, composer: Composer, usage: Usage) -> bytes:
        """Citations into the last text, the calls, why it ended and the usage."""
        reason, stop = stop_of(composer)
        named = {"conversation_id": composer.conversation} if composer.conversation else {}
        delta = {"stop_reason": reason, "stop_sequence": stop}
        return b"".join(
            (
                *self._citations(composer.sources),
                self._closed(),
                *(self._call(call) for call in composer.tool_calls),
                _event("message_delta", delta=delta, usage=usage_body(usage), **named),
                _event("message_stop"),
            )
        )

    def failure(self, error: RelayError) -> bytes:
        """The error; nothing is closed, for nothing is whole."""
        return _event("error", **error_body(error.status, error.message, error.code, self._frame.request_id))

    def whole(self, composer: Composer, usage: Usage) -> bytes:
        """A `message`."""
        reason, stop = stop_of(composer)
        message = _message(self._frame, list(self._blocks(composer)), usage_body(usage))
        message.update(stop_reason=reason, stop_sequence=stop)
        if composer.conversation:
            message["conversation_id"] = composer.conversation
        return json_bytes(message)

    def _blocks(self, composer: Composer) -> Iterator[dict[str, Any]]:
        if composer.reasoning and self._frame.thinking:
            yield {"type": "thinking", "thinking": composer.reasoning, "signature": SIGNATURE}
        cited = {"citations": [citation(source) for source in composer.sources]} if composer.sources else {}
        if composer.content or cited:
            yield {"type": "text", "text": composer.content, **cited}
        for call in composer.tool_calls:
            yield {**_tool_use(call), "input": json.loads(call.arguments)}

    def _turned_to(self, kind: str) -> bytes:
        """What ends the open block and begins one of this kind, unless that is the one that is open."""
        if self._open == kind:
            return b""
        return self._closed() + self._begun(_BEGUN[kind], kind)

    def _begun(self, block: dict[str, Any], kind: str) -> bytes:
        self._index += 1
        self._open = kind
        start = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,' % self._index
        self._head = start + _DELTA.get(kind, b"")
        return _event("content_block_start", index=self._index, content_block=block)

    def _closed(self) -> bytes:
        """The end of the open block, if one is."""
        if not self._open:
            return b""
        signed = self._delta({"type": "signature_delta", "signature": SIGNATURE}) if self._open == "reasoning" else b""
        self._open = ""
        return signed + _event("content_block_stop", index=self._index)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _event("content_block_delta", index=self._index, delta=delta)

    def _citations(self, sources: Sequence[Source]) -> Iterator[bytes]:
        for source in sources:
            yield self._turned_to("content")
            yield self._delta({"type": "citations_delta", "citation": citation(source)})

    def _call(self, call: ToolCall) -> bytes:
        begun = self._begun({**_tool_use(call), "input": {}}, "call")
        return begun + self._delta({"type": "input_json_delta", "partial_json": call.arguments}) + self._closed()


def stop_of(composer: Composer) -> tuple[str, str | None]:
    """`stop_reason` and `stop_sequence`."""
    if composer.stopped_by:
        return "stop_sequence", composer.stopped_by
    return _REASONS[composer.finish or "stop"], None


def usage_body(usage: Usage) -> dict[str, Any]:
    """Anthropic's `usage`; an estimate."""
    return {
        "input_tokens": usage.prompt,
        "output_tokens": usage.completion,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
    }


def citation(source: Source) -> dict[str, Any]:
    """A source as the web search of Anthropic's own would name it."""
    return {
        "type": "web_search_result_location",
        "url": source.url,
        "title": source.title or None,
        "cited_text": source.snippet[:MAX_CITED_CHARS],
        "encrypted_index": "",
    }


def _tool_use(call: ToolCall) -> dict[str, Any]:
    """A call without its input, its id as Anthropic begins them."""
    return {"type": "tool_use", "id": f"toolu_{call.id.removeprefix('call_')}", "name": call.name}


def _message(frame: Frame, content: list[dict[str, Any]], usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": frame.id,
        "type": "message",
        "role": "assistant",
        "model": frame.model,
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json_bytes({"type": kind, **fields}))
