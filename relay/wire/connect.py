"""Enveloped messages of the Connect protocol's streaming calls (Kimi fact sheet section 5).

An envelope is one byte of flags, four bytes of length (big-endian) and that many bytes of message.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from relay.errors import BadFrame, CutAnswer
from relay.wire.decoder import MAX_RECORD_BYTES
from relay.wire.framing import Framing, check_size
from relay.wire.json_text import dump_json, parse_json
from relay.wire.text import decode_utf8

COMPRESSED = 0x01
END_STREAM = 0x02
TRAILER = 0x80
"""gRPC-Web's mark of the trailers; Connect clients of the sites skip such frames as an end too."""

_KNOWN = COMPRESSED | END_STREAM | TRAILER
_HEAD = struct.Struct(">BI")
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message. `data` is never compressed: the decoder has undone that and cleared the flag."""

    flags: int
    data: bytes

    def json(self) -> object:
        """The message as unvalidated JSON. Raises BadFrame if it is none."""
        return parse_json(decode_utf8(self.data, "a JSON message"), "a JSON message")


def envelope(payload: dict[str, object] | bytes, flags: int = 0) -> bytes:
    """One envelope around `payload`; a dict is sent as JSON."""
    data = payload if isinstance(payload, bytes) else dump_json(payload).encode()
    return _HEAD.pack(flags, len(data)) + data


def is_end(frame: Envelope) -> bool:
    """Whether the frame is the trailer (its JSON may hold an `error`) and not part of the answer."""
    return bool(frame.flags & (END_STREAM | TRAILER))


class ConnectDecoder(Framing[Envelope]):
    """Cut a body into envelopes.

    A byte of flags that Connect does not know raises BadFrame at once: an HTML or JSON page in the
    place of an answer fails at its first byte. So does a length over `limit`, before any of it is
    stored. `compression` is what the response's `connect-content-encoding` declared.
    """

    def __init__(self, *, compression: Literal["gzip"] | None = None, limit: int = MAX_RECORD_BYTES) -> None:
        super().__init__()
        self._compression = compression
        self._limit = limit
        self._pending = bytearray()

    def _cut(self, data: bytes) -> Iterator[Envelope]:
        pending = self._pending
        pending += data
        start = 0
        while (size := self._size(start)) is not None and len(pending) >= start + size:
            message = bytes(pending[start + _HEAD.size : start + size])
            flags = pending[start]
            start += size
            yield self._open(flags, message)
        del pending[:start]

    def _end(self) -> Iterator[Envelope]:
        if self._pending:
            raise CutAnswer("The answer ended in the middle of a Connect envelope.")
        return iter(())

    def _size(self, start: int) -> int | None:
        """Bytes of the envelope at `start` with its head, or None while its head is incomplete."""
        if len(self._pending) == start:
            return None
        flags = self._pending[start]
        if flags & ~_KNOWN:
            raise BadFrame("a Connect envelope", repr(bytes(self._pending[start : start + 100])))
        if len(self._pending) < start + _HEAD.size:
            return None
        length: int = _HEAD.unpack_from(self._pending, start)[1]
        check_size(length, self._limit, "an envelope")
        return _HEAD.size + length

    def _open(self, flags: int, message: bytes) -> Envelope:
        if not flags & COMPRESSED:
            return Envelope(flags, message)
        if self._compression != "gzip":
            raise BadFrame("plain envelopes", "a compressed one, though no compression was declared")
        # Connect leaves empty messages uncompressed even where the flag is set.
        return Envelope(flags & ~COMPRESSED, self._gunzip(message) if message else b"")

    def _gunzip(self, message: bytes) -> bytes:
        inflater = zlib.decompressobj(_GZIP)
        try:
            # One byte more than allowed: a small bomb never unfolds.
            data = inflater.decompress(message, self._limit + 1)
        except zlib.error as error:
            raise BadFrame("a gzip message", str(error)) from None
        check_size(len(data), self._limit, "an unpacked message")
        if not inflater.eof or inflater.unused_data:
            raise BadFrame("one gzip message", "a cut one, or bytes after it")
        return data
