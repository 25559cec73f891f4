"""A person's windows as pictures: JPEG while something moves, one sharp PNG once nothing does, and only while wanted.

`Page.startScreencast` sends a frame for each change and waits for its acknowledgement, which it gets when the frame is
taken: a viewer that is slow costs no pictures that nobody sees.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from loguru import logger

from relay.browser.cdp import CdpError
from relay.browser.tab import Tab
from relay.browser.windows import Windows
from relay.errors import BrowserFault

STILL_S = 0.3
"""After this long without a change the sharp picture is taken: a QR code must scan."""
GAP_S = 0.045
"""Between two pictures: what moves all the time costs a core for each 50 pictures a second."""
JPEG_QUALITY = 70
SHARP_KEPT = 4
"""Sharp pictures kept, by the frames they belong to: a blinking cursor goes to and fro between two of them."""
MAX_SCALE = 2.0


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture of a window; `width` and `height` in CSS pixels."""

    data: bytes
    mime: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Size:
    """A viewport: CSS pixels, and device pixels per CSS pixel."""

    width: int
    height: int
    scale: float = 1.0


class Screencast:
    """Casts one of the windows. `changed` is set whenever there is something new to take or to tell."""

    def __init__(self, windows: Windows, *, resizable: bool = True) -> None:
        """`resizable`: whether the viewport may follow the viewer's (not where the account's owner has set one)."""
        self.changed = asyncio.Event()
        self.frames = 0
        """Frames that the browser sent."""
        self.shots = 0
        """Pictures that were taken."""
        self.tab: Tab | None = windows.tabs[0] if windows.tabs else None
        """The window that is shown."""
        self._windows = windows
        self._known = list(windows.tabs)
        self._size: Size | None = None
        self._resizable = resizable
        self._wanted = False
        self._casting: Tab | None = None
        self._frame_listener: Callable[[dict[str, Any]], None] = self._ignore
        self._newest: Shot | None = None
        self._digest = b""
        self._moved_at = self._taken_at = 0.0
        self._sharp = True
        """Whether the newest picture needs no better one."""
        self._sharp_of: OrderedDict[bytes, Shot] = OrderedDict()
        self._unacknowledged: list[int] = []
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        windows.on_change = self._on_windows

    def __repr__(self) -> str:
        state = "casting" if self._casting is not None else "still"
        return f"<Screencast {state} windows={len(self._known)} frames={self.frames} shots={self.shots}>"

    @property
    def windows(self) -> list[Tab]:
        """Those that are open."""
        return self._windows.tabs

    # which window

    def _on_windows(self) -> None:
        """A new window is shown, as a browser would; when the shown one goes, the newest that is left."""
        tabs = self._windows.tabs
        fresh = [tab for tab in tabs if tab not in self._known]
        if fresh:
            self.tab = fresh[-1]
        elif self.tab not in tabs:
            self.tab = tabs[-1] if tabs else None
        self._known = list(tabs)
        self.changed.set()
        self._follow()

    def show(self, index: int) -> None:
        """Show another window; a number that there is not is ignored."""
        if 0 <= index < len(self._windows.tabs):
            self.tab = self._windows.tabs[index]
            self.changed.set()
            self._follow()

    def resize(self, size: Size) -> None:
        """Give the windows the viewer's size."""
        if self._resizable and size != self._size:
            self._size = Size(size.width, size.height, min(size.scale, MAX_SCALE))
            self._sharp_of.clear()
            self._follow(again=True)

    # life

    def start(self) -> None:
        """Somebody looks."""
        self._wanted = True
        self._follow(again=True)

    async def stop(self) -> None:
        """Nobody looks any more."""
        self._wanted = False
        async with self._turn:
            await self._end_cast()

    def _follow(self, *, again: bool = False) -> None:
        """Cast what is shown now."""
        if self._wanted:
            self._spawn(self._recast(again))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _recast(self, again: bool) -> None:
        async with self._turn:
            if self._casting is self.tab and not again:
                return
            await self._end_cast()
            tab = self.tab
            if tab is None or not self._wanted:
                return
            try:
                await self._begin_cast(tab)
            except (CdpError, BrowserFault) as error:
                logger.debug("{} not cast: {}", tab, error)

    async def _begin_cast(self, tab: Tab) -> None:
        session, size = tab.session, self._size
        await session.send("Page.enable")
        await session.send("Page.bringToFront")
        most: dict[str, Any] = {}
        if size is not None:
            metrics = {"width": size.width, "height": size.height, "deviceScaleFactor": size.scale, "mobile": False}
            await session.send("Emulation.setDeviceMetricsOverride", metrics)
            most = {"maxWidth": size.width, "maxHeight": size.height}
        self._casting = tab
        self._frame_listener = lambda params: self._on_frame(tab, params)
        session.on("Page.screencastFrame", self._frame_listener)
        await session.send("Page.startScreencast", {"format": "jpeg", "quality": JPEG_QUALITY, **most})

    async def _end_cast(self) -> None:
        tab, self._casting = self._casting, None
        self._newest, self._sharp, self._digest = None, True, b""
        self._unacknowledged.clear()
        if tab is not None:
            tab.session.off("Page.screencastFrame", self._frame_listener)
            with suppress(CdpError, BrowserFault):
                await tab.session.send("Page.stopScreencast", timeout_s=5)

    def _ignore(self, _: dict[str, Any]) -> None:
        """No cast yet."""

    # pictures

    def _on_frame(self, tab: Tab, params: dict[str, Any]) -> None:
        if tab is not self._casting:
            return
        self.frames += 1
        data = base64.b64decode(params["data"])
        digest = hashlib.blake2b(data, digest_size=16).digest()
        if digest == self._digest:  # nothing changed: a screenshot makes the browser paint anew
            self._acknowledge(tab, [params["sessionId"]])
            return
        self._unacknowledged.append(params["sessionId"])
        self._digest = digest
        known = self._sharp_of.get(digest)
        if known is not None:
            self._newest, self._sharp = known, True
        else:
            seen = params["metadata"]
            width, height = round(seen["deviceWidth"]), round(seen["deviceHeight"])
            self._newest, self._sharp = Shot(data, "image/jpeg", width, height), False
        self._moved_at = time.monotonic()
        self.changed.set()

    def _acknowledge(self, tab: Tab, frames: list[int]) -> None:
        for frame in frames:
            tab.session.post("Page.screencastFrameAck", {"sessionId": frame})

    def take(self) -> Shot | None:
        """The newest picture, if it was not taken yet, and if the one before was not taken just now."""
        left_s = self._taken_at + GAP_S - time.monotonic()
        if self._newest is not None and left_s > 0:
            asyncio.get_running_loop().call_later(left_s, self.changed.set)
            return None
        shot, self._newest = self._newest, None
        if shot is not None and self._casting is not None:
            self._taken_at = time.monotonic()
            self.shots += 1
            frames, self._unacknowledged = self._unacknowledged, []
            self._acknowledge(self._casting, frames)
        return shot

    async def wait(self) -> None:
        """Until there is something to take or to tell; the sharp picture is taken here once it is time."""
        while not self.changed.is_set():
            left_s = self._moved_at + STILL_S - time.monotonic()
            if self._sharp or self._casting is None:
                await self.changed.wait()
                break
            if left_s <= 0:
                self._sharp = True
                self._spawn(self._sharpen(self._casting))  # not waited for: a page that shows a dialog gives none
            else:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.changed.wait(), left_s)
                    break
        self.changed.clear()

    async def titles(self) -> list[str]:
        """Of the windows, or their addresses where they have none. Asked of the browser: pages may hang."""

        async def title(tab: Tab) -> str:
            try:
                reply = await tab.session.send("Target.getTargetInfo", timeout_s=2)
            except (CdpError, BrowserFault):
                return tab.url
            return str(reply["targetInfo"]["title"] or tab.url)

        return await asyncio.gather(*map(title, self._windows.tabs))

    async def _sharpen(self, tab: Tab) -> None:
        digest = self._digest
        try:
            reply = await tab.session.send("Page.captureScreenshot", {"format": "png", "optimizeForSpeed": True})
            layout = (await tab.session.send("Page.getLayoutMetrics"))["cssLayoutViewport"]
        except (CdpError, BrowserFault) as error:
            logger.debug("no sharp picture: {}", error)
            return
        if tab is not self._casting or digest != self._digest:
            return  # it has moved meanwhile
        shot = Shot(base64.b64decode(reply["data"]), "image/png", layout["clientWidth"], layout["clientHeight"])
        self._newest = self._sharp_of[digest] = shot
        if len(self._sharp_of) > SHARP_KEPT:
            self._sharp_of.popitem(last=False)
        self.changed.set()
