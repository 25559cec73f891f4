"""Streams of ChatGPT as the fact sheet shows them (section 5), built and read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from relay.browser.answer import Answer
from relay.chat.events import Event, Progress, Text
from relay.sites.chatgpt.reader import ChatGptReader

ID = "6e0c0000-0000-4000-8000-000000000001"


def data(value: Any, event: str = "") -> bytes:
    """One event of a stream."""
    text = value if isinstance(value, str) and value == "[DONE]" else json.dumps(value)
    return (f"event: {event}\n" if event else "").encode() + f"data: {text}\n\n".encode()


def delta(v: Any = None, **more: Any) -> bytes:
    """One delta."""
    return data({**more, "v": v}, "delta")


def message(id: str, content: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An assistant's message as a delta adds it, by default an empty answer."""
    base = {
        "id": id,
        "author": {"role": "assistant"},
        "content": content or {"content_type": "text", "parts": [""]},
        "status": "in_progress",
        "end_turn": None,
        "recipient": "all",
        "channel": "final",
        "metadata": {},
    }
    return base | more


def add(said: dict[str, Any], c: int = 1) -> bytes:
    """The delta that adds a message."""
    return delta({"message": said, "conversation_id": ID, "error": None}, p="", o="add", c=c)


def text(piece: str) -> bytes:
    """The delta that appends to the answer, everything said."""
    return delta(piece, p="/message/content/parts/0", o="append")


OPEN = (
    data("v1", "delta_encoding")
    + data({"type": "resume_conversation_token", "conversation_id": ID, "token": "tok-made-up"})
)  # fmt: skip
ENDED = delta(
    [
        {"p": "/message/status", "o": "replace", "v": "finished_successfully"},
        {"p": "/message/end_turn", "o": "replace", "v": True},
        {"p": "/message/metadata", "o": "append", "v": {"is_complete": True, "finish_details": {"type": "stop"}}},
    ],
    p="", o="patch",
)  # fmt: skip
COMPLETE = data({"type": "message_stream_complete", "conversation_id": ID})
DONE = data("[DONE]")
HANDED_OVER = data(
    {"type": "stream_handoff", "conversation_id": ID, "turn_exchange_id": "x", "options": [
        {"type": "resume_sse_endpoint"}, {"type": "subscribe_ws_topic", "topic_id": "conversation-turn-1"}]}
)  # fmt: skip


def picture(pointer: str | None, id: str = "p", **more: Any) -> dict[str, Any]:
    """A tool's message that shows a picture, or says that one is made."""
    parts = [] if pointer is None else [{"content_type": "image_asset_pointer", "asset_pointer": pointer, "width": 1}]
    content = {"content_type": "multimodal_text", "parts": parts}
    return message(id, content, author={"role": "tool", "name": "t2uay3k"}, channel=None, **more)


async def read(chunks: Iterable[bytes], reader: ChatGptReader | None = None) -> list[Event]:
    """The events of a stream, without those that only show that it lives."""
    answer = Answer(200, {"content-type": "text/event-stream"}, "https://chatgpt.com/")
    for chunk in chunks:
        answer.push(chunk)
    answer.finish()
    found = [event async for event in (reader or ChatGptReader()).read(answer)]
    return [event for event in found if not isinstance(event, Progress)]


def said(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))
