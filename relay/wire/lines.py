"""Bytes to lines, looking at every byte once."""

from __future__ import annotations

from collections.abc import Iterator

from relay.wire.decoder import MAX_RECORD_BYTES
from relay.wire.framing import check_size


class LineSplitter:
    """Cut bytes at LF, or with `universal` at CR, LF and CRLF (also a CRLF cut between two chunks).

    Only the new bytes are searched; an unfinished line grows in one bytearray: linear in total
    whatever the chunk size. A line over `limit` bytes raises BadFrame before it is stored.
    """

    def __init__(self, *, universal: bool = False, limit: int = MAX_RECORD_BYTES) -> None:
        self._universal = universal
        self._limit = limit
        self._pending = bytearray()
        self._after_cr = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield the lines that `data` completes, without their ends."""
        *lines, rest = self._normalised(data).split(b"\n")
        for line in lines:
            self._check(line)
            if self._pending:
                self._pending += line
                line = bytes(self._pending)
                self._pending.clear()
            yield line
        self._check(rest)
        self._pending += rest

    def take_rest(self) -> bytes:
        """Remove and return the last line, which has no end."""
        rest = bytes(self._pending)
        self._pending.clear()
        return rest

    def _normalised(self, data: bytes) -> bytes:
        if not self._universal or not data:
            return data
        # A CR ends its line at once, so no event waits for the next chunk; a LF that follows is its other half.
        second_half = self._after_cr and data.startswith(b"\n")
        self._after_cr = data.endswith(b"\r")
        if second_half:
            data = data[1:]
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in data else data

    def _check(self, more: bytes) -> None:
        check_size(len(self._pending) + len(more), self._limit, "a line")
