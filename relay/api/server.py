"""uvicorn around the application: listens, says so, and ends when it is told, not by signals of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator
from types import TracebackType

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from relay.errors import BadRequest

KEEP_ALIVE_S = 75
"""Idle connections stay open for longer than clients keep them: no request meets a closing connection."""

WS_MAX_BYTES = 24 * 1024 * 1024
"""The largest message of a WebSocket: files for a login page, in base64."""


class Uvicorn(uvicorn.Server):
    """A server on a socket that listens already; it ends when it is told."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    @property
    def is_up(self) -> bool:
        """Whether it serves."""
        return self._running is not None

    async def listen(self, listener: socket.socket, name: str) -> None:
        """Serve, until `end`; returns once requests are taken. Raises what went wrong."""
        self._running = asyncio.create_task(self.serve([listener]), name=name)
        listening = asyncio.create_task(self.listening.wait())
        await asyncio.wait({self._running, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not listening.done():
            listening.cancel()
            await self._running

    async def end(self) -> None:
        """Accept no more, let answers in flight finish for the configured time, then cut them."""
        if self._running is not None:
            self.should_exit = True
            await self._running
            self._running = None


def configured(app: ASGIApp, grace_s: float) -> uvicorn.Config:
    """How all our servers run."""
    return uvicorn.Config(
        app,
        lifespan="off",
        ws="websockets-sansio",
        ws_max_size=WS_MAX_BYTES,
        ws_per_message_deflate=False,  # what is large is compressed already
        http="httptools",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=round(grace_s),
    )


class HttpServer:
    """`async with HttpServer(app, host, port) as server: ... server.url`. Port 0 means any free one."""

    def __init__(self, app: FastAPI, host: str = "127.0.0.1", port: int = 0, *, grace_s: float = 8) -> None:
        self.host = host
        self.port = port
        self._uvicorn = Uvicorn(configured(app, grace_s))

    def __repr__(self) -> str:
        return f"<HttpServer {self.url} {'up' if self._uvicorn.is_up else 'down'}>"

    @property
    def url(self) -> str:
        """The address to call, without a slash at its end."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}"

    async def start(self) -> None:
        """Listen. Raises BadRequest where the address cannot be had."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            listener = socket.create_server((self.host, self.port), family=family, backlog=2048)
            # Inherited by every connection. uvloop sets it by itself; where asyncio's loop runs, an answer's body waits
            # 40 ms for the acknowledgement of its head without it.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            said = error.strerror or str(error)
            raise BadRequest(
                f"{self.host}:{self.port} cannot be listened on ({said}). Choose another --port."
            ) from None
        self.port = listener.getsockname()[1]
        await self._uvicorn.listen(listener, "http server")

    async def stop(self) -> None:
        """Accept no more, let answers in flight finish for `grace_s`, then cut them."""
        await self._uvicorn.end()

    async def __aenter__(self) -> HttpServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
