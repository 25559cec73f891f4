"""What every framing of this room shares: records first, then the error, however the bytes were cut."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic, TypeVar

from relay.errors import BadFrame, RelayError

R = TypeVar("R")


class Framing(ABC, Generic[R]):
    """A `Decoder` made of two generators.

    Bytes that break the framing often come in the same chunk as good records before them. Those
    records are returned and the error is raised by the next call, so that neither depends on where
    the network happened to cut. Once broken, a decoder stays broken.
    """

    def __init__(self) -> None:
        self._fault: RelayError | None = None

    def feed(self, data: bytes) -> list[R]:
        """Take the next bytes; return the records they complete. Raises BadFrame on garbage."""
        return self._collect(self._cut(data))

    def close(self) -> list[R]:
        """The input has ended; return what that completes. Raises CutAnswer inside a record."""
        if self._fault is not None:
            raise self._fault
        return list(self._end())

    @abstractmethod
    def _cut(self, data: bytes) -> Iterable[R]:
        """Yield the records that `data` completes; always run to its end by the caller."""

    def _end(self) -> Iterable[R]:
        """Yield what the end of the input completes, or raise; never both."""
        return ()

    def _collect(self, records: Iterable[R]) -> list[R]:
        if self._fault is not None:
            raise self._fault
        out: list[R] = []
        try:
            out.extend(records)
        except RelayError as fault:
            self._fault = fault
            if not out:
                raise
        return out


def check_size(size: int, limit: int, what: str, unit: str = "bytes") -> None:
    """Raise BadFrame if `size` exceeds `limit`; `size` may be what is known so far."""
    if size > limit:
        raise BadFrame(f"{what} of at most {limit} {unit}", f"at least {size}")
