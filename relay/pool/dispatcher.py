"""The pool, in one process: a bounded queue before the accounts' pages."""

from __future__ import annotations

import asyncio
import itertools
import math
import secrets
import time
from collections import ChainMap
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from loguru import logger

from relay.chat.request import ChatRequest
from relay.errors import BadRequest, BrowserFault, NoAccount, PageLeft, QueueFull, RelayError
from relay.pool.account import Account
from relay.pool.assign import Decision, Group, Lease, Page, Waiting, assign
from relay.pool.browsers import Browsers
from relay.pool.chat import PooledChat
from relay.pool.conversations import Conversations, Match
from relay.pool.face import AccountStatus, Offer, PoolStatus
from relay.pool.hold import Hold
from relay.pool.keeper import Keeper
from relay.pool.leases import Leases
from relay.pool.measures import Measures
from relay.pool.notices import Notices
from relay.pool.offers import offers_of
from relay.pool.owner import AccountOwner
from relay.pool.pages import Slot
from relay.pool.passthrough import SiteTokens
from relay.pool.profiles import Profile, discover
from relay.pool.refusals import no_account, why_waiting
from relay.pool.remote import RemoteLogins
from relay.pool.sealing import Keyring
from relay.pool.store import THROW_AWAY, Store
from relay.settings import Settings
from relay.sites.registry import SITES, site_class

AFFINITY_S = 10.0
"""How long a request waits for the account that holds its conversation before any other will do."""
STOPPING = "The relay is shutting down."
CANCELLED = NoAccount("The request was cancelled.")


class Dispatcher:
    """Implements `pool.face.Pool`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.accounts: dict[str, Account] = {}
        self.measures = Measures(self.status, self._idle_pages)
        self.browsers = Browsers(settings, self.measures.browser_restarted)
        self._queue: dict[str, PooledChat] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._served: dict[str, dict[str, int]] = {}
        self._numbers = itertools.count(1)
        self._wake: asyncio.TimerHandle | None = None
        self._opened = self._stopping = False
        self.leases = Leases(settings, self.measures, self._again, self.turn)
        keys = Keyring.of(settings.profile_key)
        self.owner = AccountOwner(self, settings.profiles, keys, settings.login.claim_s)
        self.logins = RemoteLogins(settings, self.owner, self.browsers)
        self.tokens = SiteTokens(self, settings, self.browsers, self.measures.page)
        self.everyone: Mapping[str, Account] = ChainMap(self.accounts, self.tokens.accounts)
        """The owner's accounts and those made of callers' tokens."""
        self.notices = Notices(settings)
        self._keys = keys

    def __repr__(self) -> str:
        return f"<Dispatcher waiting={len(self._queue)} {list(self.accounts.values())}>"

    # life

    async def start(self) -> None:
        """Load the accounts and what the last run knew, launch the browser, and check the logins in the background."""
        await self.notices.start()
        self.store = await Store.open(self.settings.home / "relay.db")
        self._opened = True
        self.conversations = Conversations(self.store, self.settings.conversations, self.settings.keep_conversations_s)
        for profile in discover(self.settings.profiles, set(SITES), self._keys):
            account = self.load(profile)
            name, store = account.name, self.store
            account.restore(store.accounts().get(name), store.cooldowns().get(name, {}), store.starts().get(name, []))
            self.accounts[name] = account
        await self.browsers.get()
        keeper = Keeper(
            self.settings,
            self.everyone,
            self.browsers,
            self.conversations,
            self.measures,
            self._borrow,
            self.owner.reclaim,
        )
        self._spawn(keeper.run(), "keeping the accounts")
        self.tokens.start(self.store, self.conversations)

    def load(self, profile: Profile) -> Account:
        """The account of a folder, not yet among ours."""
        return Account.load(profile, self.settings, self.browsers, self.store, self.measures.page, self.notices.parked)

    def forget(self, account: Account) -> None:
        """An account was removed: what we know of it goes too. (Its conversations: by the sweep.)"""
        self.store.forget_account(account.name)

    async def drain(self, grace_s: float) -> None:
        """Take no more requests and end remote logins; answers in flight have `grace_s` seconds, then are ended too."""
        self._stopping = True
        for chat in tuple(self._queue.values()):
            self._leave(chat, NoAccount(STOPPING))
        await asyncio.gather(
            self.leases.drain(grace_s, NoAccount(f"{STOPPING} The answer was cut.")), self.logins.stop(STOPPING)
        )

    async def stop(self, grace_s: float = 0) -> None:
        """`drain`, then save every account and end the browser."""
        if not self._opened:
            return  # it was stopped before it began
        await self.drain(grace_s)
        if self._wake is not None:
            self._wake.cancel()
        self.tokens.stop()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.leases.stop()
        for account in self.accounts.values():
            await account.pages.save()
            account.lock.release()
        await self.notices.stop()
        await self.browsers.stop()
        await self.store.close()

    def _spawn(self, work: Coroutine[object, object, None], what: str) -> None:
        async def guarded() -> None:
            try:
                await work
            except Exception:
                logger.opt(exception=True).error("{} failed", what)

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # the face

    def submit(self, request: ChatRequest) -> PooledChat:
        """Queue a request. Raises at once what waiting would not cure."""
        if self._stopping:
            raise NoAccount(STOPPING)
        choice = request.choice
        match = self._match(request)
        only = f"{choice.site}/{match.account}" if match is not None and match.explicit else ""
        brought = self.tokens.enter(request) if request.tokens else None
        named = brought.names if brought is not None else choice.account
        accounts = self._accounts_of(choice.site, named)
        for account in accounts:
            account.notice_login()
        able = [account for account in accounts if only in ("", account.name)]
        refusals = [account.refusal(choice.model) for account in able]
        if not able or all(refusals):
            raise no_account(choice.site, refusals, only)
        if len(self._queue) >= self.settings.queue.max_waiting:
            raise QueueFull(
                f"{len(self._queue)} requests are waiting already (RELAY_QUEUE__MAX_WAITING).",
                retry_after_s=self._expected_wait_s(choice.site),
            )
        # Clients may repeat a request id, so the queue has ids of its own.
        group = "\0".join((choice.site, named, choice.model))
        waiting = Waiting(secrets.token_hex(8), request.caller, group)
        if match is not None:
            patience = math.inf if match.explicit else time.monotonic() + AFFINITY_S
            waiting = replace(waiting, prefers=f"{choice.site}/{match.account}", patience=patience)
        chat = PooledChat(request, waiting, Hold(self.conversations, request, choice.site, match), brought)
        chat.describe = partial(self._describe, chat)
        chat.stop = partial(self._cancel, chat)
        self._enqueue(chat)
        return chat

    def _match(self, request: ChatRequest) -> Match | None:
        """The conversation on the site that the request continues. Raises ConversationNotFound for one that is gone."""
        can = site_class(request.choice.site).capabilities
        return self.conversations.find(request, request.choice.site, native=can.native_turns, branches=can.branches)

    def _accounts_of(self, site: str, named: str) -> list[Account]:
        if named.startswith(THROW_AWAY):
            return self.tokens.accounts_of(site, named)
        return [
            one for one in self.accounts.values() if one.profile.site == site and named in ("", one.profile.account)
        ]

    def _expected_wait_s(self, site: str) -> float:
        """When a place may be free: what chats of the site took of late, and how many wait before them."""
        places = sum(one.limit for one in self._accounts_of(site, "") if one.refusal("") is None)
        before = sum(1 for chat in self._queue.values() if chat.site == site)
        return float(max(1, math.ceil(self.leases.typical_s(site) * before / max(1, places))))

    def offers(self, *, everything: bool = False) -> Sequence[Offer]:
        """Models of sites with an account; with `everything`, of every site."""
        return offers_of(self.accounts.values(), everything=everything)

    def status(self) -> PoolStatus:
        """Accounts, queue and browser."""
        accounts: list[AccountStatus] = [account.status() for account in self.accounts.values()]
        ready = not self._stopping and any(account.refusal("") is None for account in self.accounts.values())
        return PoolStatus(ready, len(self._queue), len(self.leases.running), repr(self.browsers), accounts)

    async def metrics(self) -> bytes:
        """Prometheus' text format."""
        return await self.measures.exposition()

    def _idle_pages(self) -> int:
        return sum(len(account.pages.idle) for account in self.everyone.values())

    def wanted(self) -> set[str]:
        """The accounts made of callers' tokens that requests wait for."""
        waiting = (chat.brought for chat in self._queue.values() if chat.brought is not None)
        return {f"{brought.site}/{name}" for brought in waiting for name in brought.accounts}

    def gone(self, account: Account) -> None:
        """An account made of a token is no more."""
        self.leases.forget(account)
        for caller, leases in tuple(self._served.items()):
            if leases.pop(account.name, None) is not None and not leases:
                del self._served[caller]

    # queue

    def _enqueue(self, chat: PooledChat, *, first: bool = False) -> None:
        wait_s = self.settings.queue.max_wait_s
        chat.expiry = asyncio.get_running_loop().call_later(wait_s, self._expire, chat)
        if first:
            self._queue = {chat.waiting.id: chat, **self._queue}
        else:
            self._queue[chat.waiting.id] = chat
        self.turn()

    def _leave(self, chat: PooledChat, error: RelayError, *, cancelled: bool = False) -> None:
        self._queue.pop(chat.waiting.id, None)
        chat.end(error)
        self.leases.settle(chat, cancelled=cancelled)

    def _expire(self, chat: PooledChat) -> None:
        if chat.waiting.id in self._queue:
            wait_s = self.settings.queue.max_wait_s
            retry_after_s = self._expected_wait_s(chat.site)
            self._leave(chat, QueueFull(f"No page became free in {wait_s:g} s.", retry_after_s=retry_after_s))

    def _cancel(self, chat: PooledChat) -> None:
        if chat.task is None:
            self._leave(chat, CANCELLED, cancelled=True)
        else:
            chat.task.cancel()

    def _describe(self, chat: PooledChat) -> str:
        """Position in the queue, and why the request waits."""
        place = list(self._queue).index(chat.waiting.id) + 1 if chat.waiting.id in self._queue else 0
        able = self._able(chat.waiting.group)
        return f"waiting, position {place}: {why_waiting(able, chat.site, chat.model, time.monotonic())}"

    def _able(self, group: str) -> list[Account]:
        """The accounts that may serve a group of requests."""
        site, named, model = group.split("\0")
        return [account for account in self._accounts_of(site, named) if account.refusal(model) is None]

    def turn(self) -> None:
        """Decide anew; called on every change."""
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if not self._queue:
            return
        able = {group: self._able(group) for group in {chat.waiting.group for chat in self._queue.values()}}
        decision = self._decide(able)
        closing = self._close(decision.close)
        for lease in decision.leases:
            self._lease(lease, closing)
        self._turn_away(able)
        self._wake_at(decision.wake_at)

    def _wake_at(self, when: float | None) -> None:
        """Decide again when a pace or somebody's patience is over, or an account has rested."""
        now = time.monotonic()
        sites = {chat.site for chat in self._queue.values()}
        rested = [
            cooling.until
            for account in self.everyone.values()
            if account.profile.site in sites
            for cooling in account.cooling.values()
            if cooling.until > now
        ]
        next_at = min((*rested, *([] if when is None else [when])), default=None)
        if next_at is not None:
            self._wake = asyncio.get_running_loop().call_later(max(0.001, next_at - now), self.turn)

    def _decide(self, able: dict[str, list[Account]]) -> Decision:
        now = time.monotonic()
        rooms = {account.name: account.room(now) for accounts in able.values() for account in accounts}
        pages = [
            Page(slot.id, account.name, slot.idle, slot.used_at)
            for account in self.everyone.values()
            for slot in account.pages.slots.values()
        ]
        groups = {
            group: Group([account.name for account in accounts], group.rpartition("\0")[2])
            for group, accounts in able.items()
        }
        queue = [chat.waiting for chat in self._queue.values()]
        return assign(
            queue, pages, rooms, groups, now, max_pages=self.settings.browser.max_open_tabs, served=self._served
        )

    def _lease(self, lease: Lease, closing: Sequence[asyncio.Task[None]]) -> None:
        chat, account = self._queue.pop(lease.request), self.everyone[lease.account]
        slot = account.pages.slots[lease.page] if lease.page is not None else account.pages.add()
        self._served.setdefault(chat.request.caller, {})[account.name] = next(self._numbers)
        if chat.hold.match is not None and chat.hold.match.account != account.profile.account:
            chat.hold.leave()
        self.leases.begin(chat, account, slot, closing)

    def _close(self, pages: Sequence[str]) -> list[asyncio.Task[None]]:
        """Close idle pages to make room for others."""
        wanted = set(pages)
        closing = []
        for account in self.everyone.values() if wanted else ():
            for name in wanted & account.pages.slots.keys():
                closing.append(self.leases.close(account, account.pages.slots[name]))
        return closing

    def _turn_away(self, able: dict[str, list[Account]]) -> None:
        """End the requests that no account may serve any more."""
        names = {group: {account.name for account in accounts} for group, accounts in able.items()}
        for chat in tuple(self._queue.values()):
            waiting = chat.waiting
            mine = names.get(waiting.group, set())
            mine = mine - waiting.avoid if waiting.avoid else mine
            if not mine or (waiting.patience == math.inf and waiting.prefers not in mine):
                self._leave(chat, self._why_not(chat))

    def _why_not(self, chat: PooledChat) -> RelayError:
        error = self._none_lives(chat) or chat.refused
        if error is not None:
            return error
        site, named, model = chat.waiting.group.split("\0")
        return no_account(site, [account.refusal(model) for account in self._accounts_of(site, named)])

    def _none_lives(self, chat: PooledChat) -> RelayError | None:
        return self.tokens.none_lives(chat.brought) if chat.brought is not None else None

    def _again(self, chat: PooledChat, account: Account, error: RelayError) -> bool:
        """Whether a chat that an account provably refused goes back into the queue, for another one."""
        if isinstance(error, NoAccount) and not chat.shown and (dead := self._none_lives(chat)) is not None:
            chat.end(dead)
        explicit = chat.hold.match is not None and chat.hold.match.explicit
        if self._stopping or chat.ended or chat.shown or not error.refused or explicit:
            return False
        if isinstance(error, BrowserFault | PageLeft):  # not the account's fault: once more, on it or another
            if chat.refused is not None:
                return False
            avoid = chat.waiting.avoid
        elif isinstance(error, BadRequest):
            return False
        else:
            avoid = chat.waiting.avoid | {account.name}
            if not {one.name for one in self._able(chat.waiting.group)} - avoid:
                return False
            self.measures.retried(chat.site)
        logger.info("{} refused it ({}): to be tried again", account.name, error.code)
        chat.requeue(error, avoid)
        self._enqueue(chat, first=True)
        return True

    # chores

    @asynccontextmanager
    async def _borrow(self, account: Account) -> AsyncIterator[Slot | None]:
        """A page of an account for a chore, or None while chats need all there is."""
        slot = self._spare(account)
        if slot is None:
            yield None
            return
        async with self.leases.borrow(account, slot):
            yield slot

    def _spare(self, account: Account) -> Slot | None:
        wanted = any(chat.site == account.profile.site for chat in self._queue.values())
        if self._stopping or wanted or account.running >= account.limit or account.pages.outdated:
            return None
        idle = max(account.pages.idle, key=lambda slot: slot.used_at, default=None)
        if idle is not None:
            return idle
        if sum(len(one.pages.slots) for one in self.everyone.values()) >= self.settings.browser.max_open_tabs:
            return None
        return account.pages.add()
