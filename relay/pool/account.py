"""An account at work: its context, its tabs, its state, and the one predicate `may take a chat`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from loguru import logger

from relay.browser.chromium import Chromium, Context
from relay.browser.tab import Tab
from relay.errors import BadRequest, BrowserFault, ChallengeNeeded, LoginNeeded, NoAccount, RateLimited, RelayError
from relay.pool.browsers import Browsers
from relay.pool.face import AccountStatus
from relay.pool.profiles import Profile
from relay.settings import Settings
from relay.sites.base import Login, LoginState, ModelSpec, Site, SiteConfig
from relay.sites.registry import site_class


class State(Enum):
    """`new` accounts may take a chat: the first one is their proof."""

    NEW = "new"
    READY = "ready"
    LOGIN_NEEDED = "login_needed"
    CHALLENGED = "challenged"
    BROKEN = "broken"
    DISABLED = "disabled"


@dataclass(slots=True, eq=False)
class Slot:
    """A place for one chat: a tab, or room for one."""

    tab: Tab | None = None
    context: Context | None = None
    """The tab's: after a new login there is another, and the old tab serves no more."""
    used_at: float = 0.0
    resetting: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Cooling:
    """No chats with one model until then (monotonic seconds)."""

    until: float
    why: str


@dataclass(eq=False)
class Account:
    """One login. The dispatcher decides, this object acts."""

    profile: Profile
    site: Site
    limit: int
    context_options: dict[str, object]
    browsers: Browsers
    state: State = State.NEW
    why: str = ""
    label: str = ""
    models: tuple[ModelSpec, ...] = ()
    running: int = 0
    idle: list[Slot] = field(default_factory=list)
    cooling: dict[str, Cooling] = field(default_factory=dict)
    open_tabs: int = 0
    saving: asyncio.TimerHandle | None = None
    _context: Context | None = None
    _browser: Chromium | None = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    _stamp: int = 0
    _saved: object = None
    _unsaved: bool = False

    def __repr__(self) -> str:
        return f"<Account {self.name} {self.state.value} running={self.running}/{self.limit} tabs={self.open_tabs}>"

    @classmethod
    def load(cls, profile: Profile, settings: Settings, browsers: Browsers) -> Account:
        """The account of a profile folder; a damaged one is kept, broken, with the reason."""
        kind = site_class(profile.site)
        config = SiteConfig(profile.account, overlays=settings.home / "sites")
        try:
            file = profile.settings()
            config = SiteConfig(profile.account, file.base_url, settings.home / "sites", file.options)
            account = cls(profile, kind(config), file.limits.concurrency or kind.concurrency, {}, browsers)
            if file.disabled:
                account.park(State.DISABLED, "disabled in account.toml")
            if kind.needs_base_url and not file.base_url:
                account.park(State.BROKEN, f"{profile.folder / 'account.toml'} names no base_url")
            options = {"locale": file.locale, "timezone_id": file.timezone}
            account.context_options = {name: value for name, value in options.items() if value}
            if file.proxy:
                account.context_options["proxy"] = {"server": file.proxy}
        except RelayError as error:
            account = cls(profile, kind(config), 1, {}, browsers)
            account.park(State.BROKEN, error.message)
        account.models = tuple(account.site.models)
        account.label = account.profile.account
        account._stamp = profile.stamp()
        return account

    @property
    def name(self) -> str:
        """`<site>/<account>`."""
        return f"{self.profile.site}/{self.profile.account}"

    def refusal(self, model: str) -> RelayError | None:
        """Why the account may not take a chat with this model at all, or None. (Being busy is no refusal.)"""
        match self.state:
            case State.LOGIN_NEEDED:
                return LoginNeeded(f"{self.name} must log in again: {self.why}")
            case State.CHALLENGED:
                return ChallengeNeeded(f"{self.name} faces a challenge that only its owner may solve: {self.why}")
            case State.BROKEN | State.DISABLED:
                return NoAccount(f"{self.name} is {self.state.value}: {self.why}")
        cooling = self.cooling.get(model)
        if cooling is not None:
            left = cooling.until - time.monotonic()
            if left > 0:
                return RateLimited(f"{self.name} rests from this model: {cooling.why}", retry_after_s=left)
            del self.cooling[model]
        return None

    @property
    def has_room(self) -> bool:
        """Whether one more chat may run now."""
        return self.running < self.limit

    def park(self, state: State, why: str) -> None:
        """Take the account out of service until its owner acts."""
        if self.state is not state:
            logger.warning("{} is now {}: {}", self.name, state.value, why)
        self.state, self.why = state, why

    def proved(self) -> None:
        """An answer is the best proof of a login."""
        if self.state is State.NEW:
            self.state, self.why = State.READY, ""

    def notice_login(self) -> None:
        """A state file that someone wrote since (a new login, a restored copy) puts a parked account back to work."""
        if self.state in (State.LOGIN_NEEDED, State.CHALLENGED, State.BROKEN) and self.profile.stamp() != self._stamp:
            logger.info("{} has a new state file; trying it", self.name)
            self._stamp = self.profile.stamp()
            self._context = None
            self.state, self.why = State.NEW, ""

    def status(self) -> AccountStatus:
        """For `/health` and the tables."""
        shown = "busy" if self.running and self.state is State.READY else self.state.value
        now = time.monotonic()
        rests = [f"{model or 'all'}: {c.why}" for model, c in self.cooling.items() if c.until > now]
        if rests and self.state in (State.READY, State.NEW):
            shown = "cooling"
        why = self.why or "; ".join(rests)
        return AccountStatus(
            self.profile.site, self.profile.account, shown, why, self.label, self.running, self.open_tabs
        )

    # tabs

    async def context(self) -> Context:
        """The logged-in context, restored on first use and rebuilt after the browser died."""
        async with self._opening:
            browser = await self.browsers.get(self.profile.site)
            if self._context is None or self._context.closed or self._browser is not browser:
                self._context = await browser.context(self._load(), **self.context_options)
                self._browser = browser
            return self._context

    def _load(self) -> Mapping[str, Any] | None:
        try:
            return self.profile.load()
        except BadRequest as error:
            self.park(State.BROKEN, error.message)
            raise NoAccount(error.message) from None

    async def tab(self, slot: Slot, *, cached: bool = True) -> Tab:
        """The slot's tab, alive: an open one, or a new page at the site.

        A page that is only looked at once (`cached=False`) leaves nothing in the context's memory cache, which is
        about 1 MiB a context for a usual chat page.
        """
        if slot.resetting is not None:
            await slot.resetting
            slot.resetting = None
        if slot.tab is not None and slot.tab.fault is None and slot.context is self._context:
            self._unsaved = True
            return slot.tab
        await self.drop(slot)
        self._unsaved = True
        slot.context = await self.context()
        tab = await slot.context.tab()
        slot.tab = tab
        self.open_tabs += 1
        try:
            if not cached:
                await tab.disable_cache()
            await self.site.open(tab)
        except BaseException:
            await self.drop(slot)
            raise
        return tab

    async def drop(self, slot: Slot) -> None:
        """Close the slot's tab, if it has one."""
        tab, slot.tab = slot.tab, None
        if tab is not None:
            self.open_tabs -= 1
            await tab.close()
        if slot.context is not None and slot.context is not self._context and slot.context.empty:
            await slot.context.close()

    async def save(self) -> None:
        """Write the state to disk if it changed. Reading it costs a page load, so only after use."""
        if not self._unsaved or self._context is None or self._context.closed:
            return
        self._unsaved = False
        try:
            state = await self._context.state()
        except BrowserFault as error:
            logger.debug("{}: state not saved: {}", self.name, error)
            return
        if state != self._saved and self.profile.stamp() == self._stamp:
            self.profile.save(state)
            self._saved, self._stamp = state, self.profile.stamp()

    # the login

    async def check(self, tab: Tab) -> Login:
        """Ask the site about the login and take the state that follows. Raises what kept the site from telling."""
        login = await self.site.probe(tab)
        match login.state:
            case LoginState.LIVE:
                self.state, self.why = State.READY, ""
                self.label = login.label or self.label
            case LoginState.CHALLENGED:
                self.park(State.CHALLENGED, login.detail or "the site shows a challenge")
            case LoginState.GUEST:
                self.park(State.LOGIN_NEEDED, login.detail or "the site treats it as a guest")
            case LoginState.DEAD:
                self.park(State.LOGIN_NEEDED, login.detail or "the login has expired")
        return login
