"""Site tokens that callers bring themselves: a throw-away account for each, in memory only.

An account is found again by the token that was pasted, whatever the site's page has made of it since; only a hash of
the token, under a key that dies with this process, names it. Whoever holds the token gets the account, and nobody else.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import Protocol

from loguru import logger

from relay.browser.cdp import CdpError
from relay.browser.world import PageException
from relay.chat.request import ChatRequest
from relay.errors import BadRequest, BrowserFault, ChallengeNeeded, LoginNeeded, QueueFull, RelayError
from relay.pool.account import Account, State
from relay.pool.brought import FATES, REMEMBER_S, Brought, Verdicts, fate
from relay.pool.browsers import Browsers
from relay.pool.conversations import Conversations
from relay.pool.leases import Leases
from relay.pool.measures import PageEvent
from relay.pool.store import THROW_AWAY, Store
from relay.pool.token_account import TokenAccount, TokenProfile
from relay.pool.token_account import adopted_state as adopted_state
from relay.settings import Settings
from relay.sites.base import LoginState
from relay.sites.registry import site_class

CHECKS_AT_ONCE = 2
CHECK_S = 90.0
FAREWELL_S = 60.0
"""How much longer an unused account is kept while its conversations are being deleted on the site."""
ASLEEP_S = 86_400.0
"""How long what a page made of a token is kept after its context was closed: the pasted one may be spent by now."""
MAX_ASLEEP_BYTES = 256 * 1024
MAX_LEAVING = 8
"""Contexts of evicted accounts that are still being closed; beyond that nothing more is evicted."""
TICK_S = 5.0


class Ground(Protocol):
    """The part of the dispatcher that the accounts made of tokens stand on."""

    accounts: dict[str, Account]
    leases: Leases

    def wanted(self) -> Collection[str]:
        """Names of those that requests wait for."""
        ...

    def gone(self, account: Account) -> None:
        """It is no more."""
        ...


class SiteTokens:
    """Implements `face.Tokens`, and keeps the accounts that callers' tokens make. Asynchronous only at the edges."""

    def __init__(
        self, ground: Ground, settings: Settings, browsers: Browsers, on_page: Callable[[PageEvent, str], None]
    ) -> None:
        self.accounts: dict[str, Account] = {}
        """By name, `<site>/~3fa9c1`."""
        self._ground = ground
        self._settings = settings
        self._browsers = browsers
        self._on_page = on_page
        self._key = secrets.token_bytes(32)
        self._by_digest: dict[bytes, TokenAccount] = {}
        self._asleep: OrderedDict[bytes, tuple[TokenProfile, float]] = OrderedDict()
        self._leaving: set[bytes] = set()
        self._verdicts = Verdicts()
        self._checks: dict[bytes, asyncio.Task[bool]] = {}
        self._asking = asyncio.Semaphore(CHECKS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<SiteTokens {len(self.accounts)} accounts, {len(self._asleep)} asleep, {self._verdicts}>"

    def start(self, store: Store, conversations: Conversations) -> None:
        """From now on accounts can be made, and unused ones go."""
        self._store = store
        self._conversations = conversations
        self._spawn(self._run())

    def stop(self) -> None:
        """End what is done; the contexts end with their browser."""
        for task in (*self._tasks, *self._checks.values()):
            task.cancel()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # requests

    def enter(self, request: ChatRequest) -> Brought:
        """Make or find the accounts that may serve a request.

        Raises LoginNeeded or ChallengeNeeded where no token lives, QueueFull where there is no place for one.
        """
        site, base_url = request.choice.site, self._address_of(request.choice.site, request.choice.account)
        digests = tuple(self._digest(site, base_url, token) for token in request.tokens)
        if (error := self.none_lives(Brought(site, digests, ()))) is not None:
            raise error
        tokens = dict(zip(digests, request.tokens, strict=True))
        living = [digest for digest in tokens if not self._verdicts.on(digest)]
        found = [self._by_digest[digest] for digest in living if digest in self._by_digest]
        for digest in living:
            if digest in self._by_digest or digest in self._leaving:
                continue
            # Others lose their place for the sake of one token that can serve, not of each.
            if len(self.accounts) >= self._settings.passthrough.max_accounts:
                if any(account.refusal(request.choice.model) is None for account in found):
                    break
                if not self._make_room({account.name for account in found}):
                    break
            found.append(self._admit(digest, site, base_url, tokens[digest]))
        if not found:
            raise self._no_place()
        return Brought(site, digests, tuple(account.profile.account for account in found))

    def accounts_of(self, site: str, names: str) -> list[Account]:
        """Those of the accounts that a request brought (`Brought.names`) that are still there."""
        found = (self.accounts.get(f"{site}/{name}") for name in names.split(","))
        return [account for account in found if account is not None]

    def none_lives(self, brought: Brought) -> RelayError | None:
        """The error that says so, if every token that a request brought is known not to live."""
        reasons = [self._verdicts.on(digest) or "" for digest in brought.digests]
        if not all(reasons):
            return None
        kind = ChallengeNeeded if set(reasons) == {"challenge"} else LoginNeeded
        return kind(f"{site_class(brought.site).name}: {fate(reasons)}. Bring a new one.", refused=True)

    # face.Tokens

    async def check(self, token: str, site: str) -> bool:
        """Whether a token lives; one that is no token of the site does not, without anybody being asked.

        Raises BadRequest for a site without tokens, QueueFull, and what kept the site from telling.
        """
        kind = site_class(site)
        if kind.token_pattern is None:
            raise BadRequest(f"{kind.name} has no tokens that could be checked.", param="site")
        if not kind.token_pattern.fullmatch(token):
            return False
        base_url = self._address_of(site, "")
        digest = self._digest(site, base_url, token)
        said = self._verdicts.on(digest)
        account = self._by_digest.get(digest)
        if said is not None:
            return self._answer(said)
        if account is not None and account.state is State.READY and _recent(account.checked_at):
            return True  # a chat has proved it
        task = self._checks.get(digest)
        if task is None:
            if account is None:
                account = self._place_for(digest, site, base_url, token)
            task = self._checks[digest] = asyncio.get_running_loop().create_task(self._ask(account))
            task.add_done_callback(partial(self._checked, digest))
        return await asyncio.shield(task)  # who leaves does not end it for the others

    def _checked(self, digest: bytes, task: asyncio.Task[bool]) -> None:
        self._checks.pop(digest, None)
        if not task.cancelled():
            task.exception()  # its callers were told, if any are left

    @staticmethod
    def _answer(said: str) -> bool:
        if said == "challenge":
            raise ChallengeNeeded(f"The token {FATES[said]}.")
        return not said

    async def _ask(self, account: TokenAccount) -> bool:
        """Ask the site, on a page beyond all limits if need be; few at a time."""
        try:
            async with asyncio.timeout(CHECK_S), self._asking:
                if (refusal := account.refusal("")) is not None:
                    raise refusal
                idle = account.pages.idle
                slot = idle[0] if idle else account.pages.add()
                async with self._ground.leases.borrow(account, slot):
                    await account.pages.tab(slot, cached=bool(idle))
                    login = await account.check(slot)
                    if not idle:
                        await account.pages.save()
                        await account.pages.drop(slot)
        except TimeoutError:
            raise BrowserFault(f"The token could not be checked within {CHECK_S:g} s.") from None
        except (CdpError, PageException) as error:
            raise BrowserFault(f"The token could not be checked ({error}).") from None
        except LoginNeeded:
            return self._answer(account.reason or "expired")
        if login.state is LoginState.LIVE:
            self._verdicts.note(account.digest, "")
        return self._answer(account.reason)

    # accounts

    def _address_of(self, site: str, named: str) -> str:
        """The base address of the owner's accounts at a site, or of the one that is named; empty = the site's own.

        Raises BadRequest where they are at several.
        """
        mine = [one for one in self._ground.accounts.values() if one.profile.site == site]
        found = {one.site.config.base_url for one in mine if named in ("", one.profile.account)}
        if len(found) > 1:
            raise BadRequest(f"The accounts of {site} are at several addresses: nothing says to which a token belongs.")
        return found.pop() if found else ""

    def _digest(self, site: str, base_url: str, token: str) -> bytes:
        said = "\0".join((site, base_url, token)).encode("utf-8", "surrogatepass")
        return hashlib.blake2b(said, key=self._key, digest_size=32).digest()

    def _no_place(self) -> QueueFull:
        most = self._settings.passthrough.max_accounts
        return QueueFull(
            f"All {most} places for site tokens are in use (RELAY_PASSTHROUGH__MAX_ACCOUNTS).", retry_after_s=1
        )

    def _place_for(self, digest: bytes, site: str, base_url: str, token: str) -> TokenAccount:
        full = len(self.accounts) >= self._settings.passthrough.max_accounts
        if digest in self._leaving or (full and not self._make_room(())):
            raise self._no_place()
        return self._admit(digest, site, base_url, token)

    def _admit(self, digest: bytes, site: str, base_url: str, token: str) -> TokenAccount:
        """A new account, with what the page had made of the token if it was here before."""
        profile, _ = self._asleep.pop(digest, (None, 0.0))
        if profile is None:
            account_name = self._free_name(site, digest)
            profile = TokenProfile(site, account_name, self._settings.profiles / site / account_name)
        account = TokenAccount.made(
            profile,
            digest,
            token,
            base_url,
            settings=self._settings,
            browsers=self._browsers,
            store=self._store,
            on_page=self._on_page,
        )
        account.on_parked = lambda _: self._lost(account)
        self.accounts[account.name] = self._by_digest[digest] = account
        logger.debug("{} made of a caller's token", account.name)
        return account

    def _free_name(self, site: str, digest: bytes) -> str:
        taken = {profile.account for profile, _ in self._asleep.values() if profile.site == site}
        taken |= {account.profile.account for account in self.accounts.values() if account.profile.site == site}
        names = (f"{THROW_AWAY}{digest.hex()[:length]}" for length in range(6, 65))
        return next(name for name in names if name not in taken)

    def _in_use(self, account: TokenAccount, wanted: Collection[str]) -> bool:
        return account.running > 0 or account.name in wanted or account.digest in self._checks

    def _make_room(self, spare: Collection[str]) -> bool:
        """Let the least recently used idle account go; False where there is none."""
        wanted = self._ground.wanted()
        idle = [one for one in self._by_digest.values() if one.name not in spare and not self._in_use(one, wanted)]
        if not idle or len(self._leaving) >= MAX_LEAVING:
            return False
        self._remove(min(idle, key=lambda account: account.used_at), keep=True)
        return True

    def _lost(self, account: TokenAccount) -> None:
        """The site has said that it does not live (or not without its owner)."""
        if self._by_digest.get(account.digest) is account:
            self._verdicts.note(account.digest, account.reason if account.reason in FATES else "expired")
            self._remove(account, keep=False)

    def _remove(self, account: TokenAccount, *, keep: bool) -> None:
        """From now on it serves nobody; its context is closed when nothing runs there. `keep` its state, asleep."""
        del self.accounts[account.name], self._by_digest[account.digest]
        self._conversations.leave(account.profile.site, account.profile.account)
        self._leaving.add(account.digest)
        self._spawn(self._close(account, keep=keep))

    async def _close(self, account: TokenAccount, *, keep: bool) -> None:
        try:
            await account.drained()
            await account.pages.renew_context()
        except Exception:
            logger.opt(exception=True).error("{} could not be closed", account.name)
        finally:
            self._leaving.discard(account.digest)
            self._ground.gone(account)
        profile = account.profile
        if keep and isinstance(profile, TokenProfile) and 0 < profile.size_bytes <= MAX_ASLEEP_BYTES:
            self._asleep[account.digest] = profile, time.monotonic() + ASLEEP_S
            while len(self._asleep) > self._settings.passthrough.max_accounts:
                self._asleep.popitem(last=False)

    # every few seconds

    async def _run(self) -> None:
        gap_s = min(TICK_S, self._settings.passthrough.keep_s / 2)
        while True:
            await asyncio.sleep(gap_s)
            try:
                self._tidy()
            except Exception:
                logger.opt(exception=True).error("tidying callers' tokens failed")

    def _tidy(self) -> None:
        """Let go what was not used for long enough, its conversations first."""
        now, wanted, keep_s = time.monotonic(), self._ground.wanted(), self._settings.passthrough.keep_s
        for account in tuple(self._by_digest.values()):
            unused_s = now - account.used_at
            if unused_s < keep_s or self._in_use(account, wanted):
                continue
            left = self._conversations.leave(account.profile.site, account.profile.account)
            if not left or unused_s > keep_s + FAREWELL_S:
                logger.debug("{} goes, unused for {:.0f} s", account.name, unused_s)
                self._remove(account, keep=True)
        for digest in [digest for digest, (_, until) in self._asleep.items() if until <= now]:
            del self._asleep[digest]


def _recent(at: float) -> bool:
    return time.monotonic() - at < REMEMBER_S
