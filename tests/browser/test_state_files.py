"""A login from a file, in a real browser."""

from __future__ import annotations

import json
import time

import pytest

from relay.browser.chromium import Chromium
from relay.pool.state_files import read_state
from relay.sites.demo.site import Demo
from tests.browser.nasty import Nasty

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_what_is_read_from_a_file_logs_a_context_in(chromium: Chromium, nasty: Nasty) -> None:
    """Cookies and localStorage that one context saved reach another through the file; so do cookies of other forms."""
    address = nasty.url()
    first = await chromium.context()
    tab = await first.tab()
    await tab.goto(address)
    kept = await tab.evaluate(
        """function() {
            localStorage.setItem("token", "half \\ud800 of 秘密");
            document.cookie = "plain=one; path=/";
            document.cookie = "lasting=two; path=/; max-age=3600; samesite=strict";
            return document.cookie;  // set without waiting, they are there for others once they can be read
        }"""
    )
    assert sorted(kept.split("; ")) == ["lasting=two", "plain=one"]
    saved = await first.state()
    await first.close()
    state = read_state(json.dumps(saved).encode(), Demo, address)
    assert state["cookies"] == saved["cookies"]
    assert [one["localStorage"] for one in state["origins"]] == [one["localStorage"] for one in saved["origins"]]

    extension = [
        {"name": "plain", "value": "three", "domain": "127.0.0.1", "hostOnly": True, "session": True},
        {"name": "lasting", "value": "four", "domain": "127.0.0.1", "expirationDate": time.time() + 3600},
        {"name": "other", "value": "x", "domain": ".bank.example"},
    ]
    lasting = f"127.0.0.1\tFALSE\t/\tFALSE\t{time.time() + 3600:.0f}\tlasting\tsix\n"
    netscape = f"#HttpOnly_127.0.0.1\tFALSE\t/\tFALSE\t0\tplain\tfive\n{lasting}"
    for content, cookies in (
        (state, "plain=one; lasting=two"),
        (read_state(json.dumps(extension).encode(), Demo, address), "plain=three; lasting=four"),
        (read_state(netscape.encode(), Demo, address), "lasting=six"),  # the other is HttpOnly
    ):
        context = await chromium.context(content)
        tab = await context.tab()
        await tab.goto(address)
        seen, token = await tab.evaluate('function() { return [document.cookie, localStorage.getItem("token")]; }')
        assert sorted(seen.split("; ")) == sorted(cookies.split("; "))
        assert token == ("half \ud800 of 秘密" if content is state else None)
        held = {cookie["name"] for cookie in (await context.state())["cookies"]}
        assert held == {"plain", "lasting"}
        await context.close()
