"""TCP proxies before a site: one that cuts what the site sends at random bytes."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

_READ_BYTES = 64 * 1024


class Proxy(ABC):
    """A context manager: `url` leads to `port` on loopback, in a thread of its own."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url} to {self._port}>"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._join, sock=self._listener))
        self._loop.run_forever()
        server.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ways = [asyncio.create_task(self.ask(reader, back)), asyncio.create_task(self.answer(there, writer))]
        try:
            # Either side's end is the end: a browser that leaves must be seen by the app.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            writer.close()
            back.close()

    @abstractmethod
    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what the client sends, until it ends."""

    @abstractmethod
    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on what the server sends, until it ends."""


class Shredder(Proxy):
    """Cuts what the server sends."""

    def __init__(self, port: int, seed: int = 0) -> None:
        super().__init__(port)
        self._dice = random.Random(seed)

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As it is."""
        await copy(reader, writer)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """In parts."""
        while data := await reader.read(_READ_BYTES):
            at = 0
            while at < len(data):
                size = self._dice.randint(1, 4000)
                writer.write(data[at : at + size])
                await writer.drain()
                await asyncio.sleep(0)  # the transport writes it alone
                at += size


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything, at once."""
    while data := await reader.read(_READ_BYTES):
        writer.write(data)
        await writer.drain()
