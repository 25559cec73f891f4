"""The browsers of the pool: one per mode, launched on demand, again after a death, and replaced when they are old."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from loguru import logger

from relay.browser.chromium import Chromium
from relay.settings import BrowserSettings, Settings


class Browsers:
    """Hands out the running browser of a site's mode."""

    def __init__(self, settings: Settings, on_restart: Callable[[], None] = lambda: None) -> None:
        """`on_restart` is told of each browser that takes the place of another."""
        self._settings = settings
        self._on_restart = on_restart
        self._running: dict[str, Chromium] = {}
        self._started: dict[Chromium, float] = {}
        self._retired: list[Chromium] = []
        self._held: list[Chromium] = []
        self._starting: dict[str, asyncio.Task[Chromium]] = {}

    def __repr__(self) -> str:
        return f"<Browsers {', '.join(map(repr, self._running.values())) or 'none running'}>"

    async def get(self, site: str = "") -> Chromium:
        """The browser for a site, alive. Raises BrowserFault when none can be started."""
        settings = self._settings.browser_of(site)
        browser = self._running.get(settings.mode)
        if browser is not None and browser.alive:
            return browser
        starting = self._starting.get(settings.mode)
        if starting is None:
            starting = asyncio.create_task(self._start(settings))
            self._starting[settings.mode] = starting
            starting.add_done_callback(lambda done: self._settled(settings.mode, done))
        # Who asks may leave; half a start, or half an end, would leave processes behind that nobody knows of.
        return await asyncio.shield(starting)

    async def _start(self, settings: BrowserSettings) -> Chromium:
        browser = self._running.pop(settings.mode, None)  # first: nobody is to find one that is being ended
        if browser is not None:
            logger.warning("the browser has died; starting another")
            await self._end(browser)
        if browser is not None or self._retired:
            self._on_restart()
        fresh = Chromium(settings)
        await fresh.start()
        self._running[settings.mode] = fresh
        self._started[fresh] = time.monotonic()
        return fresh

    def _settled(self, mode: str, done: asyncio.Task[Chromium]) -> None:
        del self._starting[mode]
        if not done.cancelled():
            done.exception()  # those who waited were told; perhaps they are gone

    def retire(self, why: str, *, older_than_s: float = 0) -> int:
        """Let running browsers be replaced: who asks from now on gets a new one. Returns how many are affected.

        A retired one ends in `end_retired`, once the accounts have left it.
        """
        now = time.monotonic()
        old = [(mode, one) for mode, one in self._running.items() if now - self._started[one] >= older_than_s]
        for mode, browser in old:
            logger.info("replacing {}: {}", browser, why)
            self._retired.append(browser)
            del self._running[mode]
        return len(old)

    def retired(self, browser: Chromium) -> bool:
        """Whether it is to be left."""
        return browser in self._retired

    @contextmanager
    def held(self, browser: Chromium) -> Iterator[None]:
        """While inside, a retired browser is not ended: somebody logs in there."""
        self._held.append(browser)
        try:
            yield
        finally:
            self._held.remove(browser)

    async def end_retired(self, in_use: set[Chromium]) -> None:
        """End the retired browsers that nobody uses any more."""
        for browser in [one for one in self._retired if one not in in_use and one not in self._held]:
            await self._end(browser)
            self._retired.remove(browser)

    async def _end(self, browser: Chromium) -> None:
        self._started.pop(browser, None)
        await browser.stop()

    async def stop(self) -> None:
        """End them all."""
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        for browser in (*self._running.values(), *self._retired):
            await self._end(browser)
        self._running.clear()
        self._retired.clear()
