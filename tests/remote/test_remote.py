"""A login from afar, through the viewer's page, and all that can go wrong with one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Browser, FilePayload

from relay.demo import DemoServer
from relay.errors import AccountNotFound, NoAccount
from relay.pool.dispatcher import Dispatcher
from relay.pool.face import Scene
from relay.pool.profiles import Profile
from relay.pool.remote_session import RemoteSession
from relay.settings import BrowserSettings, LoginSettings, Settings
from tests.remote.conftest import Relay, eventually
from tests.remote.door import ALLOW, CODE, NAME, PLACES, Door
from tests.remote.viewer import Viewer

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def tap_until(viewer: Viewer, place: tuple[int, int], done: Callable[[], bool]) -> None:
    """Tap until that has done something, as a person does where the page was still changing its size."""

    async def tapped() -> bool:
        await viewer.tap(place)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3):
                while not done():  # noqa: ASYNC110  (the page tells its server, not us)
                    await asyncio.sleep(0.03)
        return done()

    await eventually(tapped, timeout_s=40)


async def turn_to(viewer: Viewer, door: Door, field: str) -> None:
    """Tap on a field, so that the caret is there."""
    did = door.newest.did
    did.pop("focus", None)
    await tap_until(viewer, PLACES[field], lambda: did.get("focus") == field)
    await viewer.keyboard()


async def log_in(viewer: Viewer, door: Door) -> None:
    """Everything that the login page asks for."""
    did = door.newest.did
    page = viewer.page

    await turn_to(viewer, door, "name")
    await viewer.compose("n", "ni", "ni hao", text=NAME)
    await eventually(lambda: did.get("name") == NAME)

    await turn_to(viewer, door, "code")
    await page.evaluate("text => navigator.clipboard.writeText(text)", CODE)
    await page.keyboard.press("Control+V")
    await eventually(lambda: did.get("code") == CODE)

    await viewer.tap(PLACES["popup"])
    await page.wait_for_selector("#windows [role=tab] >> nth=1")
    await eventually(lambda: page.evaluate("windows.textContent.includes('Another provider')"))
    await tap_until(viewer, ALLOW, lambda: did.get("popup") == "allowed")
    await page.wait_for_selector("#windows", state="hidden")

    await viewer.tap(PLACES["file"])
    await page.wait_for_selector("#chooser", state="visible")
    one = FilePayload(name="a.txt", mimeType="text/plain", buffer=b"one")
    two = FilePayload(name="b.txt", mimeType="text/plain", buffer=b"two")
    await page.set_input_files("#files", [one, two])
    await eventually(lambda: did.get("file") == "a.txt=one&b.txt=two")

    await eventually(viewer.codes)
    address = viewer.seen[0]
    async with httpx.AsyncClient(trust_env=False) as phone:
        assert (await phone.get(address)).text == "thank you"
    # The page asks its server only when something is done.
    await viewer.tap(PLACES["code"])
    await viewer.keyboard()
    await page.keyboard.press("End")
    await page.keyboard.press("x")
    await page.keyboard.press("Backspace")


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
async def test_a_whole_login(relay: Relay, door: Door, viewers: Browser, phone: bool) -> None:
    name, address = await relay.login()
    assert relay.status(name) == "lent"
    async with Viewer(viewers, address, phone=phone) as viewer:
        await viewer.page.wait_for_selector("body[data-state=waiting]")
        await eventually(viewer.codes)
        assert "Waiting for login" in await viewer.says()
        await log_in(viewer, door)
        await viewer.page.wait_for_selector("body[data-state=live]", timeout=20_000)
        assert "you may close this page" in (await viewer.says()).lower()
    assert relay.status(name) == "ready"
    async with httpx.AsyncClient(base_url=relay.url, trust_env=False, timeout=30) as client:
        body = {"model": "demo/echo", "messages": [{"role": "user", "content": "after the login"}]}
        answer = await client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        assert "after the login" in answer.json()["choices"][0]["message"]["content"]
        assert (await client.get(address)).status_code == 404


def session_of(relay: Relay, name: str) -> RemoteSession:
    """The relay's own end of an account's login."""
    return next(one for one in reversed(relay.pool.logins._sessions.values()) if one.account.name == name)


async def test_dialogs_keys_clipboard_scrolling_and_the_browsers_buttons(
    relay: Relay, door: Door, viewers: Browser
) -> None:
    _, address = await relay.login()
    async with Viewer(viewers, address) as viewer:
        page = viewer.page
        await eventually(viewer.codes)
        did = door.newest.did
        await viewer.tap(PLACES["ask"])
        await page.wait_for_selector("#dismiss", state="visible")
        assert await page.inner_text("#question") == "Are you sure?"
        await page.click("#accept")
        await page.wait_for_selector("#answer", state="visible")
        await page.fill("#answer", "me")
        await page.click("#accept")
        await eventually(lambda: did.get("ask") == "true me")

        await viewer.tap(PLACES["name"])
        await page.keyboard.type("Hello wrld")
        for key in ("ArrowLeft", "ArrowLeft", "ArrowLeft", "o", "Control+a", "Control+x"):
            await page.keyboard.press(key)
        await eventually(lambda: did.get("name") == "")
        await eventually(lambda: page.evaluate("navigator.clipboard.readText().then(text => text === 'Hello world')"))
        await page.keyboard.press("Control+v")
        await eventually(lambda: did.get("name") == "Hello world")

        await page.mouse.wheel(0, 300)
        await eventually(lambda: int(did.get("scroll", "0")) > 100)
        visits = door.visits
        await page.click("#reload")
        await eventually(lambda: door.visits > visits)


async def test_a_finger_scrolls(relay: Relay, door: Door, viewers: Browser) -> None:
    _, address = await relay.login()
    async with Viewer(viewers, address, phone=True) as viewer:
        await eventually(viewer.codes)
        did = door.newest.did
        session = await viewer.context.new_cdp_session(viewer.page)
        for number in range(12):
            kind = "touchStart" if number == 0 else "touchMove"
            points = [{"x": 300, "y": 700 - 30 * number}]
            await session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        await session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        await eventually(lambda: int(did.get("scroll", "0")) > 100)


async def test_nothing_is_cast_while_nobody_looks_and_a_viewer_comes_back(
    relay: Relay, door: Door, viewers: Browser
) -> None:
    name, address = await relay.login()
    session = session_of(relay, name)
    assert session.cast is None, "a browser page before anybody has come"
    async with Viewer(viewers, address) as viewer:
        await eventually(viewer.codes)
        await viewer.tap(PLACES["move"])
        cast = session.cast
        assert cast is not None
        before = cast.frames
        await eventually(lambda: cast.frames > before + 10)
        assert repr(cast).startswith("<Screencast casting")
        await viewer.page.goto("about:blank")
        await eventually(lambda: repr(cast).startswith("<Screencast still"))
        frames, moved = cast.frames, await cast.windows[0].page.evaluate("at")
        await eventually(lambda: cast.windows[0].page.evaluate(f"at > {moved} + 20"))
        assert cast.frames == frames, "cast while nobody looked"
        await viewer.page.goto(address)
        await eventually(lambda: cast.frames > frames + 10)

        # The same viewer's newer page takes over; what was shown is shown there.
        other = await viewer.context.new_page()
        await other.goto(address)
        await other.wait_for_selector("body[data-state=waiting]")
        await viewer.page.wait_for_selector("body[data-state=ended]")
        assert "another tab" in await viewer.says()

        async with Viewer(viewers, address) as stranger:
            assert "another browser" in await stranger.page.inner_text("#why")
        async with httpx.AsyncClient(trust_env=False) as client:
            assert (await client.get(address)).status_code == 403


async def test_addresses_that_are_none_any_more(relay: Relay, viewers: Browser) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        never = await client.get(f"{relay.url}/login/{'x' * 43}")
        assert (never.status_code, never.headers["cache-control"]) == (404, "no-store")
        for hostile in ("%00", "..%2f..%2fetc", "a" * 5000, "static"):
            assert (await client.get(f"{relay.url}/login/{hostile}")).status_code == 404

        relay.pool.logins._settings = LoginSettings(open_within_s=0.3)
        try:
            name, address = await relay.login()
        finally:
            relay.pool.logins._settings = LoginSettings()
        opened = await client.get(address)  # as a preview in a mail program would: that is no viewer yet
        assert opened.status_code == 200
        cookie = opened.headers["set-cookie"]
        assert all(
            part in cookie for part in ("HttpOnly", "SameSite=strict", f"Path={address.removeprefix(relay.url)}")
        )
        assert opened.headers["referrer-policy"] == "no-referrer"
        assert "default-src 'self'" in opened.headers["content-security-policy"]
        await eventually(lambda: relay.status(name) == "expired")
        assert (await client.get(address)).status_code == 404


async def test_an_abandoned_login_leaves_the_account_as_it_was(relay: Relay, viewers: Browser) -> None:
    relay.pool.logins._settings = LoginSettings(idle_s=0.3)
    try:
        name, address = await relay.login()
    finally:
        relay.pool.logins._settings = LoginSettings()
    state = relay.pool.accounts[name].profile.load()
    async with Viewer(viewers, address) as viewer:
        await eventually(viewer.codes)
        await viewer.page.goto("about:blank")
        await eventually(lambda: relay.status(name) == "expired")
        await viewer.page.goto(address)
        await viewer.page.wait_for_selector("body[data-state=ended]")
        assert "Nobody looked at the page for 0.3 s" in await viewer.says()
    assert relay.pool.accounts[name].profile.load() == state


async def test_logins_are_bounded_and_one_per_account(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    name, _ = await relay.login()
    with pytest.raises(NoAccount, match="being logged in to already"):
        await relay.pool.logins.open(name)
    with pytest.raises(AccountNotFound):
        await relay.pool.logins.open("demo/nobody")
    spare = await relay.account()
    monkeypatch.setattr("relay.pool.remote.MAX_LOGINS", 0)
    with pytest.raises(NoAccount, match="remote logins are open"):
        await relay.pool.logins.open(spare)
    assert relay.status(spare) == "expired"


@pytest.mark.parametrize("what", ["page", "browser"])
async def test_a_death_under_the_login(relay: Relay, viewers: Browser, what: str) -> None:
    name, address = await relay.login()
    session = session_of(relay, name)
    async with Viewer(viewers, address) as viewer:
        await eventually(viewer.codes)
        assert session.cast is not None
        if what == "page":
            session.cast.windows[0].session.post("Page.crash")
        else:
            browser = await relay.pool.browsers.get("demo")
            [process] = [
                one for one in (await browser.command("SystemInfo.getProcessInfo", {}))["processInfo"]
                if one["type"] == "browser"
            ]  # fmt: skip
            os.kill(process["id"], signal.SIGKILL)
        await viewer.page.wait_for_selector("body[data-state=ended]")
        told = await viewer.says()
        assert ("renderer crashed" if what == "page" else "browser died") in told, told
    await eventually(lambda: relay.status(name) == "expired")
    assert (await relay.pool.owner.check(name)).reason == "expired"
    ticket = await relay.pool.logins.open(name)
    async with Viewer(viewers, relay.url + ticket.path) as viewer:
        await eventually(viewer.codes)


async def test_the_relays_end_ends_a_login(door: Door, tmp_path: Path) -> None:
    async with DemoServer(door.app) as site:
        folder = tmp_path / "browser_profiles" / "demo" / "ann"
        folder.mkdir(parents=True)
        (folder / "account.toml").write_text(f'base_url = "{site.url}/"\n', "utf-8")
        settings = Settings(home=tmp_path, port=0, browser=BrowserSettings(sandbox=False), _env_file=None)
        pool = Dispatcher(settings)
        await pool.start()
        try:
            ticket = await pool.logins.open("demo/ann")
            view = pool.logins.enter(ticket.path.removeprefix("/login/"), "v" * 43)
            scenes: list[Scene] = []

            async def look() -> None:
                async for item in view:
                    if isinstance(item, Scene):
                        scenes.append(item)

            looking = asyncio.create_task(look())
            await eventually(lambda: scenes and scenes[-1].windows)
        finally:
            await pool.stop()
        await asyncio.wait_for(looking, 10)
        assert (scenes[-1].state, scenes[-1].why) == ("ended", "The relay is shutting down.")
        with pytest.raises(NoAccount, match="shutting down"):
            await pool.logins.open("demo/ann")
        with Profile("demo", "ann", folder).lock():
            pass  # free again
