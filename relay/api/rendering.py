"""What turns an answer into bytes, in the words of one API: `openai.chunks`, `openai.response_events`, `anthropic`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from relay.api.answer import Composer, Piece
from relay.chat.usage import Usage
from relay.errors import RelayError


class Renderer(Protocol):
    """One answer's. The five parts of a stream are called in this order, each returns whole events or nothing."""

    def opening(self) -> bytes:
        """What comes first, before anything of the answer: timers stop."""
        ...

    def pieces(self, pieces: Sequence[Piece]) -> bytes:
        """Text and reasoning, in order; neighbours are of different kinds."""
        ...

    def keep_alive(self, note: str) -> bytes:
        """What says that relay is still there; `note` is one line, for people."""
        ...

    def closing(self, composer: Composer, usage: Usage) -> bytes:
        """The end of an answer that is whole: annotations, calls, the finish reason, the usage."""
        ...

    def failure(self, error: RelayError) -> bytes:
        """The end of one that failed after it had begun."""
        ...

    def whole(self, composer: Composer, usage: Usage) -> bytes:
        """The answer in one JSON body, where no stream was asked for."""
        ...
