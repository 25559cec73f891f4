"""The one interface of every framing, after httpx's decoders."""

from __future__ import annotations

from typing import Protocol, TypeVar

R = TypeVar("R")

MAX_RECORD_BYTES = 16 * 1024 * 1024
"""No site sends a record near this size; more than that is garbage, not an answer."""


class Decoder(Protocol[R]):
    """Cut bytes into records. Any way of cutting the input gives the same records."""

    def feed(self, data: bytes) -> list[R]:
        """Take the next bytes; return the records they complete. Raises BadFrame on garbage."""
        ...

    def close(self) -> list[R]:
        """The input has ended; return what that completes. Raises CutAnswer inside a record."""
        ...
