"""The browser itself: state, options, launching and its errors, death, a remote one, where the executable is."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from relay.browser import executable
from relay.browser.chromium import Chromium, Context
from relay.browser.tab import Tab
from relay.errors import BrowserFault
from relay.settings import BrowserSettings
from tests.browser.conftest import SETTINGS, eventually
from tests.browser.nasty import Nasty

pytestmark = pytest.mark.asyncio(loop_scope="session")
FILL = """async () => {
    document.cookie = "session=1";
    document.cookie = "kept=2; max-age=3600";
    localStorage.setItem("token", "漢字");
    await new Promise((done, failed) => {
        const opening = indexedDB.open("db", 1);
        opening.onupgradeneeded = () => opening.result.createObjectStore("s").put(
            { when: new Date(86400000), bytes: new Uint8Array([1, 255]) }, "key");
        opening.onsuccess = () => { opening.result.close(); done(); };
        opening.onerror = failed;
    });
}"""
READ = """() => new Promise(done => {
    const opening = indexedDB.open("db");
    opening.onsuccess = () => {
        const got = opening.result.transaction("s").objectStore("s").get("key");
        got.onsuccess = () => {
            const { when, bytes } = got.result;
            done([document.cookie, localStorage.token, when.getTime(), [...bytes]]);
        };
    };
})"""


class TestContexts:
    async def test_state_round_trip(self, chromium: Chromium, tab: Tab, context: Context, nasty: Nasty) -> None:
        await tab.page.evaluate(FILL)
        state = json.loads(json.dumps(await context.state()))  # it is kept as JSON
        other = await chromium.context(state)
        there = await other.tab()
        await there.goto(nasty.url())
        assert await there.evaluate(READ) == ["session=1; kept=2", "漢字", 86400000, [1, 255]]
        await other.close()
        assert other.closed and not context.closed

    async def test_options(self, chromium: Chromium, nasty: Nasty) -> None:
        context = await chromium.context(
            locale="zh-CN", timezone_id="Asia/Shanghai", viewport={"width": 777, "height": 555}
        )
        tab = await context.tab()
        await tab.goto(nasty.url())
        seen = "() => [navigator.language, Intl.DateTimeFormat().resolvedOptions().timeZone, innerWidth, innerHeight]"
        assert await tab.evaluate(seen) == ["zh-CN", "Asia/Shanghai", 777, 555]
        await context.close()

    async def test_bad_options_are_an_error(self, chromium: Chromium) -> None:
        with pytest.raises(BrowserFault, match="No context"):
            await chromium.context({"cookies": [{"name": "x"}]})

    async def test_contexts_keep_apart(self, chromium: Chromium, tab: Tab, nasty: Nasty) -> None:
        await tab.page.evaluate("document.cookie = 'who=one'")
        other = await chromium.context()
        there = await other.tab()
        await there.goto(nasty.url())
        assert await there.evaluate("() => document.cookie") == ""
        await other.close()

    async def test_the_byte_path_is_the_one_that_is_set(
        self, chromium: Chromium, request: pytest.FixtureRequest
    ) -> None:
        path = "socket" if request.node.callspec.params["chromium"] else "pipe"
        assert f"by {path}>" in repr(chromium)


class TestLeft:
    """Who leaves while something is being opened leaves nothing open."""

    async def test_a_page(self, context: Context) -> None:
        for after_ms in range(0, 40, 2):
            await left(context.tab(), after_ms)
        last = await context.tab()  # it comes after those that nobody waits for
        await last.close()
        await eventually(lambda: context.empty)

    async def test_a_context(self, chromium: Chromium, tab: Tab) -> None:
        browser = tab.page.context.browser
        assert browser is not None
        before = len(browser.contexts)
        for after_ms in range(0, 20, 2):
            await left(chromium.context(), after_ms)
        last = await chromium.context()
        await last.close()
        await eventually(lambda: len(browser.contexts) == before)

    async def test_a_page_on_its_way(self, chromium: Chromium, context: Context, nasty: Nasty) -> None:
        """Chromium forgets some of the closes that come while a navigation begins to show."""

        async def one(after_ms: int) -> None:
            tab = await context.tab()
            going = asyncio.create_task(tab.goto(nasty.url()))
            await asyncio.wait({going}, timeout=after_ms / 1000)
            going.cancel()
            closing = asyncio.create_task(tab.close())
            if after_ms % 2:  # who closes may leave too
                await asyncio.sleep(0)
                closing.cancel()

        for _ in range(4):
            await asyncio.gather(*(one(after_ms) for after_ms in range(2, 32, 3)))
        await eventually(lambda: context.empty)


async def left(opening: Coroutine[Any, Any, Tab | Context], after_ms: float) -> None:
    """Ask, and leave; what is there by then is closed, as its owner would."""
    asking = asyncio.create_task(opening)
    await asyncio.wait({asking}, timeout=after_ms / 1000)
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await (await asking).close()


@pytest.mark.parametrize("direct", [False, True], ids=["pipe", "socket"])
async def test_a_killed_browser(nasty: Nasty, direct: bool) -> None:
    before = set(psutil.Process().children(recursive=True))
    gone = asyncio.Event()
    browser = Chromium(BrowserSettings(direct_cdp=direct, **SETTINGS), gone.set)
    await browser.start()
    tab = await (context := await browser.context()).tab()
    await tab.goto(nasty.url())
    url, play = nasty.play(b"so far", asyncio.Event())
    started = [child for child in psutil.Process().children(recursive=True) if child not in before]
    commands = {child: child.cmdline() for child in started}
    root = [  # the last: Debian's first one is a shell that waits for it
        child
        for child, command in commands.items()
        if "--remote-debugging-pipe" in command and not any(part.startswith("--type=") for part in command)
    ][-1]
    with pytest.raises(BrowserFault):
        async with tab.stream("GET", url) as answer:
            assert await anext(aiter(answer)) == b"so far"
            os.kill(root.pid, signal.SIGKILL)
            await asyncio.wait_for(answer.read(), 20)
    await asyncio.wait_for(gone.wait(), 20)
    assert not browser.alive
    await asyncio.wait_for(play.left.wait(), 20)
    for use in (tab.fetch("GET", "/"), context.tab(), context.state(), browser.context()):
        with pytest.raises(BrowserFault):
            await use
    await browser.start()  # again
    assert browser.alive
    tab = await (await browser.context()).tab()
    await tab.goto(nasty.url())
    await browser.stop()
    assert not browser.alive
    await eventually(lambda: not [child for child in started if child.is_running() and child.status() != "zombie"])
    assert set(psutil.Process().children(recursive=True)) <= before


async def test_a_killed_driver(nasty: Nasty) -> None:
    """Playwright tells nobody that its own process has died; the next use must notice."""
    before = set(psutil.Process().children())
    browser = Chromium(BrowserSettings(**SETTINGS))
    await browser.start()
    context = await browser.context()
    tab = await context.tab()
    await tab.goto(nasty.url())
    driver = next(child for child in psutil.Process().children() if child not in before)
    driver.kill()
    with pytest.raises(BrowserFault):
        await asyncio.wait_for(tab.fetch("GET", nasty.play(b"x")[0], timeout_s=60), 20)
    with pytest.raises(BrowserFault):
        await asyncio.wait_for(context.tab(), 20)
    assert not browser.alive
    await browser.stop()


async def test_a_remote_browser(nasty: Nasty) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    path = executable.find(None, Path("/nowhere"), "shell")
    process = await asyncio.create_subprocess_exec(
        path, "--headless", "--no-sandbox", f"--remote-debugging-port={port}", stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with httpx.AsyncClient() as client, asyncio.timeout(20):
            while True:
                try:
                    await client.get(f"http://127.0.0.1:{port}/json/version")
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        browser = Chromium(BrowserSettings(cdp_url=f"http://127.0.0.1:{port}", **SETTINGS))
        await browser.start()
        tab = await (await browser.context()).tab()
        await tab.goto(nasty.url())
        async with tab.traffic("**/play/*") as traffic:
            assert (await tab.fetch("GET", nasty.play(b"far away")[0])).body == b"far away"
            assert await (await (await traffic.next()).answer()).read() == b"far away"
        await browser.stop()
        assert process.returncode is None  # it is not ours to end
    finally:
        tree = psutil.Process(process.pid)  # Debian's browser is a script that starts the real one
        for one in [*tree.children(recursive=True), tree]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        await process.wait()


class TestLaunching:
    async def start(self, **settings: object) -> BrowserFault:
        browser = Chromium(BrowserSettings(**(SETTINGS | settings)))
        with pytest.raises(BrowserFault) as caught:
            await browser.start()
        assert not browser.alive
        with pytest.raises(BrowserFault):
            await browser.context()
        return caught.value

    async def test_not_a_file(self, tmp_path: Path) -> None:
        error = await self.start(executable=tmp_path / "none")
        assert "RELAY_BROWSER__EXECUTABLE" in error.message and "not a file" in error.message

    async def test_not_executable(self, tmp_path: Path) -> None:
        (tmp_path / "chromium").write_text("#!/bin/sh\n")
        assert "chmod" in (await self.start(executable=tmp_path / "chromium")).message

    async def test_not_a_browser(self, tmp_path: Path) -> None:
        path = tmp_path / "chromium"
        path.write_text("#!/bin/sh\necho 'libnss3.so: cannot open shared object file' >&2\nexit 127\n")
        path.chmod(0o755)
        assert "libnss3.so" in (await self.start(executable=path)).message

    async def test_no_remote(self) -> None:
        assert "RELAY_BROWSER__CDP_URL" in (await self.start(cdp_url="http://127.0.0.1:9")).message
