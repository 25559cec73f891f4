"""A page that leaves, of itself, under a chat: for its login, or for elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from relay.browser.tab import Tab
from relay.chat.events import Event
from relay.chat.request import Turn
from relay.errors import LoginNeeded, PageLeft
from relay.sites.demo.messages import DemoReader
from relay.sites.demo.site import Demo
from relay.sites.drivers import run
from tests.browser.nasty import Nasty

pytestmark = pytest.mark.asyncio(loop_scope="session")


class Leaving(Demo):
    """Its page goes to the turn's prompt in the middle of a call, or of the answer at `agent`."""

    async def prepare(self, tab: Tab, turn: Turn) -> None:
        await tab.evaluate(
            "url => { setTimeout(() => { location = url; }, 50); return new Promise(() => {}); }", turn.prompt
        )

    async def chat(self, tab: Tab, turn: Turn, driver: str) -> AsyncGenerator[Event, None]:
        if turn.model == "call":
            await self.prepare(tab, turn)
        async with tab.stream("GET", turn.agent) as answer:
            await tab.evaluate("url => { setTimeout(() => { location = url; }, 50); }", turn.prompt)
            async for event in DemoReader().read(answer):
                yield event


class Retyping(Leaving):
    """And it may need a prompt typed once more."""

    assert Demo.screen is not None
    screen = replace(Demo.screen, retypes=True)


WAYS = [
    (Leaving, "fetch", "call"),
    (Leaving, "fetch", "answer"),
    (Leaving, "screen", "call"),
    (Leaving, "dom", "call"),
    (Retyping, "screen", "call"),
]


@pytest.mark.parametrize(("site", "driver", "under"), WAYS)
@pytest.mark.parametrize(("to", "raised"), [("login", LoginNeeded), ("blank", PageLeft)])
async def test_a_page_that_leaves(
    tab: Tab, nasty: Nasty, site: type[Demo], driver: str, under: str, to: str, raised: type[Exception]
) -> None:
    never, _ = nasty.play(b"data: ", asyncio.Event())
    turn = Turn(nasty.url(f"/page/{to}.html?left"), under, agent=never)
    with pytest.raises(raised) as caught:
        async for _ in run(site(), driver, tab, turn):
            pass
    assert type(caught.value) is raised
    assert tab.fault is None
    assert await tab.evaluate("() => document.title + location.search") == f"{to}?left"
