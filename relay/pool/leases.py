"""Chats that hold a page: begun, run, released; and the same hold for the keeper's chores."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from functools import partial

from loguru import logger

from relay.errors import CutAnswer, RelayError
from relay.pool.account import Account
from relay.pool.chat import PooledChat
from relay.pool.measures import Measures
from relay.pool.pages import Slot
from relay.pool.runner import Runner
from relay.settings import Settings

DRAIN_S = 2.0
"""How long a page may read on after its answer's end mark before it is used again."""
QUIET_S = 2.0
"""An account's state is saved once it was unused for so long."""
CANCEL_S = 5.0
TYPICAL_S = 15.0
"""What a chat is taken to last until some have ended."""


class Leases:
    """`again` is asked whether a refused chat goes back into the queue; `turn` is called whenever a place is free."""

    def __init__(
        self,
        settings: Settings,
        measures: Measures,
        again: Callable[[PooledChat, Account, RelayError], bool],
        turn: Callable[[], None],
    ) -> None:
        self.running: set[PooledChat] = set()
        self._settings = settings
        self._measures = measures
        self._again = again
        self._turn = turn
        self._tasks: set[asyncio.Task[None]] = set()
        self._saving: dict[str, asyncio.TimerHandle] = {}
        self._lasted_s: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Leases {len(self.running)} running>"

    def typical_s(self, site: str) -> float:
        """How long a chat of a site lasts, lately, in seconds."""
        return self._lasted_s.get(site, TYPICAL_S)

    # chats

    def begin(self, chat: PooledChat, account: Account, slot: Slot, closing: Sequence[asyncio.Task[None]]) -> None:
        """Run a chat on a page, once the pages that make room for it are closed."""
        slot.idle = False
        account.started(chat.model)
        self.running.add(chat)
        chat.lease(account.name)
        chat.task = asyncio.get_running_loop().create_task(self._serve(chat, account, slot, closing))
        # A callback, not a finally: a task that is cancelled before its first step runs no code of its own.
        chat.task.add_done_callback(partial(self._release, chat, account, slot))

    async def _serve(
        self, chat: PooledChat, account: Account, slot: Slot, closing: Sequence[asyncio.Task[None]]
    ) -> None:
        if closing:
            await asyncio.wait(closing)
        chat.failure = await Runner(chat, account, slot, self._settings).run()
        if chat.failure is None:
            self.settle(chat)

    def _release(self, chat: PooledChat, account: Account, slot: Slot, task: asyncio.Task[None]) -> None:
        account.ended()
        self.running.discard(chat)
        error: RelayError | None = chat.failure
        if task.cancelled():
            error = chat.error or CutAnswer("The request was cancelled.")
        elif (unforeseen := task.exception()) is not None:
            logger.opt(exception=unforeseen).error("{} ended in an unforeseen way", chat)
            error = RelayError("Something unforeseen failed inside relay; its log says what.")
        chat.failure = None
        self._give_back(account, slot, driver=chat.driver)
        if error is None or not self._again(chat, account, error):
            chat.end(error)
            self.settle(chat, cancelled=task.cancelled())
        self._turn()

    def settle(self, chat: PooledChat, *, cancelled: bool = False) -> None:
        """A chat is over (or was never begun): its conversation is free, or to be deleted, and it is counted."""
        chat.end()
        if not chat.settled:
            chat.settled = True
            code = "cancelled" if cancelled else chat.error.code if chat.error is not None else "ok"
            chat.hold.free()
            self._measures.finish(
                chat.steps,
                request_id=chat.id,
                site=chat.site,
                account=chat.account.partition("/")[2],
                model=chat.model,
                driver=chat.driver,
                code=code,
            )
            if code == "ok":
                lasted_s = chat.steps.steps_ms()["total"] / 1000
                self._lasted_s[chat.site] = 0.8 * self.typical_s(chat.site) + 0.2 * lasted_s

    # pages

    def _give_back(self, account: Account, slot: Slot, *, driver: str = "") -> None:
        """A page whose chat is over: idle, or closed where it is dead or old."""
        slot.used_at = time.monotonic()
        keeper = self._settings.keeper
        old = slot.uses >= keeper.page_uses or slot.used_at - slot.opened_at > keeper.page_age_s
        if slot.tab is None or slot.tab.fault is not None or old:
            self.close(account, slot)
            return
        if driver in ("screen", "dom") and not slot.tab.fresh:
            slot.resetting = self._spawn(self._reset(account, slot, driver), "bringing a page to an empty chat")
        slot.idle = True
        self._save_soon(account)

    def close(self, account: Account, slot: Slot) -> asyncio.Task[None]:
        """Close a page that nobody holds; the task ends when it is closed."""
        slot.idle = False
        return self._spawn(account.pages.drop(slot), f"closing a page of {account.name}")

    async def _reset(self, account: Account, slot: Slot, driver: str) -> None:
        """Bring a used page to an empty chat ahead of the next one; a page that fails at it is closed."""
        tab = slot.tab
        if tab is None:
            return
        started = time.perf_counter()
        try:
            await tab.drain(DRAIN_S)
            await account.site.reset(tab)
            self._measures.cleaned(time.perf_counter() - started, site=account.profile.site, driver=driver)
        except RelayError as error:
            logger.debug("{}: page closed instead of reset: {}", account.name, error)
            if slot.idle:
                await self.close(account, slot)
            # a chat that was given the page meanwhile opens another when it finds this one dead
            elif slot.tab is not None:
                slot.tab.fail(error)

    def _save_soon(self, account: Account) -> None:
        """Save once the account has been quiet for a moment: reading its state takes the browser some milliseconds."""
        if account.name in self._saving:
            self._saving[account.name].cancel()
        loop = asyncio.get_running_loop()
        self._saving[account.name] = loop.call_later(
            QUIET_S, lambda: self._spawn(account.pages.save(), f"saving {account.name}")
        )

    def forget(self, account: Account) -> None:
        """Nothing runs on the account any more, and it goes."""
        if (saving := self._saving.pop(account.name, None)) is not None:
            saving.cancel()

    @asynccontextmanager
    async def borrow(self, account: Account, slot: Slot) -> AsyncIterator[Slot]:
        """Hold a page for a chore as a chat would; what fails closes it."""
        slot.idle = False
        account.running += 1
        try:
            yield slot
        except BaseException:
            self.close(account, slot)
            raise
        else:
            if slot.id in account.pages.slots:
                self._give_back(account, slot)
        finally:
            account.ended()
            self._turn()

    # the end

    async def drain(self, grace_s: float, error: RelayError) -> None:
        """Wait up to `grace_s` seconds for the chats under way, then end them with the error."""
        tasks = [chat.task for chat in self.running if chat.task is not None]
        if tasks:
            logger.info("waiting up to {:g} s for {} answers in flight", grace_s, len(tasks))
            await asyncio.wait(tasks, timeout=grace_s)
        tasks = [chat.task for chat in self.running if chat.task is not None]
        for chat in tuple(self.running):
            chat.end(error)
            chat.stop()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_S)

    async def stop(self) -> None:
        """End what is still done for pages; nothing runs any more."""
        for timer in self._saving.values():
            timer.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        for task in self._tasks:
            task.cancel()

    def _spawn(self, work: Coroutine[object, object, None], what: str) -> asyncio.Task[None]:
        async def guarded() -> None:
            try:
                await work
            except Exception:
                logger.opt(exception=True).error("{} failed", what)

        task = asyncio.get_running_loop().create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
