"""One account opened by itself, without a pool: for commands that work on its files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from relay.browser.chromium import Chromium, Context
from relay.pool.profiles import Profile
from relay.settings import Settings
from relay.sites.base import Login, LoginState, Site


@dataclass(frozen=True, slots=True)
class Alone:
    """The account, its site, a browser of its own, and what its contexts are made with."""

    profile: Profile
    site: Site
    browser: Chromium
    options: Mapping[str, object]

    @asynccontextmanager
    async def context(self) -> AsyncIterator[Context]:
        """The logged-in context. Raises BadRequest where the saved state cannot be used, BrowserFault."""
        context = await self.browser.context(self.profile.load(), **self.options)
        try:
            yield context
        finally:
            await context.close()

    async def check(self) -> Login:
        """Ask the site about the login; what its page renewed meanwhile is saved. Raises what kept it from telling."""
        async with self.context() as context:
            tab = await context.tab()
            await self.site.open(tab)
            login = await self.site.probe(tab)
            if login.state is LoginState.LIVE:
                self.profile.save(await context.state())
        return login


@asynccontextmanager
async def alone(profile: Profile, settings: Settings, *, headed: bool = False) -> AsyncIterator[Alone]:
    """Open an account that nobody else has open; its lock is held meanwhile.

    `headed`: in a window. Raises BadRequest for its account.toml, NoAccount while another process has it, BrowserFault.
    """
    with profile.lock():
        site, options = profile.site_of(profile.settings(), settings.home / "sites")
        chosen = settings.browser_of(profile.site)
        # A window is its owner's: nothing else on this machine need reach it by a port.
        windowed = {"mode": "headed", "direct_cdp": False} if headed else {}
        browser = Chromium(chosen.model_copy(update=windowed))
        await browser.start()
        try:
            yield Alone(profile, site, browser, options)
        finally:
            await browser.stop()
