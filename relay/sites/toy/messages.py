"""What the toy site sends, validated, and the reader of its answers."""

from __future__ import annotations

from collections.abc import Iterable

from relay.chat.events import Event, Finished, Retracted, Started, Text, Turned
from relay.errors import SiteError
from relay.sites.answered import Answered, checked
from relay.sites.base import Reader
from relay.wire.ndjson import NdjsonDecoder


class Whoami(Answered):
    """`GET /api/whoami`; a guest has no name."""

    name: str | None


class Line(Answered):
    """One line of an answer."""

    room: str | None = None
    id: str | None = None
    t: str | None = None
    end: str | None = None
    fail: str | None = None
    say: str = ""


class ToyReader(Reader[object]):
    """The answer: a JSON object a line."""

    frames = NdjsonDecoder

    def feed(self, frame: object) -> Iterable[Event]:
        """The events of one line. Raises what it reports."""
        line = checked(Line, frame, "a line of Toy's answer")
        if line.room and line.id:
            yield Started(line.room)
            yield Turned(line.room, line.id)
        if line.t:
            yield Text(line.t)
        if line.fail == "refused":
            yield Retracted(line.say)
        elif line.fail:
            raise SiteError(f"Toy reports an error ({line.fail}): {line.say}")
        if line.end:
            yield Finished("length" if line.end == "length" else "stop")
