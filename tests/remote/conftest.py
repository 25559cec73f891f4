"""The door, a relay in this process with real HTTP and a real browser, and a second browser that looks at it."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from relay.api.app import create_app
from relay.api.server import HttpServer
from relay.browser.executable import find
from relay.demo import DemoServer
from relay.pool.dispatcher import Dispatcher
from relay.settings import BrowserSettings, LoginSettings, Settings
from tests.remote.door import Door


class Relay:
    """A running relay, from inside and from outside."""

    def __init__(self, pool: Dispatcher, server: HttpServer, home: Path, site: str) -> None:
        self.pool = pool
        self.server = server
        self.home = home
        self.site = site
        self._made = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.server.url

    async def account(self) -> str:
        """An account that is not logged in, of this test's own; its name."""
        self._made += 1
        name = f"demo/a{self._made}"
        folder = self.home / "browser_profiles" / name
        folder.mkdir(parents=True)
        (folder / "account.toml").write_text(f'base_url = "{self.site}/"\n', "utf-8")
        status = await self.pool.owner.take_up(name)
        assert status.reason == "expired", status
        return name

    async def login(self) -> tuple[str, str]:
        """An account and the whole address of a remote login of it."""
        name = await self.account()
        ticket = await self.pool.logins.open(name)
        return name, self.url + ticket.path

    def status(self, name: str) -> str:
        """Why an account takes no chat, or its state."""
        status = self.pool.accounts[name].status()
        return status.reason or status.state


async def eventually(true: Callable[[], object | Awaitable[object]], timeout_s: float = 20) -> None:
    """Wait for what takes the relay or a page a moment."""
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                value = true()
                if await value if isinstance(value, Awaitable) else value:
                    return
                await asyncio.sleep(0.03)
    except TimeoutError:
        pytest.fail(f"not within {timeout_s} s: {inspect.getsource(true).strip()[:200]}")


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def door() -> AsyncIterator[Door]:
    """The site."""
    yield Door()


@pytest_asyncio.fixture(loop_scope="session")
async def relay(running: Relay) -> AsyncIterator[Relay]:
    """The relay, without an open login before and after."""
    yield running
    for name in running.pool.accounts:
        await running.pool.logins.end(name)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def running(door: Door, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Relay]:
    """One relay for all tests of this folder; each has an account of its own."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(
        home=home,
        port=0,
        browser=BrowserSettings(sandbox=False),
        login=LoginSettings(open_within_s=600, idle_s=600),
        _env_file=None,
    )
    async with DemoServer(door.app) as site:
        pool = Dispatcher(settings)
        await pool.start()
        try:
            async with HttpServer(create_app(settings, pool), grace_s=1) as server:
                yield Relay(pool, server, home, site.url)
        finally:
            await pool.stop()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def viewers() -> AsyncIterator[Browser]:
    """The browser that people look from."""
    async with async_playwright() as playwright:
        executable = find(None, Path(playwright.chromium.executable_path), "shell")
        browser = await playwright.chromium.launch(executable_path=executable, chromium_sandbox=False)
        yield browser
        await browser.close()
