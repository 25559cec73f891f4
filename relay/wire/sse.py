"""Server-sent events, after "Interpreting an event stream" of the WHATWG HTML standard (section 9.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from relay.wire.decoder import MAX_RECORD_BYTES
from relay.wire.framing import Framing, check_size
from relay.wire.lines import LineSplitter

_BOM = b"\xef\xbb\xbf"
_MAX_RETRY_DIGITS = 15


@dataclass(frozen=True, slots=True)
class SseEvent:
    """One dispatched event."""

    event: str
    """Its type; `message` where the stream names none."""
    data: str
    """The data lines, joined with LF. May be empty, never absent."""
    id: str = ""
    """The last event id seen so far in the stream, as the standard has it; empty if none."""
    retry: int | None = None
    """Reconnection time in milliseconds, if this event's own lines set it."""


class SseDecoder(Framing[SseEvent]):
    """Cut an event stream into events.

    As the standard has it: invalid UTF-8 becomes U+FFFD, unknown fields and comments are ignored,
    an event without a data line is not dispatched, and one that the end of the stream leaves
    without its blank line is dropped without an error (so `close` never raises CutAnswer: only the
    reader knows the end mark of its site). Data over `limit` bytes raises BadFrame.
    """

    def __init__(self, *, limit: int = MAX_RECORD_BYTES) -> None:
        super().__init__()
        self._lines = LineSplitter(universal=True, limit=limit)
        self._limit = limit
        self._at_start = True
        self._event = ""
        self._data: list[str] = []
        self._data_bytes = 0
        self._id = ""
        self._retry: int | None = None

    def _cut(self, data: bytes) -> Iterator[SseEvent]:
        for line in self._lines.feed(data):
            if self._at_start:
                self._at_start = False
                line = line.removeprefix(_BOM)
            if line:
                self._field(line)
            elif (event := self._dispatch()) is not None:
                yield event

    def _end(self) -> Iterator[SseEvent]:
        self._lines.take_rest()
        self._dispatch()
        return iter(())

    def _field(self, line: bytes) -> None:
        # Per line is the same as per stream: CR and LF are never part of a longer UTF-8 sequence.
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                self._data_bytes += len(line)
                check_size(self._data_bytes, self._limit, "event data")
                self._data.append(value)
            case "event":
                self._event = value
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
                self._retry = int(value)
            case _:  # a comment has an empty name
                pass

    def _dispatch(self) -> SseEvent | None:
        event = None
        if self._data:
            event = SseEvent(self._event or "message", "\n".join(self._data), self._id, self._retry)
        self._event, self._data, self._data_bytes, self._retry = "", [], 0, None
        return event
