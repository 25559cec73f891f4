"""One answer while it is being written: a log of events that any number of readers follow, each from where it likes.

It lives apart from the connection that asked for it (section 5, "hand-over"): a reader that leaves does not end it,
and one that comes back goes on at its offset.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator
from typing import Literal, TypeGuard

from tests.replicas.seen import SeenTurn

PING = b'event: ping\ndata: {"type":"ping"}\n\n'
DONE = b"data: [DONE]\n\n"
FLUSH = b""
"""Not an event: what is held back is to be sent now."""

Outcome = Literal["complete", "stopped", "lost"]


class Break:
    """A place in the log where the readers of that moment lose their connection."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error


class Generation:
    """``turn`` is what the site saw; ``outcome`` is empty while the answer is being written."""

    def __init__(self, conversation_id: str, turn: SeenTurn, *, tokenless: bool, persisted: bool) -> None:
        self.conversation_id = conversation_id
        self.turn = turn
        self.turn_id = f"turn-{secrets.token_hex(8)}"
        self.topic = f"conversation-turn-{secrets.token_hex(8)}"
        self.tokenless, self.persisted = tokenless, persisted
        """How a resume call is refused, if it is: see ``Handover``."""
        self.log: list[bytes | Break] = []
        self.outcome: Outcome | Literal[""] = ""
        self.task: asyncio.Task[None] | None = None
        self._readers = 0
        self._changed = asyncio.Condition()

    def __repr__(self) -> str:
        return f"<Generation {self.topic} {self.outcome or 'running'} {len(self.log)} items>"

    @property
    def stream_status(self) -> str:
        """``GET /backend-api/conversation/<id>/stream_status``."""
        return {"": "IS_STREAMING", "lost": "FAILURE"}.get(self.outcome, "COMPLETE")

    async def put(self, *items: bytes | Break, outcome: Outcome | Literal[""] = "") -> None:
        """Add to the log; with ``outcome`` these are the last. Nothing is added to what has ended."""
        if self.outcome:
            return
        self.log += items
        self.outcome = outcome
        async with self._changed:
            self._changed.notify_all()

    async def follow(self, offset: int = 0) -> AsyncGenerator[bytes]:
        """The events after the first ``offset`` ones (pings and ``[DONE]`` do not count), until the answer ends.

        Raises the error of a Break that happens meanwhile, or with which the answer ended. When the last reader leaves
        before the end, it has broken the answer off, unless somebody comes back for it.
        """
        self.back()
        self._readers += 1
        known, at = len(self.log), self._place(offset)
        try:
            while True:
                if at < len(self.log):
                    item, at = self.log[at], at + 1
                    if isinstance(item, bytes):
                        if not (item is PING and at <= known):
                            yield item
                    elif at > known or (self.outcome and at == len(self.log)):
                        raise item.error
                elif self.outcome:
                    return
                else:
                    async with self._changed:
                        while at >= len(self.log) and not self.outcome:
                            await self._changed.wait()
        except (GeneratorExit, asyncio.CancelledError):
            if not self.outcome and self._readers == 1:
                self.turn.stopped = True
            raise
        finally:
            self._readers -= 1

    def back(self) -> None:
        """Somebody asks for the answer (again)."""
        self.turn.stopped = self.outcome == "stopped"

    def so_far(self, offset: int) -> list[bytes]:
        """The events after the first ``offset`` ones that are there already."""
        return [item for item in self.log[self._place(offset) :] if counts(item)]

    def _place(self, offset: int) -> int:
        place = 0
        while offset and place < len(self.log):
            offset -= counts(self.log[place])
            place += 1
        return place

    async def stop(self) -> None:
        """The site's own stop: an orderly end, and nothing more comes."""
        self.turn.stopped = True
        if self.task and not self.outcome:
            self.task.cancel()
            await asyncio.wait({self.task})


def counts(item: bytes | Break) -> TypeGuard[bytes]:
    """Whether an offset counts it."""
    return isinstance(item, bytes) and item not in (PING, DONE, FLUSH)
