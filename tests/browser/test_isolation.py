"""Our functions and the page's: neither disturbs the other."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from playwright.async_api import Error as PlaywrightError

from relay.browser.chromium import Context
from relay.browser.fetch import FormPart
from relay.browser.tab import Tab
from relay.browser.world import PageException
from relay.errors import PageLeft
from tests.browser.nasty import Nasty

pytestmark = pytest.mark.asyncio(loop_scope="session")
GLOBALS = "Reflect.ownKeys(globalThis).map(String)"


async def test_the_page_cannot_see_us(tab: Tab, nasty: Nasty) -> None:
    await tab.fetch("GET", nasty.play(b"x")[0])
    assert not [name for name in await tab.page.evaluate(GLOBALS) if "relay" in name]
    assert not [name for name in await tab.page.evaluate("Object.getOwnPropertyNames(document)") if "relay" in name]


async def test_a_new_page_of_the_tab_has_none_either(tab: Tab, nasty: Nasty) -> None:
    await tab.goto(nasty.url("/page/chat.html"))
    assert not [name for name in await tab.page.evaluate(GLOBALS) if "relay" in name]
    assert await tab.evaluate("() => document.title") == "chat"


async def test_a_page_that_broke_its_globals(tab: Tab, nasty: Nasty) -> None:
    await tab.goto(nasty.url("/page/patched.html"))
    url, play = nasty.play("Größe".encode(), bytes(range(256)), gap_s=0.01)
    answer = await tab.fetch("POST", url, body=[FormPart("a", "b"), FormPart("f", b"\x00\xff", filename="f")])
    assert answer.body == play.bytes
    assert b"\x00\xff" in play.seen[0].body
    assert await tab.evaluate("() => JSON.stringify([...new Uint8Array([1, 2])])") == "[1,2]"


async def test_only_the_main_world_has_the_pages_own_fetch(tab: Tab, nasty: Nasty) -> None:
    await tab.goto(nasty.url("/page/signed.html"))
    url, play = nasty.play(b"{}")
    for world in ("main", "isolated"):
        await tab.fetch("GET", url, world=world)
    assert [seen.headers.get("x-signed") for seen in play.seen] == ["yes", None]


async def test_both_worlds_survive_a_navigation(tab: Tab, nasty: Nasty) -> None:
    for _ in range(3):
        for world in ("main", "isolated"):
            assert (await tab.fetch("GET", nasty.play(b"ok")[0], world=world)).body == b"ok"
        await tab.goto(nasty.url("/page/signed.html"))


async def test_a_page_that_navigates_itself(tab: Tab, nasty: Nasty) -> None:
    for number in range(10):
        with suppress(PlaywrightError):  # the page may be off before it has answered
            url = nasty.url(f"/page/blank.html?{number}")
            await tab.page.evaluate("url => { setTimeout(() => { location = url; }, 0); }", url)
        for attempt in range(10):
            try:
                assert await tab.evaluate("() => 1 + 1") == 2
                break
            except PageLeft:  # the call had begun, so it is not made again by itself
                assert attempt < 9


async def test_a_strict_content_security_policy(tab: Tab, nasty: Nasty) -> None:
    await tab.goto(nasty.url("/page/blank.html?strict"))
    assert (await tab.fetch("POST", nasty.play(b"fine")[0], body=b"x")).body == b"fine"
    assert await tab.evaluate("() => document.title") == "blank"


async def test_arguments_and_results_are_json(tab: Tab) -> None:
    value = {"text": "漢字 🦉 \u2028 \ud83d".encode("utf-8", "replace").decode(), "list": [1, 2.5, None, True]}
    assert await tab.evaluate("async x => x", value) == value
    assert await tab.evaluate("() => undefined") is None


async def test_an_exception_in_the_page_says_what(tab: Tab) -> None:
    with pytest.raises(PageException, match="no such thing"):
        await tab.evaluate("() => { throw new Error('no such thing'); }")


async def test_local_storage(tab: Tab) -> None:
    await tab.page.evaluate("localStorage.setItem('token', '漢字')")
    assert await tab.local_storage("token", "none") == ["漢字", None]


async def test_two_tabs_share_their_context_only(context: Context, nasty: Nasty) -> None:
    one, two = await context.tab(), await context.tab()
    for tab in (one, two):
        await tab.goto(nasty.url())
    await one.fetch("GET", "/set-cookies")
    url, play = nasty.play()
    await two.fetch("GET", url)
    assert play.seen[0].headers["cookie"] == "one=1; two=2"
    assert json.loads(await two.evaluate("() => JSON.stringify(document.cookie)")) == "two=2"
