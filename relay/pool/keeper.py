"""What is done while nobody asks: unused pages closed, old ones replaced, logins checked, conversations deleted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager

from asyncio_pool import AioPool
from loguru import logger

from relay.browser.cdp import CdpError
from relay.browser.world import PageException
from relay.errors import RelayError
from relay.pool.account import Account
from relay.pool.browsers import Browsers
from relay.pool.conversations import Conversations, Due
from relay.pool.measures import Measures
from relay.pool.memory import memory_in_use
from relay.pool.pages import Slot
from relay.settings import Settings
from relay.sites.base import LoginState

CHECKS_AT_ONCE = 2
CHECK_AFTER_S = 1.0
TICK_S = 5.0

Borrow = Callable[[Account], AbstractAsyncContextManager[Slot | None]]
"""A page of an account for a chore, or None while chats need all there is. The page is closed where that fails."""


class Keeper:
    """Its chores never hold up a chat: they take idle places only, one after the other."""

    def __init__(
        self,
        settings: Settings,
        accounts: Mapping[str, Account],
        browsers: Browsers,
        conversations: Conversations,
        measures: Measures,
        borrow: Borrow,
        reclaim: Callable[[], Coroutine[object, object, None]],
    ) -> None:
        """`reclaim` takes back accounts whose login window has died."""
        self._settings = settings
        self._accounts = accounts
        self._browsers = browsers
        self._conversations = conversations
        self._measures = measures
        self._borrow = borrow
        self._reclaim = reclaim

    def __repr__(self) -> str:
        return f"<Keeper of {len(self._accounts)} accounts>"

    async def run(self) -> None:
        """Until cancelled."""
        await asyncio.sleep(CHECK_AFTER_S)  # whoever asks at once comes first, and proves the login by an answer
        await self._check_all()
        async with asyncio.TaskGroup() as chores:
            chores.create_task(self._repeat(self._tidy, TICK_S))
            chores.create_task(self._repeat(self._sweep, self._settings.keeper.delete_gap_s))

    async def _repeat(self, chore: Callable[[], Coroutine[object, object, None]], gap_s: float) -> None:
        while True:
            await asyncio.sleep(gap_s)
            try:
                await chore()
            except Exception:  # the keeper outlives whatever a chore meets
                logger.opt(exception=True).error("{} failed", chore.__name__)

    # logins

    async def _check_all(self) -> None:
        """Check each account once, few at a time; the first of each site keeps its page open."""
        seen: set[str] = set()
        async with AioPool(size=CHECKS_AT_ONCE) as pool:
            for account in tuple(self._accounts.values()):
                first = account.profile.site not in seen
                seen.add(account.profile.site)
                await pool.spawn(self._check(account, keep=first))

    async def _check(self, account: Account, *, keep: bool) -> None:
        if (refusal := account.refusal("")) is not None:
            logger.info("{}: not checked: {}", account.name, refusal.message)
            return
        try:
            async with self._borrow(account) as slot:
                if slot is None:
                    return
                keep = keep or slot.tab is not None
                tab = await account.pages.tab(slot, cached=keep)
                login = await account.check(slot)
                if login.state is LoginState.LIVE:
                    account.models = tuple(await account.site.catalogue(tab))
                logger.info("{}: login {} {}", account.name, login.state.value, login.label)
                if not keep:
                    await account.pages.save()
                    await account.pages.drop(slot)
        except (RelayError, CdpError, PageException) as error:
            account.checked_at = time.monotonic()
            logger.warning("{} could not be checked: {}", account.name, error)

    # every few seconds

    async def _tidy(self) -> None:
        now = time.monotonic()
        keeper = self._settings.keeper
        for account in tuple(self._accounts.values()):
            for slot in account.pages.idle:
                dead = slot.tab is None or slot.tab.fault is not None
                if dead or now - slot.used_at > keeper.idle_page_s:
                    await self._close(account, slot)
        await self._reclaim()
        await self._stay_in_budget()
        if self._browsers.retire("it is old", older_than_s=keeper.browser_age_s):
            logger.info("accounts move to a new browser as their chats end")
        await self._leave_retired()
        if keeper.probe_every_s:
            due = [
                one
                for one in self._accounts.values()
                if now - one.checked_at > keeper.probe_every_s and one.refusal("") is None
            ]
            if due:  # one at a time: a gentle pace
                await self._check(min(due, key=lambda account: account.checked_at), keep=False)

    async def _close(self, account: Account, slot: Slot) -> None:
        slot.idle = False
        await account.pages.drop(slot)

    async def _stay_in_budget(self) -> None:
        """Close idle pages, least recently used first, while the processes hold more memory than they may."""
        budget_mib = self._settings.browser.memory_mib
        if budget_mib is None:
            return
        used = await asyncio.to_thread(memory_in_use)
        used_mib = sum(size for (process, _), size in used.items() if process == "browser") >> 20
        if used_mib <= budget_mib:
            return
        idle = [(account, slot) for account in self._accounts.values() for slot in account.pages.idle]
        if idle:
            account, slot = min(idle, key=lambda pair: pair[1].used_at)
            logger.info("{} MiB of {} used: closing a page of {}", used_mib, budget_mib, account.name)
            await self._close(account, slot)
        elif not any(account.running for account in self._accounts.values()):
            self._browsers.retire(f"it holds {used_mib} MiB of {budget_mib} without a page")

    async def _leave_retired(self) -> None:
        for account in tuple(self._accounts.values()):
            if account.pages.outdated and not account.running:  # outdated, it has no room: nobody gets in meanwhile
                await account.pages.renew_context()
        in_use = {browser for account in self._accounts.values() if (browser := account.pages.browser) is not None}
        await self._browsers.end_retired(in_use)

    # conversations

    async def _sweep(self) -> None:
        """Delete at most one old conversation of each account."""
        due: dict[str, Due] = {}
        for one in self._conversations.due():
            due.setdefault(f"{one.site}/{one.account}", one)
        async with AioPool(size=CHECKS_AT_ONCE) as pool:
            for name, one in due.items():
                account = self._accounts.get(name)
                if account is None or not account.site.capabilities.delete:
                    self._conversations.deleted(one)  # it stays on the site; nothing will be done about it
                elif account.refusal("") is None:
                    await pool.spawn(self._delete(account, one))

    async def _delete(self, account: Account, due: Due) -> None:
        started = time.perf_counter()
        try:
            async with self._borrow(account) as slot:
                if slot is None:
                    return
                tab = await account.pages.tab(slot)
                await account.site.delete(tab, due.conversation_id)
        except (RelayError, CdpError, PageException) as error:
            logger.info("{}: a conversation could not be deleted: {}", account.name, error)
            self._conversations.delete_failed(due, error.message if isinstance(error, RelayError) else str(error))
        else:
            self._conversations.deleted(due)
            self._measures.conversation_deleted(due.site)
            self._measures.cleaned(time.perf_counter() - started, site=due.site, driver="fetch")
