"""Hung scripts, dead renderers, closed pages: an error at once, and the next tab works."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio
from playwright.async_api import Error as PlaywrightError

from relay.browser.chromium import Context
from relay.browser.tab import Tab
from relay.errors import BrowserFault, SiteUnavailable
from tests.browser.conftest import eventually, ours
from tests.browser.nasty import Nasty

pytestmark = pytest.mark.asyncio(loop_scope="session")
LOOP = "() => { const end = Date.now() + 60000; while (Date.now() < end); return 'ended'; }"
WAIT_S = 20


@pytest_asyncio.fixture(loop_scope="session")
async def doomed(context: Context, nasty: Nasty) -> AsyncIterator[Tab]:
    """A tab that the test may kill."""
    tab = await context.tab()
    await tab.goto(nasty.url())
    yield tab
    await tab.close()
    await eventually(lambda: not ours())
    assert not tab.calls and not tab.observers


async def crash(tab: Tab) -> None:
    with suppress(PlaywrightError):
        await tab.page.goto("chrome://crash", timeout=WAIT_S * 1000)


async def works(context: Context, nasty: Nasty) -> bool:
    tab = await context.tab()
    await tab.goto(nasty.url())
    answer = await tab.fetch("GET", nasty.play(b"works")[0])
    await tab.close()
    return answer.body == b"works"


async def test_a_hung_script_meets_the_clock_and_can_be_stopped(doomed: Tab) -> None:
    with pytest.raises(BrowserFault, match="hangs"):
        await doomed.evaluate(LOOP, timeout_s=0.5)
    await doomed.terminate()
    assert await doomed.evaluate("() => 2") == 2


async def test_a_hung_page_can_be_closed(doomed: Tab, context: Context, nasty: Nasty) -> None:
    with pytest.raises(BrowserFault, match="hangs"):
        await doomed.evaluate(LOOP, world="main", timeout_s=0.5)
    with pytest.raises(SiteUnavailable):
        await doomed.fetch("GET", "/page/blank.html", timeout_s=0.5)
    await doomed.close()
    assert await works(context, nasty)


async def test_a_crash_ends_everything_at_once(doomed: Tab, context: Context, nasty: Nasty) -> None:
    url, play = nasty.play(b"so far", asyncio.Event())

    async def stream() -> None:
        async with doomed.stream("GET", url) as answer:
            await answer.read()

    async def watch() -> None:
        async with doomed.traffic("**/never") as traffic:
            await traffic.next()

    waiting = [asyncio.create_task(stream()), asyncio.create_task(watch())]
    await asyncio.wait_for(play.began.wait(), WAIT_S)
    waiting.append(asyncio.create_task(doomed.evaluate("() => new Promise(() => 0)", timeout_s=600)))
    await doomed.evaluate("() => 1")
    await crash(doomed)
    for task in waiting:
        with pytest.raises(BrowserFault):
            await asyncio.wait_for(task, WAIT_S)
    for use in (doomed.fetch("GET", url), doomed.evaluate("() => 1"), doomed.goto(nasty.url())):
        with pytest.raises(BrowserFault):
            await use
    assert "dead" in repr(doomed)
    assert await works(context, nasty)


async def test_a_page_that_closes_under_a_call(doomed: Tab, context: Context, nasty: Nasty) -> None:
    url, play = nasty.play(b"so far", asyncio.Event())
    calling = asyncio.create_task(doomed.evaluate("() => new Promise(() => 0)", timeout_s=600))
    with pytest.raises(BrowserFault):
        async with doomed.stream("GET", url) as answer:
            await doomed.page.close()
            await asyncio.wait_for(answer.read(), WAIT_S)
    with pytest.raises(BrowserFault):
        await asyncio.wait_for(calling, WAIT_S)
    await asyncio.wait_for(play.left.wait(), WAIT_S)
    assert await works(context, nasty)


async def test_a_context_that_closes_under_a_stream(context: Context, nasty: Nasty) -> None:
    tab = await context.tab()
    await tab.goto(nasty.url())
    url, _ = nasty.play(b"so far", asyncio.Event())
    with pytest.raises(BrowserFault):
        async with tab.stream("GET", url) as answer:
            await context.close()
            await asyncio.wait_for(answer.read(), WAIT_S)
    assert context.closed
    with pytest.raises(BrowserFault):
        await context.tab()
    with pytest.raises(BrowserFault):
        await context.state()


async def test_an_address_that_does_not_load(tab: Tab, nasty: Nasty) -> None:
    with pytest.raises(SiteUnavailable, match="could not be opened"):
        await tab.goto("http://127.0.0.1:9/")
    url, _ = nasty.play(head=asyncio.Event())
    with pytest.raises(SiteUnavailable, match="did not load within"):
        await tab.goto(nasty.url(url), timeout_s=0.3)
    await tab.goto("/page/blank.html" if tab.url.startswith("http") else nasty.url())
    assert await tab.evaluate("() => document.title") == "blank"
