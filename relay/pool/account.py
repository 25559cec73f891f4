"""An account at work: its state, its limits, and the one predicate `may take a chat`."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from loguru import logger

from relay.chat.events import Quota
from relay.errors import (
    AccountBanned,
    BrowserFault,
    ChallengeNeeded,
    CutAnswer,
    LoginNeeded,
    NoAccount,
    RateLimited,
    RelayError,
    SiteUnavailable,
)
from relay.pool.assign import Room
from relay.pool.browsers import Browsers
from relay.pool.face import OWNER_NEEDED, AccountStatus
from relay.pool.locks import AccountLock
from relay.pool.measures import PageEvent
from relay.pool.pacing import Limits, Pace, backoff_s
from relay.pool.pages import Pages, Slot
from relay.pool.profiles import Profile
from relay.pool.rows import AccountRow
from relay.pool.store import Store
from relay.settings import Settings
from relay.sites.base import Login, LoginState, ModelSpec, Site, SiteConfig
from relay.sites.registry import site_class

LONGEST_REST_S = 7 * 86_400.0
"""No site's word keeps an account out of service for longer without being asked again."""


class State(Enum):
    """`new` accounts may take a chat: the first one is their proof."""

    NEW = "new"
    READY = "ready"
    LOGIN_NEEDED = "login_needed"
    CHALLENGED = "challenged"
    BROKEN = "broken"
    DISABLED = "disabled"


KEPT = {"expired", "guest", "challenge", "banned", "parked"}
"""Reasons (`face.REASONS`) that outlive a restart; the others are found anew."""
SITE_FAILURES = 3
"""Times in a row that the site could not be reached, after which the account rests."""
FIRST_SITE_REST_S, LONGEST_SITE_REST_S = 5.0, 120.0


@dataclass(slots=True)
class Cooling:
    """No chats with one model until then (monotonic seconds)."""

    until: float
    why: str
    failures: int = 1
    site_down: bool = False
    """The site could not be reached: no limit of the account's."""


@dataclass(eq=False)
class Account:
    """One login. The dispatcher decides, this object acts."""

    profile: Profile
    site: Site
    limit: int
    pages: Pages
    pace: Pace
    store: Store
    lock: AccountLock
    """Held while we have the account."""
    login_hint: str = ""
    """How its owner logs in again."""
    on_parked: Callable[[AccountStatus], None] = lambda _: None
    """Told once of each time that it comes to need its owner."""
    told: set[str] = field(default_factory=set)
    """The reasons told since it last might take a chat: a site that says now this and now that is one death."""
    state: State = State.NEW
    why: str = ""
    reason: str = ""
    """One of `face.REASONS` while it is out of service."""
    since: float = 0.0
    """When that began (Unix seconds)."""
    lent_at: float | None = None
    """Since when a login has it (monotonic seconds)."""
    label: str = ""
    models: tuple[ModelSpec, ...] = ()
    running: int = 0
    cooling: dict[str, Cooling] = field(default_factory=dict)
    """By model; the empty one stands for all."""
    damaged: bool = False
    """Broken by its state file alone: a new one mends it."""
    checked_at: float = -math.inf
    """When its login was last proved or disproved (monotonic seconds)."""
    site_failures: int = 0
    """Times in a row that the site could not be reached."""
    quotas: dict[str, Quota] = field(default_factory=dict)
    """What the site said last of each window of its limits."""
    _left: asyncio.Event = field(default_factory=asyncio.Event)

    def __repr__(self) -> str:
        return f"<Account {self.name} {self.state.value} running={self.running}/{self.limit} {self.pages}>"

    @classmethod
    def load(
        cls,
        profile: Profile,
        settings: Settings,
        browsers: Browsers,
        store: Store,
        on_page: Callable[[PageEvent, str], None],
        on_parked: Callable[[AccountStatus], None] = lambda _: None,
    ) -> Account:
        """The account of a profile folder; a damaged one is kept, broken, with the reason."""
        kind = site_class(profile.site)
        broken: tuple[str, str] | None = None
        limit, pace = kind.concurrency, Pace(Limits())
        overlays = settings.home / "sites"
        site, options = kind(SiteConfig(profile.account, overlays=overlays)), dict[str, object]()
        lock = profile.lock()
        file = None
        try:
            file = profile.settings()
            lock.acquire()
            limit = file.limits.concurrency or kind.concurrency
            pace = Pace(file.limits.pace())
            site, options = profile.site_of(file, overlays)
        except RelayError as error:
            broken = error.message, "elsewhere" if isinstance(error, NoAccount) else "damaged"
        pages = Pages(profile, site, browsers, options, lambda why: account.spoil(why), on_page)
        account = cls(profile, site, limit, pages, pace, store, lock, models=tuple(site.models), label=profile.account)
        account.login_hint = _login_hint(account, settings.address)
        account.on_parked = on_parked
        if broken is not None:
            account.park(State.BROKEN, *broken)
        elif file is not None and file.disabled:
            account.park(State.DISABLED, "disabled in account.toml", "disabled")
        return account

    @property
    def name(self) -> str:
        """`<site>/<account>`."""
        return f"{self.profile.site}/{self.profile.account}"

    # may it take a chat?

    def refusal(self, model: str) -> RelayError | None:
        """Why the account may not take a chat with this model at all, or None. (Being busy is no refusal.)"""
        if self.lent_at is not None:
            return NoAccount(f"{self.name} is being logged in to by its owner.")
        match self.state:
            case State.LOGIN_NEEDED:
                return LoginNeeded(f"{self.name} must log in again: {self.why} {self.login_hint}")
            case State.CHALLENGED:
                return ChallengeNeeded(
                    f"{self.name} faces a challenge that only its owner may solve: {self.why} {self.login_hint}"
                )
            case State.BROKEN if self.reason == "banned":
                return AccountBanned(f"The site has closed or muted {self.name}: {self.why}")
            case State.BROKEN | State.DISABLED:
                return NoAccount(f"{self.name} is {self.state.value}: {self.why}")
        now = time.monotonic()
        for about in {"", model}:
            cooling = self.cooling.get(about)
            if cooling is not None and cooling.until > now:
                retry_after_s = math.ceil(cooling.until - now)
                if cooling.site_down:
                    return SiteUnavailable(f"{self.name} rests: {cooling.why}", retry_after_s=retry_after_s)
                what = "this model" if about else "all chats"
                return RateLimited(f"{self.name} rests from {what}: {cooling.why}", retry_after_s=retry_after_s)
        return None

    def room(self, now: float) -> Room:
        """Its places, for `assign`; none while its browser is being replaced."""
        free = 0 if self.pages.outdated else max(0, self.limit - self.running)
        return Room(free, self.running, self.pace.allowance(now), self.pace.models(now))

    # what happens to it

    def park(self, state: State, why: str, reason: str) -> None:
        """Take the account out of service until its owner acts; `reason` is one of `face.REASONS`."""
        why = why.rstrip(". ") + "." if why else ""
        came = (self.state, self.reason) != (state, reason)
        self._become(state, why, reason)
        if came:
            logger.warning("{} is now {}: {}", self.name, state.value, why)
            if reason in OWNER_NEEDED and reason not in self.told:
                self.told.add(reason)
                self.on_parked(self.status())

    def spoil(self, why: str) -> None:
        """Its state file cannot be used."""
        self.damaged = True
        self.park(State.BROKEN, why, "damaged")

    def unpark(self) -> None:
        """Its owner has acted: it may take a chat again, which is its proof."""
        self.damaged = False
        self._become(State.NEW)

    def resume(self) -> None:
        """Its owner wants it back in service: rests and parking are over, and a new state file is read."""
        for model in tuple(self.cooling):
            del self.cooling[model]
            self.store.drop_cooldown(self.name, model)
        self.site_failures = 0
        if self.reason or self.profile.stamp() != self.pages.stamp:
            self.pages.forget_login()
            self.unpark()

    def _become(self, state: State, why: str = "", reason: str = "") -> None:
        if (state, why, reason) == (self.state, self.why, self.reason):
            return
        if reason in KEPT or self.reason in KEPT:
            self.store.save_account(self.name, state.value, why, reason)
        if reason != self.reason:
            self.since = time.time()
        if not reason:
            self.told.clear()
        self.state, self.why, self.reason = state, why, reason

    def started(self, model: str) -> None:
        """A chat begins: the pace counts it."""
        self.running += 1
        self.pace.started(model, time.monotonic())
        if self.pace.horizon_s:
            self.store.add_start(self.name, model, time.time())

    def ended(self) -> None:
        """A chat or a chore has given its place back."""
        self.running -= 1
        if not self.running:
            self._left.set()

    async def drained(self) -> None:
        """Wait until nothing runs on it; who calls keeps new chats away."""
        while self.running:
            self._left.clear()
            await self._left.wait()

    def proved(self, model: str) -> None:
        """An answer is the best proof of a login, and that a limit is over."""
        self.checked_at = time.monotonic()
        self.site_failures = 0
        if self.state is State.NEW:
            self._become(State.READY)
        for about in {"", model} & self.cooling.keys():
            del self.cooling[about]
            self.store.drop_cooldown(self.name, about)

    def noted(self, quota: Quota) -> None:
        """The site says how far a limit is used up."""
        self.quotas[quota.window] = quota

    def rest(self, model: str, error: RateLimited) -> None:
        """The site limits the account: for as long as it says, else for longer each time."""
        before = self.cooling.get(model)
        failures = before.failures + 1 if before is not None else 1
        rest_s = error.retry_after_s if error.retry_after_s is not None else backoff_s(failures)
        rest_s = min(rest_s, LONGEST_REST_S)
        self.cooling[model] = Cooling(time.monotonic() + rest_s, error.message, failures)
        self.store.save_cooldown(self.name, model, time.time() + rest_s, error.message, failures)
        logger.info("{} rests from {} for {:.0f} s", self.name, model or "all models", rest_s)

    def missed_site(self, error: SiteUnavailable) -> None:
        """The site could not be reached, or says that it is down: after a few times it is left alone for a while."""
        self.site_failures += 1
        if self.site_failures >= SITE_FAILURES:
            rest_s = error.retry_after_s or FIRST_SITE_REST_S * 2 ** (self.site_failures - SITE_FAILURES)
            rest_s = min(rest_s, LONGEST_SITE_REST_S)
            self.cooling[""] = Cooling(time.monotonic() + rest_s, error.message, self.site_failures, site_down=True)
            logger.warning("{} rests for {:.0f} s: {}", self.name, rest_s, error.message)

    def restore(
        self,
        parked: AccountRow | None,
        coolings: Mapping[str, tuple[float, str, int]],
        starts: list[tuple[str, float]],
    ) -> None:
        """Take up what the last run knew: its state, cool-downs by model and starts, in Unix seconds."""
        ahead = time.monotonic() - time.time()
        for model, (until, why, failures) in coolings.items():
            self.cooling[model] = Cooling(min(until + ahead, time.monotonic() + LONGEST_REST_S), why, failures)
        self.pace.restore([(model, at + ahead) for model, at in starts], time.monotonic())
        if parked is not None and self.state is State.NEW and parked.reason in KEPT:
            newer = self.pages.stamp > parked.since * 1e9  # someone wrote a login while we were down
            if not newer or parked.reason == "parked":
                self.state, self.why, self.reason = State(parked.state), parked.why, parked.reason
                self.since = parked.since
                self.told.add(parked.reason)

    def notice_login(self) -> None:
        """A state file that someone wrote since (a new login, a restored copy) puts a parked account back to work."""
        parked = self.reason in KEPT - {"parked"} or (self.state is State.BROKEN and self.damaged)
        if parked and self.lent_at is None and self.profile.stamp() != self.pages.stamp:
            logger.info("{} has a new state file; trying it", self.name)
            self.pages.forget_login()
            self.unpark()

    async def check(self, slot: Slot) -> Login:
        """Ask the site about the login, on an open page, and take the state that follows.

        Of a page that was opened with an earlier login it tells nothing. Raises what kept the site from telling.
        """
        if slot.tab is None:
            raise BrowserFault("The page was closed before the site could be asked about the login.")
        try:
            try:
                login = await self.site.probe(slot.tab)
            except CutAnswer:  # the page has just gone on, to its login perhaps: it is asked again where it is now
                login = await self.site.probe(slot.tab)
        except SiteUnavailable as error:
            self.missed_site(error)
            raise
        if slot.login == self.pages.login:
            self.take(login)
        return login

    def take(self, login: Login) -> None:
        """What a probe found is its state from now on."""
        self.checked_at = time.monotonic()
        self.site_failures = 0
        match login.state:
            case LoginState.LIVE:
                self._become(State.READY)
                self.label = login.label or self.label
                for quota in login.quotas:
                    self.noted(quota)
            case LoginState.CHALLENGED:
                self.park(State.CHALLENGED, login.detail or "the site shows a challenge", "challenge")
            case LoginState.GUEST:
                self.park(State.LOGIN_NEEDED, login.detail or "the site treats it as a guest", "guest")
            case LoginState.DEAD:
                self.park(State.LOGIN_NEEDED, login.detail or "the login has expired", "expired")
            case LoginState.BANNED:
                self.park(State.BROKEN, login.detail or "the site says so", "banned")

    def status(self) -> AccountStatus:
        """For `/health` and the tables."""
        shown = "busy" if self.running and self.state is State.READY else self.state.value
        now = time.monotonic()
        resting = {model: cooling for model, cooling in self.cooling.items() if cooling.until > now}
        rests = [
            f"{model or 'all models'}, {math.ceil(cooling.until - now)} s more: {cooling.why}"
            for model, cooling in resting.items()
        ]
        why, reason, until = self.why or "; ".join(rests), self.reason, None
        if self.lent_at is not None:
            reason, why = "lent", "its owner is logging in"
        elif rests and self.state in (State.READY, State.NEW):
            shown = "cooling"
            reason = "site_down" if any(cooling.site_down for cooling in resting.values()) else "rate_limited"
            until = time.time() + min(cooling.until for cooling in resting.values()) - now
        return AccountStatus(
            self.profile.site,
            self.profile.account,
            shown,
            why,
            self.label,
            self.running,
            len(self.pages.slots),
            reason,
            until,
            self.since if self.reason else None,
            tuple(one for one in self.quotas.values() if one.resets_at is None or one.resets_at > time.time()),
        )


def _login_hint(account: Account, address: str) -> str:
    at = f", or at {address}/admin" if address else ""
    return f"`relay login {account.profile.site} --account {account.profile.account}`{at}."
