"""A `response` and its events as bytes.

Reasoning goes out as a summary: that is the form in which clients of a hosted model look for it, and the one whose
events OpenAI and Open Responses name alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from relay.api.answer import Composer, Piece
from relay.api.openai.response_items import item_id
from relay.api.openai.response_object import begun, error_of, status_of, usage_of
from relay.api.sse import json_bytes, json_text, keep_alive
from relay.chat.events import ToolCall
from relay.chat.usage import Usage
from relay.errors import RelayError

Keep = Callable[[dict[str, Any]], None]


class TextItem:
    """An item of the output that grows: the message, or reasoning."""

    def __init__(self, response: str, index: int) -> None:
        self.id = item_id(response, self.kind, index)
        self.index = index
        self.texts: list[str] = []
        self.annotations: list[dict[str, Any]] = []
        self.status = "in_progress"
        self.place = {"item_id": self.id, "output_index": index, self.part_index: 0}
        told = json_bytes({"type": self.delta, **self.place, **self.extra})[:-1]
        self._head = b"event: " + self.delta.encode() + b"\ndata: " + told + b',"sequence_number":'

    kind = "message"
    delta = "response.output_text.delta"
    part_index = "content_index"
    part_added, part_done = "response.content_part.added", "response.content_part.done"
    text_done = "response.output_text.done"
    extra: Mapping[str, Any] = {"logprobs": []}

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self.texts)

    def grown(self, text: str, number: int) -> bytes:
        """The event that adds `text`."""
        self.texts.append(text)
        return self._head + b'%d,"delta":' % number + json_text(text) + b"}\n\n"

    def part(self, text: str) -> dict[str, Any]:
        """Its one part."""
        return {"type": "output_text", "text": text, "annotations": self.annotations, "logprobs": []}

    def item(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        """As it stands in the output."""
        return {"id": self.id, "type": "message", "role": "assistant", "status": self.status, "content": parts}


class ReasoningItem(TextItem):
    """Reasoning."""

    kind = "reasoning"
    delta = "response.reasoning_summary_text.delta"
    part_index = "summary_index"
    part_added, part_done = "response.reasoning_summary_part.added", "response.reasoning_summary_part.done"
    text_done = "response.reasoning_summary_text.done"
    extra: Mapping[str, Any] = {}

    def part(self, text: str) -> dict[str, Any]:
        return {"type": "summary_text", "text": text}

    def item(self, parts: list[dict[str, Any]]) -> dict[str, Any]:
        return {"id": self.id, "type": "reasoning", "summary": parts, "status": self.status}


class ResponseRenderer:
    """The `Renderer` of one answer: `event:` and `data:`, numbered; or the one body.

    There is one message, whatever comes between its words: reasoning that does becomes an item of its own beside it.
    """

    def __init__(self, common: Mapping[str, Any], keep: Keep | None = None) -> None:
        """`common`: what the response repeats of its request (`response_object.echo`); `keep` gets it at its end."""
        self._common = common
        self._keep = keep
        self._number = -1
        self._output: list[TextItem] = []
        self._message: TextItem | None = None
        self._reasoning: TextItem | None = None

    def opening(self) -> bytes:
        """The response, with nothing in it."""
        response = begun(self._common)
        return self._event("response.created", response=response) + self._event(
            "response.in_progress", response=response
        )

    def pieces(self, pieces: Sequence[Piece]) -> bytes:
        """Deltas, and what begins and ends their items."""
        out: list[bytes] = []
        for piece in pieces:
            if piece.kind == "reasoning":
                item = self._reasoning = self._reasoning or self._open(ReasoningItem, out)
            else:
                self._close_reasoning(out)
                item = self._message = self._message or self._open(TextItem, out)
            out.append(item.grown(piece.text, self._next()))
        return b"".join(out)

    def keep_alive(self, note: str) -> bytes:
        """A comment."""
        return keep_alive(note)

    def closing(self, composer: Composer, usage: Usage) -> bytes:
        """The ends of all items, the calls, and the whole response."""
        events, response = self._end(composer, usage)
        return events + self._event(f"response.{response['status']}", response=response)

    def failure(self, error: RelayError) -> bytes:
        """The response as far as it came."""
        for item in self._output:
            item.status = "incomplete" if item.status == "in_progress" else item.status
        told = {"status": "failed", "error": error_of(error), "output": [_whole(item) for item in self._output]}
        return self._event("response.failed", response={**begun(self._common), **told})

    def whole(self, composer: Composer, usage: Usage) -> bytes:
        """The response that a stream would have ended with."""
        said = (Piece("reasoning", composer.reasoning), Piece("content", composer.content))
        self.pieces([piece for piece in said if piece.text])
        return json_bytes(self._end(composer, usage)[1])

    def _end(self, composer: Composer, usage: Usage) -> tuple[bytes, dict[str, Any]]:
        """The last events of the items, and the response."""
        assert composer.finish is not None
        status, details = status_of(composer.finish)
        out: list[bytes] = []
        self._close_reasoning(out)
        if self._message is None and not composer.tool_calls:
            self._message = self._open(TextItem, out)  # an empty answer is an answer
        if self._message is not None:
            for index, annotation in enumerate(composer.annotations()):
                flat = {"type": annotation["type"], **annotation["url_citation"]}
                self._message.annotations.append(flat)
                told = {**self._message.place, "annotation_index": index, "annotation": flat}
                out.append(self._event("response.output_text.annotation.added", **told))
            self._close(self._message, status, out)
        output = [_whole(item) for item in self._output]
        for call in composer.tool_calls:
            output.append(self._call(call, len(output), out))
        response = {
            **begun(self._common),
            "status": status,
            "completed_at": int(time.time()) if status == "completed" else None,
            "incomplete_details": details,
            "output": output,
            "usage": usage_of(usage),
        }
        if composer.conversation:
            response["conversation_id"] = composer.conversation
        if self._keep is not None:
            self._keep(response)
        return b"".join(out), response

    def _open(self, kind: type[TextItem], out: list[bytes]) -> TextItem:
        item = kind(self._common["id"], len(self._output))
        self._output.append(item)
        out.append(self._event("response.output_item.added", output_index=item.index, item=item.item([])))
        out.append(self._event(item.part_added, **item.place, part=item.part("")))
        return item

    def _close(self, item: TextItem, status: str, out: list[bytes]) -> None:
        item.status = status
        text = item.text
        out.append(self._event(item.text_done, **item.place, text=text, **item.extra))
        out.append(self._event(item.part_done, **item.place, part=item.part(text)))
        out.append(self._event("response.output_item.done", output_index=item.index, item=_whole(item)))

    def _close_reasoning(self, out: list[bytes]) -> None:
        if self._reasoning is not None:
            self._close(self._reasoning, "completed", out)
            self._reasoning = None

    def _call(self, call: ToolCall, index: int, out: list[bytes]) -> dict[str, Any]:
        """A call at once: its arguments are known whole."""
        name = item_id(self._common["id"], "function_call", index)
        item = {"id": name, "type": "function_call", "call_id": call.id, "name": call.name}
        place = {"item_id": name, "output_index": index}
        begun_call = {**item, "arguments": "", "status": "in_progress"}
        done = {**item, "arguments": call.arguments, "status": "completed"}
        out.append(self._event("response.output_item.added", output_index=index, item=begun_call))
        out.append(self._event("response.function_call_arguments.delta", **place, delta=call.arguments))
        told = {**place, "name": call.name, "arguments": call.arguments}
        out.append(self._event("response.function_call_arguments.done", **told))
        out.append(self._event("response.output_item.done", output_index=index, item=done))
        return done

    def _event(self, kind: str, **fields: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._next(), **fields}
        return b"event: " + kind.encode() + b"\ndata: " + json_bytes(event) + b"\n\n"

    def _next(self) -> int:
        self._number += 1
        return self._number


def _whole(item: TextItem) -> dict[str, Any]:
    """An item with all its text."""
    return item.item([item.part(item.text)])
