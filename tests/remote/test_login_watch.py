"""LoginWatch: when it asks, what it saves, and that the person's page stays as it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from relay.browser.chromium import Chromium
from relay.demo import DemoServer, create_app
from relay.errors import BadRequest, BrowserFault, LoginNeeded, TotalTimeout
from relay.pool.login import DOUBT_S, FALLBACK_S, QUIET_S, LoginWatch, Rhythm
from relay.pool.profiles import Profile
from relay.pool.sealing import Keyring
from relay.settings import BrowserSettings, LoginSettings
from relay.sites.base import LoginState, SiteConfig
from relay.sites.demo.site import Demo


def test_a_change_is_probed_once_it_is_quiet() -> None:
    rhythm = Rhythm(ended_at=100)
    assert rhythm.due() == 100 + FALLBACK_S
    rhythm.change(103)
    rhythm.change(104)
    assert rhythm.due() == 104 + QUIET_S
    rhythm.begin()
    rhythm.end(110)
    assert rhythm.due() == 110 + FALLBACK_S


def test_endless_changes_do_not_keep_it_from_asking() -> None:
    rhythm = Rhythm(ended_at=100)
    rhythm.change(100 + FALLBACK_S)
    assert rhythm.due() == 100 + FALLBACK_S


def test_what_changes_under_a_probe_is_looked_into_ever_more_rarely() -> None:
    rhythm, waits = Rhythm(ended_at=0), []
    for _ in range(5):
        rhythm.begin()
        rhythm.change(1)
        rhythm.end(2)
        waits.append(rhythm.due() - 2)
    assert waits == [DOUBT_S, DOUBT_S * 2, DOUBT_S * 4, FALLBACK_S, FALLBACK_S]
    rhythm.change(3)
    assert rhythm.due() == 3 + QUIET_S
    rhythm.begin()
    rhythm.end(5)
    assert rhythm.due() == 5 + FALLBACK_S


@pytest.fixture
async def chromium() -> AsyncIterator[Chromium]:
    browser = Chromium(BrowserSettings(sandbox=False))
    await browser.start()
    yield browser
    await browser.stop()


@pytest.fixture
async def demo() -> AsyncIterator[DemoServer]:
    async with DemoServer(create_app()) as server:
        yield server


def watch_of(folder: Path, demo: DemoServer, chromium: Chromium, total_s: float = 60) -> LoginWatch:
    profile = Profile("demo", "ann", folder)
    return LoginWatch(profile, Demo(SiteConfig("ann", demo.url)), chromium, {}, LoginSettings(total_s=total_s))


LOG_IN = """async () => {
    await fetch("/api/login", {method: "POST", headers: {"content-type": "application/json"},
        body: JSON.stringify({user: "demo", password: "demo"})});
    window.mark = "untouched";
}"""


async def test_live_once_logged_in_and_saved(tmp_path: Path, demo: DemoServer, chromium: Chromium) -> None:
    (tmp_path / "state.json").write_text('{"cookies": [{"name": 1}], "origins": "damaged"}')
    async with watch_of(tmp_path, demo, chromium) as watch:
        live = asyncio.create_task(watch.live())
        async with asyncio.timeout(30):
            while watch.last is None:  # noqa: ASYNC110  (nothing tells us)
                await asyncio.sleep(0.05)
        assert watch.last.state is LoginState.DEAD, "nobody has logged in yet"
        await watch.tab.page.evaluate(LOG_IN)
        login = await live
        assert (login.state, login.label) == (LoginState.LIVE, "demo")
        assert await watch.tab.page.evaluate("window.mark") == "untouched", "the person's page was loaded anew"
        assert watch.windows.tabs == [watch.tab], "a page of ours is among the person's"
    saved = watch.profile.load()
    assert saved is not None
    assert [cookie["name"] for cookie in saved["cookies"]] == ["relay_demo_session"]


async def test_a_login_just_before_the_window_is_closed_counts(
    tmp_path: Path, demo: DemoServer, chromium: Chromium
) -> None:
    async with watch_of(tmp_path, demo, chromium) as watch:
        await watch.tab.page.evaluate(LOG_IN)
        await watch.tab.page.close()
        assert (await watch.live()).state is LoginState.LIVE


async def test_given_up_crashed_killed_out_of_time(tmp_path: Path, demo: DemoServer, chromium: Chromium) -> None:
    async with watch_of(tmp_path, demo, chromium) as watch:
        await watch.tab.page.close()
        with pytest.raises(LoginNeeded, match="given up"):
            await watch.live()
    async with watch_of(tmp_path, demo, chromium, total_s=1.5) as watch:
        with pytest.raises(TotalTimeout, match="RELAY_LOGIN__TOTAL_S"):
            await watch.live()
    async with watch_of(tmp_path, demo, chromium) as watch:
        watch.tab.session.post("Page.crash")
        with pytest.raises(BrowserFault, match="crashed"):
            await watch.live()
    async with watch_of(tmp_path, demo, chromium) as watch:
        live = asyncio.create_task(watch.live())
        with pytest.raises((BrowserFault, Exception)):
            await chromium.command("Browser.crash", {})
        with pytest.raises(BrowserFault, match="browser died"):
            await live
    assert not (tmp_path / "state.json").exists()


async def test_a_state_that_could_not_be_replaced_is_refused_first(
    tmp_path: Path, demo: DemoServer, chromium: Chromium
) -> None:
    Profile("demo", "ann", tmp_path, Keyring(["one"])).save({"cookies": [], "origins": []})
    with pytest.raises(BadRequest, match="RELAY_PROFILE_KEY"):
        async with watch_of(tmp_path, demo, chromium):
            pass
