"""ChatGPT's socket: the stream of an answer in envelopes (section 5 of the fact sheet, hand-over)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from relay.chat.events import Event
from relay.sites.chatgpt.reader import ChatGptReader
from relay.wire.json_text import parse_json
from relay.wire.sse import SseDecoder

_OFFSET = re.compile(r"[0-9]{1,18}")


class SocketReader:
    """Messages of the socket in, events of one answer out."""

    def __init__(self, reader: ChatGptReader) -> None:
        self._reader = reader
        self._offsets: dict[str, int] = {}
        """The newest message of each topic: what was missed is told again."""

    def __repr__(self) -> str:
        return f"<SocketReader {self._reader!r} {self._offsets}>"

    def feed(self, text: str, conversation: str) -> Iterator[Event]:
        """One message: an object, or several in a list. The reply to a subscription brings those that were missed."""
        said = parse_json(text, "JSON in ChatGPT's socket")
        for message in said if isinstance(said, list) else [said]:
            match message:
                case {"reply": {"type": "subscribe", "catchups": list(missed)}}:
                    for one in missed:
                        yield from self._item(one, conversation)
                case _:
                    yield from self._item(message, conversation)

    def _item(self, message: object, conversation: str) -> Iterator[Event]:
        match message:
            case {
                "type": "message",
                "payload": {"type": "conversation-turn-stream", "payload": dict(item)},
                **envelope,
            }:
                topic = envelope.get("topic_id")
                ours = (
                    topic == self._reader.topic if self._reader.topic else item.get("conversation_id") == conversation
                )
                if ours and self._is_new(topic, envelope.get("offset")):
                    yield from self._read(item)

    def _is_new(self, topic: object, offset: object) -> bool:
        if not isinstance(offset, str | int) or not _OFFSET.fullmatch(str(offset)):
            return True
        new = int(offset) > self._offsets.get(str(topic), -1)
        if new:
            self._offsets[str(topic)] = int(offset)
        return new

    def _read(self, item: dict[str, Any]) -> Iterator[Event]:
        match item:
            case {"type": "stream-item", "encoded_item": str(encoded)}:
                # Each item is a whole event, whether the blank line after it is in it or not.
                for frame in SseDecoder().feed(encoded.encode("utf-8", "replace") + b"\n\n"):
                    yield from self._reader.feed(frame)
            case {"type": "done"}:
                yield from self._reader.end()
