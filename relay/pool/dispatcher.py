"""The pool, in one process: a bounded queue before the accounts' tabs."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Coroutine, Sequence
from functools import partial

from asyncio_pool import AioPool
from loguru import logger

from relay.browser.cdp import CdpError
from relay.browser.world import PageException
from relay.chat.request import ChatRequest
from relay.errors import ConversationNotFound, NoAccount, QueueFull, RelayError
from relay.pool.account import Account, Slot
from relay.pool.assign import Room, assign
from relay.pool.browsers import Browsers
from relay.pool.chat import PooledChat
from relay.pool.face import AccountStatus, Offer, PoolStatus
from relay.pool.offers import offers_of
from relay.pool.profiles import discover
from relay.pool.runner import run_chat
from relay.settings import Settings
from relay.sites.registry import SITES, site_class

CHECKS_AT_ONCE = 2
CHECK_AFTER_S = 1.0
DRAIN_S = 2.0
QUIET_S = 2.0
CANCELLED = NoAccount("The request was cancelled.")


class Dispatcher:
    """Implements `pool.face.Pool`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.browsers = Browsers(settings)
        self.accounts: dict[str, Account] = {}
        self._queue: list[PooledChat] = []
        self._running: set[PooledChat] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._turning = False

    def __repr__(self) -> str:
        return f"<Dispatcher waiting={len(self._queue)} running={len(self._running)} {list(self.accounts.values())}>"

    # life

    async def start(self) -> None:
        """Load the accounts, launch the browser, and check the logins in the background."""
        for profile in discover(self.settings.profiles, set(SITES)):
            account = Account.load(profile, self.settings, self.browsers)
            self.accounts[account.name] = account
        await self.browsers.get()
        self._spawn(self._check_all(), "checking the logins")

    async def stop(self, grace_s: float = 20) -> None:
        """Let answers in flight finish for `grace_s` seconds, then end them, save every account, end the browser."""
        for chat in tuple(self._queue):
            self._leave(chat, NoAccount("The relay is shutting down."))
        tasks = [chat.task for chat in self._running if chat.task is not None]
        if tasks:
            logger.info("waiting up to {} s for {} answers in flight", grace_s, len(tasks))
            await asyncio.wait(tasks, timeout=grace_s)
        for chat in tuple(self._running):
            chat.end(NoAccount("The relay is shutting down; the answer was cut."))
            await chat.cancel()
        for account in self.accounts.values():
            if account.saving is not None:
                account.saving.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for account in self.accounts.values():
            await account.save()
        await self.browsers.stop()

    async def _check_all(self) -> None:
        """Probe each account once, few at a time; the first of each site keeps its page open, the rest close it."""
        await asyncio.sleep(CHECK_AFTER_S)  # whoever asks at once comes first, and proves the login by an answer
        async with AioPool(size=CHECKS_AT_ONCE) as pool:
            seen: set[str] = set()
            for account in self.accounts.values():
                keep = account.profile.site not in seen
                seen.add(account.profile.site)
                await pool.spawn(self._check(account, keep=keep))

    async def _check(self, account: Account, *, keep: bool) -> None:
        if account.refusal("") is not None or not account.has_room:
            return
        slot = self._take_slot(account)
        keep = keep or slot.tab is not None
        account.running += 1
        try:
            tab = await account.tab(slot, cached=keep)
            login = await account.check(tab)
            account.models = tuple(await account.site.catalogue(tab))
            logger.info("{}: login {} {}", account.name, login.state.value, login.label)
            if keep:
                slot.used_at = time.monotonic()
                account.idle.append(slot)
            else:
                await account.save()
                await account.drop(slot)
        except (RelayError, CdpError, PageException) as error:
            logger.warning("{} could not be checked: {}", account.name, error)
            await account.drop(slot)
        finally:
            account.running -= 1
            self._turn()

    # the face

    def submit(self, request: ChatRequest) -> PooledChat:
        """Queue a request. Raises at once what waiting would not cure."""
        choice = request.choice
        if request.conversation_id not in (None, "", "none"):
            raise ConversationNotFound(
                f"There is no conversation {request.conversation_id!r} to continue. Send the whole history instead."
            )
        accounts = [
            account
            for account in self.accounts.values()
            if account.profile.site == choice.site and choice.account in ("", account.profile.account)
        ]
        for account in accounts:
            account.notice_login()
        refusals = [account.refusal(choice.model) for account in accounts]
        fit = tuple(account.name for account, refusal in zip(accounts, refusals, strict=True) if refusal is None)
        if not fit:
            raise self._no_account(choice.site, [refusal for refusal in refusals if refusal is not None])
        if len(self._queue) >= self.settings.queue.max_waiting:
            raise QueueFull(
                f"{len(self._queue)} requests are waiting already (RELAY_QUEUE__MAX_WAITING).",
                retry_after_s=self._expected_wait_s(),
            )
        chat = PooledChat(request, fit, choice.model)
        chat.place = lambda: self._queue.index(chat) + 1 if chat in self._queue else 0
        chat.stop = lambda: self._cancel(chat)
        max_wait_s = self.settings.queue.max_wait_s
        chat.expiry = asyncio.get_running_loop().call_later(max_wait_s, self._expire, chat)
        self._queue.append(chat)
        self._turn()
        return chat

    def _no_account(self, site: str, refusals: Sequence[RelayError]) -> RelayError:
        if not refusals:
            name = site_class(site).name
            return NoAccount(
                f"No account of {name} is set up. Put one under {self.settings.profiles / site}/<account>/."
            )
        # The refusal that ends soonest is the most useful one to report.
        return min(refusals, key=lambda error: (error.retry_after_s or math.inf, error.code != "login_needed"))

    def _expected_wait_s(self) -> float:
        places = sum(account.limit for account in self.accounts.values() if account.refusal("") is None)
        return float(max(1, math.ceil(15 * len(self._queue) / max(1, places))))

    def offers(self, *, everything: bool = False) -> Sequence[Offer]:
        """Models of sites with an account; with `everything`, of every site."""
        return offers_of(self.accounts.values(), everything=everything)

    def status(self) -> PoolStatus:
        """Accounts, queue and browser."""
        accounts: list[AccountStatus] = [account.status() for account in self.accounts.values()]
        ready = any(account.refusal("") is None for account in self.accounts.values())
        return PoolStatus(ready, len(self._queue), len(self._running), repr(self.browsers), accounts)

    # queue

    def _turn(self) -> None:
        """Decide anew; called on every change."""
        names = {name for chat in self._queue for name in chat.waiting.accounts}
        rooms = {
            name: Room(account.limit - account.running, account.running)
            for name in names
            if (account := self.accounts[name]).refusal("") is None
        }
        waiting = {chat.waiting.id: chat for chat in self._queue}
        for number, name in assign([chat.waiting for chat in self._queue], rooms):
            chat, account = waiting[number], self.accounts[name]
            self._queue.remove(chat)
            self._running.add(chat)
            account.running += 1
            chat.lease(name)
            slot = self._take_slot(account)
            chat.task = asyncio.get_running_loop().create_task(self._serve(chat, account, slot))
            # A callback, not a finally: a task that is cancelled before its first step runs no code of its own.
            chat.task.add_done_callback(partial(self._release, chat, account, slot))
        for chat in tuple(self._queue):
            refusals = [self.accounts[name].refusal(chat.model) for name in chat.waiting.accounts]
            if all(refusals):
                self._leave(chat, self._no_account(chat.site, [error for error in refusals if error is not None]))

    def _leave(self, chat: PooledChat, error: RelayError) -> None:
        if chat in self._queue:
            self._queue.remove(chat)
        chat.end(error)

    def _expire(self, chat: PooledChat) -> None:
        if chat in self._queue:
            wait_s = self.settings.queue.max_wait_s
            self._leave(chat, QueueFull(f"No tab became free in {wait_s:g} s.", retry_after_s=self._expected_wait_s()))

    def _cancel(self, chat: PooledChat) -> None:
        if chat.task is None:
            self._leave(chat, CANCELLED)
        else:
            chat.task.cancel()

    # leases

    async def _serve(self, chat: PooledChat, account: Account, slot: Slot) -> None:
        await self._make_room(slot)
        await run_chat(chat, account, slot, self.settings)

    def _take_slot(self, account: Account) -> Slot:
        if not account.idle:
            return Slot()
        ready = [slot for slot in account.idle if slot.resetting is None or slot.resetting.done()]
        slot = max(ready or account.idle, key=lambda slot: slot.used_at)
        account.idle.remove(slot)
        return slot

    def _release(self, chat: PooledChat, account: Account, slot: Slot, task: asyncio.Task[None]) -> None:
        account.running -= 1
        self._running.discard(chat)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.opt(exception=error).error("{} ended in an unforeseen way", chat)
        chat.end(CANCELLED)
        slot.used_at = time.monotonic()
        if slot.tab is None or slot.tab.fault is not None:
            self._spawn(account.drop(slot), f"closing a page of {account.name}")
        else:
            if not slot.tab.fresh and chat.driver and not chat.driver.startswith("fetch"):
                slot.resetting = asyncio.get_running_loop().create_task(self._reset(account, slot))
            account.idle.append(slot)
            self._save_soon(account)
        self._turn()

    def _save_soon(self, account: Account) -> None:
        """Save once the account has been quiet for a moment: reading its state takes the browser some milliseconds."""
        if account.saving is not None:
            account.saving.cancel()
        loop = asyncio.get_running_loop()
        account.saving = loop.call_later(QUIET_S, lambda: self._spawn(account.save(), f"saving {account.name}"))

    async def _reset(self, account: Account, slot: Slot) -> None:
        """Bring a used page to an empty chat ahead of the next one; a page that fails at it is closed."""
        assert slot.tab is not None
        try:
            await slot.tab.drain(DRAIN_S)
            await account.site.reset(slot.tab)
        except RelayError as error:
            logger.debug("{}: page closed instead of reset: {}", account.name, error)
            await account.drop(slot)

    async def _make_room(self, slot: Slot) -> None:
        """Close the least recently used idle page when one more would be too many."""
        if slot.tab is not None:
            return
        while sum(account.open_tabs for account in self.accounts.values()) >= self.settings.browser.max_open_tabs:
            idle = [(account, other) for account in self.accounts.values() for other in account.idle if other.tab]
            if not idle:
                return
            account, oldest = min(idle, key=lambda pair: pair[1].used_at)
            account.idle.remove(oldest)
            await account.drop(oldest)

    def _spawn(self, work: Coroutine[object, object, None], what: str) -> None:
        async def guarded() -> None:
            try:
                await work
            except Exception:
                logger.opt(exception=True).error("{} failed", what)

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
