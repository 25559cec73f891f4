"""A browser with windows on a machine without a screen."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
from pathlib import Path

import psutil
import pytest

from relay.browser.chromium import Chromium
from relay.browser.display import VirtualDisplay, has_display
from relay.errors import BrowserFault
from relay.settings import BrowserSettings

SANDBOX = os.name != "posix" or os.geteuid() != 0


@pytest.fixture(autouse=True)
def no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "XAUTHORITY"):
        monkeypatch.delenv(name, raising=False)
    assert not has_display()


def displays() -> list[psutil.Process]:
    return [child for child in psutil.Process().children(recursive=True) if child.name() == "Xvfb"]


async def test_a_headed_browser_makes_its_display_and_ends_it() -> None:
    chromium = Chromium(BrowserSettings(mode="headed", sandbox=SANDBOX))
    await chromium.start()
    try:
        [display] = displays()
        context = await chromium.context()
        tab = await context.tab()
        await tab.goto("data:text/html,<title>seen</title><p>hello")
        assert await tab.evaluate("function() { return [document.title, document.visibilityState]; }") == [
            "seen",
            "visible",
        ]
    finally:
        await chromium.stop()
    assert not display.is_running()
    assert displays() == []


def geometry(environment: dict[str, str]) -> str:
    """The size of a display, as an X client sees it; empty where it is not let in."""
    look = ["xdotool", "getdisplaygeometry"]
    return subprocess.run(look, env={**os.environ, **environment}, capture_output=True, text=True).stdout


async def test_only_we_may_look_at_a_display() -> None:
    display = await VirtualDisplay.start()
    folder = Path(display.environment["XAUTHORITY"]).parent
    try:
        assert (await asyncio.to_thread(geometry, display.environment)).split() == ["1280", "800"]
        assert await asyncio.to_thread(geometry, {"DISPLAY": display.name}) == ""
        assert await asyncio.to_thread(lambda: stat.S_IMODE(folder.stat().st_mode)) == 0o700
    finally:
        await display.stop()
    assert not await asyncio.to_thread(folder.exists)


async def test_without_xvfb_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(BrowserFault, match="apt-get install xvfb"):
        await VirtualDisplay.start()


async def test_a_display_that_does_not_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "/bin/false")
    with pytest.raises(BrowserFault, match="did not start"):
        await VirtualDisplay.start()
