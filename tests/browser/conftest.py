"""The nasty site and a browser per byte path, shared by all tests of this folder on one loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from relay.browser.chromium import Chromium, Context
from relay.browser.tab import Tab
from relay.settings import BrowserSettings
from tests.browser.nasty import Nasty, serving

SETTINGS: dict[str, Any] = {"sandbox": False}


async def eventually(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    """Wait until something outside of our reach has become true."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110  (nothing tells us)
            await asyncio.sleep(0.01)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def nasty() -> AsyncIterator[Nasty]:
    """The site."""
    async with serving() as site:
        yield site


@pytest_asyncio.fixture(scope="package", loop_scope="session", params=[False, True], ids=["pipe", "socket"])
async def chromium(request: pytest.FixtureRequest) -> AsyncIterator[Chromium]:
    """A running browser, by each byte path."""
    browser = Chromium(BrowserSettings(direct_cdp=request.param, **SETTINGS))
    await browser.start()
    yield browser
    await browser.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def context(chromium: Chromium) -> AsyncIterator[Context]:
    """A context of this test's own."""
    made = await chromium.context()
    yield made
    await made.close()


@pytest_asyncio.fixture(loop_scope="session")
async def tab(context: Context, nasty: Nasty) -> AsyncIterator[Tab]:
    """A tab at the site; what a test leaves behind in it fails the test."""
    made = await context.tab()
    await made.goto(nasty.url())
    yield made
    await eventually(lambda: not made.calls)
    assert not made.observers
    await made.close()
    await eventually(lambda: not ours())


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def warm(chromium: Chromium) -> AsyncIterator[tuple[Context, list[Tab]]]:
    """A context that is kept, and its tab in use."""
    made = await chromium.context()
    yield made, []
    await made.close()


@pytest_asyncio.fixture(loop_scope="session")
async def warm_tab(warm: tuple[Context, list[Tab]], nasty: Nasty) -> AsyncIterator[Tab]:
    """Like `tab`, but used again by the next test, which saves a third of a second; without cookies."""
    context, tabs = warm
    if not tabs or tabs[-1].fault:
        tabs.append(await context.tab())
    tab = tabs[-1]
    await tab.goto(nasty.url())
    await tab.session.send("Network.clearBrowserCookies")
    yield tab
    await eventually(lambda: not tab.calls)
    assert not tab.observers
    if not tab.fault:
        await tab.goto("about:blank")  # what the page itself left open ends here
    await eventually(lambda: not ours())


def ours() -> list[str]:
    """Running tasks that belong to the browser room."""
    names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks() if not task.done()]
    marks = ("World.", "TrafficTap.", "_Request.", "CdpSession.", "Tab.", "FetchCall.")
    return [name for name in names if name.startswith(marks)]
