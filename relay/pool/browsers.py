"""The browsers of the pool: one per mode, launched on demand, launched again after a death."""

from __future__ import annotations

import asyncio

from loguru import logger

from relay.browser.chromium import Chromium
from relay.settings import BrowserSettings, Settings


class Browsers:
    """Hands out the running browser of a site's mode."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running: dict[str, Chromium] = {}
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Browsers {', '.join(map(repr, self._running.values())) or 'none running'}>"

    def _settings_for(self, site: str) -> BrowserSettings:
        own = self._settings.sites.get(site)
        general = self._settings.browser
        return general.model_copy(update={"mode": own.mode}) if own and own.mode else general

    async def get(self, site: str = "") -> Chromium:
        """The browser for a site, alive. Raises BrowserFault when none can be started."""
        settings = self._settings_for(site)
        async with self._lock:
            browser = self._running.get(settings.mode)
            if browser is not None and browser.alive:
                return browser
            if browser is not None:
                logger.warning("the browser has died; starting another")
                await browser.stop()
            browser = Chromium(settings)
            await browser.start()
            self._running[settings.mode] = browser
            return browser

    async def stop(self) -> None:
        """End them all."""
        async with self._lock:
            for browser in self._running.values():
                await browser.stop()
            self._running.clear()
