"""A real server on a free port, in a thread of its own, so that synchronous clients can call it too."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import pytest
import uvloop

from relay.api.app import create_app
from relay.api.local import LocalServer
from relay.api.server import HttpServer
from relay.settings import Settings
from tests.api.pool import ScriptedPool


class Served:
    """A server over a scripted pool."""

    def __init__(self, **settings: Any) -> None:
        self.pool = ScriptedPool()
        self._home = TemporaryDirectory(prefix="relay-")
        defaults = {"home": self._home.name, "commit_after_s": 0.2, "keep_alive_s": 0.1}
        self.settings = Settings(_env_file=None, **{**defaults, **settings})
        self.url = ""
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._up.wait(10), "the server did not start"

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._down = asyncio.Event()
        self.app = create_app(self.settings, self.pool)
        async with (
            aclosing(self.app.state.shelves),
            self.app.state.key_usage,
            HttpServer(self.app, grace_s=1) as server,
            LocalServer(self.app, self.settings.socket, grace_s=1),
        ):
            self.url = self.app.state.url = server.url
            self._up.set()
            await self._down.wait()

    def stop(self) -> None:
        """End the server; answers still open are cut after a second."""
        self.stop_serving()
        self._home.cleanup()

    def stop_serving(self) -> None:
        """End it, but keep its home."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._down.set)
        self._thread.join(10)
        assert not self._thread.is_alive()

    def client(self, **options: Any) -> httpx.Client:
        """An HTTP client for it."""
        return httpx.Client(base_url=self.url, timeout=20, trust_env=False, **options)

    def owners_client(self) -> httpx.Client:
        """One on the owner's socket."""
        transport = httpx.HTTPTransport(uds=str(self.settings.socket))
        return httpx.Client(base_url="http://relay", transport=transport, timeout=20)


@pytest.fixture(scope="module")
def relay() -> Iterator[Served]:
    served = Served()
    yield served
    served.stop()


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Servers with other settings: `serve(api_keys=["k"])`."""
    made: list[Served] = []

    def start(**settings: Any) -> Served:
        made.append(Served(**settings))
        return made[-1]

    yield start
    for served in made:
        served.stop()


@pytest.fixture
def http(relay: Served) -> Iterator[httpx.Client]:
    with relay.client() as client:
        yield client
