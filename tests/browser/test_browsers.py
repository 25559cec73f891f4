"""The pool's browsers under askers who leave: whatever they leave in the middle of, no process stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psutil
import pytest
import pytest_asyncio

from relay.pool.browsers import Browsers
from relay.settings import BrowserSettings, Settings


def below() -> set[psutil.Process]:
    """All living processes that this one started, at any depth."""
    return {one for one in psutil.Process().children(recursive=True) if one.status() != psutil.STATUS_ZOMBIE}


@pytest_asyncio.fixture
async def browsers() -> AsyncIterator[Browsers]:
    """None running yet; afterwards nothing of theirs is left."""
    before = below()
    made = Browsers(Settings(browser=BrowserSettings(sandbox=False), _env_file=None))
    yield made
    await made.stop()
    _, alive = psutil.wait_procs(list(below() - before), timeout=10)
    assert not alive


async def left(browsers: Browsers, after_s: float) -> None:
    """Ask, and leave."""
    asking = asyncio.create_task(browsers.get())
    await asyncio.wait({asking}, timeout=after_s)
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.parametrize("after_s", [0, 0.02, 0.1, 0.25, 0.5])
async def test_left_while_it_starts(browsers: Browsers, after_s: float) -> None:
    await left(browsers, after_s)
    one, same = await asyncio.gather(browsers.get(), browsers.get())
    assert one is same
    assert one.alive


@pytest.mark.parametrize("after_s", [0, 0.1, 0.4])
async def test_left_while_a_dead_one_is_replaced(browsers: Browsers, after_s: float) -> None:
    before = below()
    old = await browsers.get()
    [driver] = [one for one in below() - before if "node" in one.name()]
    driver.kill()
    await asyncio.to_thread(driver.wait, 10)
    await old.check()
    assert not old.alive
    await left(browsers, after_s)
    new = await browsers.get()
    assert new is not old
    assert new.alive
    drivers = [one for one in below() - before if "node" in one.name()]
    assert len(drivers) == 1, drivers
