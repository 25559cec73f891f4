"""Runs the site with uvicorn on a loopback port of its own, inside a program or by itself."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Generator
from types import TracebackType

import uvicorn
from starlette.applications import Starlette

from relay.demo.app import DemoSite, create_app

HOST = "127.0.0.1"
_SHUTDOWN_S = 2


class _Server(uvicorn.Server):
    """uvicorn that says when it listens, leaves signals to the program around it, and cuts open answers on exit."""

    def __init__(self, app: Starlette, *, own_signals: bool) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="none",
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=_SHUTDOWN_S,
            )
        )
        self._site: DemoSite = app.state.site
        self._own_signals = own_signals
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._site.answers.cut_all()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        with super().capture_signals() if self._own_signals else contextlib.nullcontext():
            yield


class DemoServer:
    """An async context manager: `async with DemoServer() as server: ... server.url`. Port 0 means any free one.

    With `own_signals`, SIGINT and SIGTERM end it; `wait()` returns then. Raises OSError if the port is taken.
    """

    def __init__(self, app: Starlette | None = None, *, port: int = 0, own_signals: bool = False) -> None:
        self.app = app or create_app()
        self.port = port
        self._own_signals = own_signals
        self._server: _Server | None = None
        self._running: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<DemoServer {self.url} {'up' if self._running else 'down'}>"

    @property
    def url(self) -> str:
        """The site's origin, without a slash at its end."""
        return f"http://{HOST}:{self.port}"

    async def start(self) -> None:
        """Listen. Returns once connections are accepted."""
        listener = socket.create_server((HOST, self.port), backlog=2048)
        self.port = listener.getsockname()[1]
        self._server = _Server(self.app, own_signals=self._own_signals)
        self._running = asyncio.create_task(self._server.serve([listener]), name="demo site")
        listening = asyncio.create_task(self._server.listening.wait())
        await asyncio.wait({self._running, listening}, return_when=asyncio.FIRST_COMPLETED)
        if not listening.done():
            listening.cancel()
            await self._running  # raises what went wrong

    async def wait(self) -> None:
        """Until the server ends, by `stop` or by a signal."""
        if self._running is not None:
            await self._running

    async def stop(self) -> None:
        """Cut open answers off and close. Takes less than a second, at most three."""
        if self._server is not None and self._running is not None:
            self._server.should_exit = True
            await self._running
            self._server = self._running = None

    async def __aenter__(self) -> DemoServer:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
