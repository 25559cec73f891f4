"""An account's pages: the logged-in context they share, and its state on disk."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from loguru import logger

from relay.browser.chromium import Chromium, Context
from relay.browser.tab import Tab
from relay.errors import BadRequest, BrowserFault, NoAccount
from relay.pool.browsers import Browsers
from relay.pool.measures import PageEvent
from relay.pool.profiles import Profile
from relay.sites.base import Site

_numbers = itertools.count(1)


@dataclass(slots=True, eq=False)
class Slot:
    """A page, or room for one. One chat holds it at a time."""

    id: str = field(default_factory=lambda: f"page-{next(_numbers)}")
    tab: Tab | None = None
    context: Context | None = None
    """The tab's: after a new login there is another, and the old tab serves no more."""
    idle: bool = False
    login: int = 0
    """The number of the login that the tab was opened with (`Pages.login`)."""
    opened_at: float = 0.0
    used_at: float = 0.0
    uses: int = 0
    resetting: asyncio.Task[None] | None = None


class Pages:
    """Opens and closes the pages of one account. The dispatcher decides, this object acts."""

    def __init__(
        self,
        profile: Profile,
        site: Site,
        browsers: Browsers,
        options: Mapping[str, object],
        on_damaged: Callable[[str], None],
        on_page: Callable[[PageEvent, str], None],
        adopt: Callable[[Context], Awaitable[None]] | None = None,
    ) -> None:
        """`options` are Playwright's for the context; `on_damaged` is told why the saved state cannot be used,
        `on_page` of each page opened, closed and crashed. `adopt` logs a context in that has no saved state."""
        self.profile = profile
        self.site = site
        self.browsers = browsers
        self.slots: dict[str, Slot] = {}
        """Every page that is open, being opened or being closed by us."""
        self.stamp = profile.stamp()
        self.login = 0
        """Counts the logins that somebody wrote."""
        self._options = dict(options)
        self._on_damaged = on_damaged
        self._on_page = on_page
        self._adopt = adopt
        self._context: Context | None = None
        self._browser: Chromium | None = None
        self._opening = asyncio.Lock()
        self._saved: object = None
        self._unsaved = False

    def __repr__(self) -> str:
        return f"<Pages {self.profile.site}/{self.profile.account} {len(self.slots)} open>"

    @property
    def idle(self) -> list[Slot]:
        """Pages that no chat holds."""
        return [slot for slot in self.slots.values() if slot.idle]

    @property
    def browser(self) -> Chromium | None:
        """The browser that the account's context lives in."""
        return self._browser if self._context is not None and not self._context.closed else None

    @property
    def outdated(self) -> bool:
        """Whether the browser behind the pages is to be replaced: no chat begins in it any more."""
        return self._browser is not None and self._browser.alive and self.browsers.retired(self._browser)

    def forget_login(self) -> None:
        """Someone wrote a new state file: the next page opens in a context made from it."""
        self.stamp = self.profile.stamp()
        self.login += 1
        self._context = None

    def add(self) -> Slot:
        """Room for one more page."""
        slot = Slot()
        self.slots[slot.id] = slot
        return slot

    async def context(self) -> Context:
        """The logged-in context, restored on first use and rebuilt after the browser died or was replaced."""
        async with self._opening:
            browser = await self.browsers.get(self.profile.site)
            if self._context is None or self._context.closed or self._browser is not browser:
                await self.save()  # what the old one still holds is what the new one starts from
                self._context = await self._made(browser)
                self._browser = browser
            return self._context

    async def _made(self, browser: Chromium) -> Context:
        state = self._load()
        context = await browser.context(state, **self._options)
        if state is None and self._adopt is not None:
            try:
                await self._adopt(context)
            except BaseException:
                await context.close()
                raise
        return context

    def _load(self) -> Mapping[str, Any] | None:
        try:
            return self.profile.load()
        except BadRequest as error:
            self._on_damaged(error.message)
            raise NoAccount(error.message) from None

    async def tab(self, slot: Slot, *, cached: bool = True) -> Tab:
        """The slot's tab, alive: the open one, or a new page at the site.

        A page that is only looked at once (`cached=False`) leaves nothing in the context's memory cache, which is
        about 1 MiB a context for a usual chat page.
        """
        if slot.resetting is not None:
            await slot.resetting
            slot.resetting = None
        self._unsaved = True
        slot.uses += 1
        if slot.tab is not None and slot.tab.fault is None and slot.context is self._context:
            return slot.tab
        await self._close(slot)
        slot.login = self.login
        slot.context = await self.context()
        tab = slot.tab = await slot.context.tab()
        self._on_page("opened", self.site.id)
        slot.opened_at, slot.uses = time.monotonic(), 1
        try:
            if not cached:
                await tab.disable_cache()
            await self.site.open(tab)
        except BaseException:  # also where the client left meanwhile: half a page serves nobody
            await self._close(slot)
            raise
        return tab

    async def drop(self, slot: Slot) -> None:
        """Close the slot's page; the slot is gone."""
        try:
            await self._close(slot)
        finally:
            self.slots.pop(slot.id, None)

    async def _close(self, slot: Slot) -> None:
        tab, slot.tab = slot.tab, None
        if tab is not None:
            if tab.fault is not None:
                self._on_page("crashed", self.site.id)
            self._on_page("closed", self.site.id)
            await tab.close()
        if slot.context is not None and slot.context is not self._context and slot.context.empty:
            await slot.context.close()
        slot.context = None

    async def renew_context(self) -> None:
        """Close the context (no chat may be running): the next page opens in a new one, from the saved state."""
        await self.save()
        for slot in tuple(self.slots.values()):
            await self.drop(slot)
        context, self._context, self._browser = self._context, None, None
        if context is not None:
            await context.close()

    async def save(self) -> None:
        """Write the state to disk if it changed. Reading it costs a page load, so only after use."""
        if not self._unsaved or self._context is None or self._context.closed:
            return
        self._unsaved = False
        try:
            state = await self._context.state()
            if state != self._saved and self.profile.stamp() == self.stamp:
                self.profile.save(state)
                self._saved, self.stamp = state, self.profile.stamp()
        except BrowserFault as error:
            logger.debug("{}/{}: state not saved: {}", self.profile.site, self.profile.account, error)
        except (OSError, BadRequest) as error:
            self._unsaved = True
            logger.error(
                "{}/{}: the login could not be saved ({}). It is tried again after a chat.",
                self.profile.site,
                self.profile.account,
                error,
            )
