"""A TCP proxy before a site that speaks HTTP/1.1: it holds back the requests of a path while a test wants it to."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.shredder import Proxy, copy

_READ_BYTES = 64 * 1024
WAIT_S = 30.0


class Held:
    """Requests of one path that are held back."""

    def __init__(self, path: str) -> None:
        self._lines = tuple(f"{method} {path} ".encode() for method in ("GET", "POST"))
        self._came = threading.Event()
        self._left = threading.Event()
        self.open = threading.Event()
        """Set when they may pass."""
        self._left_ns = 0

    def concerns(self, data: bytes) -> bool:
        """Whether these bytes begin such a request. A browser does not pipeline: a request begins a write."""
        return not self.open.is_set() and data.startswith(self._lines)

    def came(self) -> None:
        """One is here."""
        self._came.set()

    def left(self) -> None:
        """The browser took it back."""
        self._left_ns = self._left_ns or time.time_ns()
        self._left.set()

    async def request(self) -> None:
        """Wait until one is here."""
        assert await asyncio.to_thread(self._came.wait, WAIT_S), "no such request came"

    async def abort(self) -> int:
        """Wait until the browser has taken it back, by closing the connection; when it did (`time.time_ns()`)."""
        assert await asyncio.to_thread(self._left.wait, WAIT_S), "the request was not aborted"
        return self._left_ns


class Gate(Proxy):
    """Lets everything pass but what is held."""

    _held: Held | None = None

    @contextmanager
    def hold(self, path: str) -> Iterator[Held]:
        """Requests of this path wait until the block ends."""
        self._held = held = Held(path)
        try:
            yield held
        finally:
            held.open.set()
            self._held = None

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on; or hold until the browser leaves, or the block has ended."""
        while data := await reader.read(_READ_BYTES):
            held = self._held
            if held is not None and held.concerns(data):
                held.came()
                rest = asyncio.create_task(_all_of(reader))
                while not rest.done() and not held.open.is_set():
                    await asyncio.wait([rest], timeout=0.02)
                if rest.done():
                    held.left()
                    return
                rest.cancel()
                # What came meanwhile is lost with the reading task, so the connection is of no more use.
                return
            writer.write(data)
            await writer.drain()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As it is."""
        await copy(reader, writer)


async def _all_of(reader: asyncio.StreamReader) -> None:
    while await reader.read(_READ_BYTES):
        pass
