"""`relay login` in a window on a display, driven by real key strokes as a person's would be."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from relay.browser.display import VirtualDisplay
from relay.demo import DemoServer, create_app
from tests.e2e import accounts
from tests.e2e.relay_server import Process, RelayServer, environment
from tests.e2e.test_pool import account_status, until

SECRET = "secret of this test's demo site"
RELAY = [sys.executable, "-m", "relay"]
PROMPT = r"Log in to Demo in the window"


@pytest_asyncio.fixture
async def display() -> AsyncIterator[dict[str, str]]:
    """The environment of a display that nobody else sees."""
    if shutil.which("xdotool") is None:
        pytest.fail("xdotool is needed: apt-get install xdotool")
    made = await VirtualDisplay.start()
    yield made.environment
    await made.stop()


@pytest_asyncio.fixture
async def site() -> AsyncIterator[str]:
    """A demo site where ann may log in."""
    async with DemoServer(create_app(secret=SECRET, accounts={"ann": "a Pass-word 7"}, scripts=True)) as server:
        yield server.url


class Person:
    """Sits before the display, and has nothing but a keyboard."""

    def __init__(self, display: dict[str, str]) -> None:
        self._env = {**os.environ, **display}

    async def xdotool(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            "xdotool", *arguments, env=self._env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        out, _ = await process.communicate()
        return out.decode()

    async def turns_to(self, title: str) -> str:
        """Wait for the window with this title and give it the keyboard, as a window manager would; its id."""
        window = ""

        async def there() -> bool:
            nonlocal window
            window = (await self.xdotool("search", "--onlyvisible", "--name", title)).partition("\n")[0]
            return bool(window)

        await until(there)
        await self.xdotool("windowfocus", "--sync", window)
        return window

    async def logs_in(self, user: str, password: str, until_ended: Process) -> int:
        """Type both, and once more on a page loaded anew where that came before the page had its form; the status."""
        await self.turns_to("Demo chat")
        ending = asyncio.create_task(asyncio.to_thread(until_ended.wait, 90))
        while not ending.done():
            for key in (user, "Tab", password, "Return"):
                named = key in ("Tab", "Return")
                await self.xdotool(*(("key", key) if named else ("type", "--delay", "20", key)))
            await asyncio.wait({ending}, timeout=12)
            if not ending.done():
                await self.xdotool("key", "F5")
                await asyncio.wait({ending}, timeout=2)
        return await ending

    async def closes(self) -> None:
        await self.turns_to("Demo chat")
        await self.xdotool("key", "ctrl+w")


def login(home: Path, display: dict[str, str], *arguments: str) -> Process:
    return Process(
        [*RELAY, "login", "demo", *arguments], cwd=home, env=environment({"RELAY_HOME": str(home), **display})
    )


def profile(home: Path, site: str, account: str = "mine") -> Path:
    """An account that was never logged in."""
    (home / "browser_profiles").mkdir(exist_ok=True)
    return accounts.write(home, "demo", account, None, base_url=f"{site}/")


async def ended(process: Process) -> int:
    return await asyncio.to_thread(process.wait, 60)


async def test_a_window_closes_by_itself_once_the_login_lives(
    tmp_path: Path, display: dict[str, str], site: str
) -> None:
    folder, person = profile(tmp_path, site), Person(display)
    window = login(tmp_path, display)
    await asyncio.to_thread(window.await_output, PROMPT)
    assert await person.logs_in("ann", "a Pass-word 7", window) == 0, window.output
    assert "demo/mine is logged in as ann." in window.output
    assert "Traceback" not in window.output
    state = folder / "state.json"
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert [cookie["name"] for cookie in json.loads(state.read_text())["cookies"]] == ["relay_demo_session"]
    # The state serves a headless browser.
    checked = await asyncio.create_subprocess_exec(
        *RELAY, "accounts", "check", "demo/mine", cwd=tmp_path, env=environment({"RELAY_HOME": str(tmp_path)}),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await checked.communicate()
    assert (checked.returncode, out.decode()) == (0, "demo/mine: ready (ann)\n")


async def test_a_window_that_is_closed_gives_the_login_up(tmp_path: Path, display: dict[str, str], site: str) -> None:
    folder, person = profile(tmp_path, site), Person(display)
    window = login(tmp_path, display)
    await asyncio.to_thread(window.await_output, PROMPT)
    await person.closes()
    assert await ended(window) == 1
    assert "given up" in window.output
    assert "Traceback" not in window.output
    assert not (folder / "state.json").exists()


async def test_the_server_hands_an_account_over_and_takes_it_back(
    tmp_path: Path, display: dict[str, str], site: str
) -> None:
    profile(tmp_path, site)
    server = RelayServer(tmp_path, {"RELAY_COMMIT_AFTER_S": "60"})
    person = Person(display)
    relay = await asyncio.to_thread(server.start, ready=None)
    try:
        assert (await account_status(relay, "demo/mine"))["reason"] == "expired"
        window = login(tmp_path, display)
        await asyncio.to_thread(window.await_output, PROMPT)
        assert (await account_status(relay, "demo/mine"))["reason"] == "lent"
        async with httpx.AsyncClient(base_url=relay.url, trust_env=False, timeout=60) as client:
            body = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}
            refused = await client.post("/v1/chat/completions", json=body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "no_account_available")
            assert await person.logs_in("ann", "a Pass-word 7", window) == 0, window.output
            assert (await account_status(relay, "demo/mine"))["state"] == "ready"
            assert (await client.post("/v1/chat/completions", json=body)).status_code == 200
    finally:
        await asyncio.to_thread(server.process.end)
    assert "Traceback" not in server.log


async def test_an_account_comes_back_when_its_window_dies(tmp_path: Path, display: dict[str, str], site: str) -> None:
    accounts.demo(tmp_path, site, SECRET, "mine", user="ann")
    server = RelayServer(tmp_path, {"RELAY_LOGIN__CLAIM_S": "1"})
    relay = await asyncio.to_thread(server.start, ready=None)
    try:
        window = login(tmp_path, display)
        await asyncio.to_thread(window.await_output, PROMPT)
        children = window.children()
        window.kill()

        async def back() -> bool:
            return bool((await account_status(relay, "demo/mine"))["state"] == "ready")

        await until(back)
        for child in children:
            if child.is_running():
                child.kill()
    finally:
        await asyncio.to_thread(server.process.end)


async def test_without_a_display_another_way_is_told(tmp_path: Path) -> None:
    (tmp_path / "browser_profiles").mkdir()
    window = login(tmp_path, {"DISPLAY": "", "WAYLAND_DISPLAY": ""})
    assert await ended(window) == 2
    assert "relay login --remote" in window.output
    assert list((tmp_path / "browser_profiles").rglob("*")) == []
