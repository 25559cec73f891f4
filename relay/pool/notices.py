"""Telling the owner, once, that an account has come to need them: by the addresses of RELAY_NOTIFY."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from loguru import logger

from relay.log import redact
from relay.pool.face import OWNER_NEEDED, AccountStatus
from relay.pool.receivers import Message, NotTold, Receiver, receivers_of
from relay.settings import Settings
from relay.sites.registry import SITES

QUIET_S = 3.0
"""A message goes out once nothing more has come for so long: a changed site kills its accounts one after the other."""
WINDOW_S = 30.0
"""But no later than this after its first account."""
PAUSES_S = (5.0, 15.0, 45.0, 120.0, 240.0)
"""Between the attempts at one receiver. After the last it is not told any more."""
STOP_S = 3.0
"""What is left for what waits when the relay stops."""
MOST_WAITING = 500
"""Notices for one receiver; more are only counted."""
SHOWN = 20
"""Accounts that a text names."""
MAX_WHY_CHARS = 300

WHAT = {
    "expired": "its login has expired",
    "guest": "the site treats it as a guest",
    "challenge": "the site shows a challenge that only you may solve",
    "banned": "the site has closed or muted it",
    "damaged": "its files cannot be used",
}


@dataclass(frozen=True, slots=True)
class Notice:
    """An account needs its owner."""

    site: str
    account: str
    label: str
    reason: str
    why: str
    since: float
    """Unix seconds."""
    login_url: str
    """The admin page; empty where only the running server knows its address."""

    @classmethod
    def of(cls, status: AccountStatus, address: str, now_s: float) -> Notice:
        """From an account's status and the server's address. What others wrote (the site, an error) is cut short."""
        return cls(
            status.site,
            status.account,
            _short(status.label),
            status.reason,
            _short(status.why),
            status.since or now_s,
            f"{address}/admin" if address else "",
        )

    @property
    def name(self) -> str:
        """As people call it: `Kimi, account work (Ann)`."""
        site = SITES[self.site].name if self.site in SITES else self.site
        known = f" ({self.label})" if self.label not in ("", self.account) else ""
        return f"{site}, account {self.account}{known}"

    @property
    def advice(self) -> str:
        """What its owner can do."""
        if self.reason == "banned":
            return "Settle that with the site."
        place = f", or at {self.login_url}" if self.login_url else ""
        login = f"`relay login {self.site} --account {self.account}`{place}"
        if self.reason == "damaged":
            return f"Repair or restore them, or log in again with {login}."
        return f"Log in again with {login}." if self.reason != "challenge" else f"Solve it in the window of {login}."

    @property
    def text(self) -> str:
        """In plain English, with what to do."""
        why = f" ({self.why.rstrip('. ')})" if self.why else ""
        return f"{self.name} takes no chats: {WHAT[self.reason]}{why}. {self.advice}"

    def body(self) -> dict[str, Any]:
        """Of the webhook."""
        return {
            "site": self.site,
            "account": self.account,
            "label": self.label,
            "reason": self.reason,
            "why": self.why,
            "since": datetime.fromtimestamp(self.since, UTC).isoformat(timespec="seconds"),
            "login_url": self.login_url,
            "text": self.text,
        }


def message_of(notices: Sequence[Notice], more: int = 0) -> Message:
    """One message for one account or for several; `more` are known by their number only."""
    if len(notices) == 1 and not more:
        [only] = notices
        body = {"event": "account_needs_owner", **only.body()}
        return Message(f"relay: {only.site}/{only.account} needs you", only.text, body)
    count = len(notices) + more
    hidden = count - len(notices[:SHOWN])
    lines = [f"{count} accounts need you:", *(f"- {notice.text}" for notice in notices[:SHOWN])]
    if hidden:
        lines.append(f"- and {hidden} more: see `relay accounts list`.")
    text = "\n".join(lines)
    body = {
        "event": "accounts_need_owner",
        "count": count,
        "accounts": [notice.body() for notice in notices],
        "login_url": notices[0].login_url if notices else "",
        "text": text,
    }
    return Message(f"relay: {count} accounts need you", text, body)


class Notices:
    """One background task with a queue per receiver, so that one that is down keeps no other waiting."""

    def __init__(self, settings: Settings, *, quiet_s: float = QUIET_S, pauses_s: Sequence[float] = PAUSES_S) -> None:
        self._addresses = [found for one in settings.notify if (found := one.get_secret_value().strip())]
        self._address = settings.address
        self._quiet_s, self._pauses_s = quiet_s, pauses_s
        self._damaged: set[tuple[str, str]] = set()
        self._queues: list[_Queue] = []
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Notices {self._queues}>"

    def parked(self, status: AccountStatus) -> None:
        """An account has come to need its owner: for `Account.on_parked`, which is called once each time."""
        if status.reason not in OWNER_NEEDED:  # it is lent: its owner is there
            return
        if status.reason == "damaged":  # found anew each time that it is loaded
            if (status.name, status.why) in self._damaged:
                return
            self._damaged.add((status.name, status.why))
        notice = Notice.of(status, self._address, time.time())
        for queue in self._queues:
            queue.add(notice)

    async def start(self) -> None:
        """Take up the receivers. Raises BadRequest for an address that is none."""
        receivers = await receivers_of(self._addresses)
        self._queues = [_Queue(one, self._stopping, self._quiet_s, self._pauses_s) for one in receivers]
        if self._queues:
            self._task = asyncio.create_task(self._run(), name="telling the owner")

    async def stop(self, within_s: float = STOP_S) -> None:
        """Deliver what waits, if that can be done in `within_s` seconds, and end."""
        self._stopping.set()
        if self._task is not None:
            _, late = await asyncio.wait({self._task}, timeout=within_s)
            for task in late:
                task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for queue in self._queues:
            queue.give_up("relay stops")

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for queue in self._queues:
                tasks.create_task(queue.run())


class _Queue:
    """What one receiver is still to be told."""

    def __init__(self, receiver: Receiver, stopping: asyncio.Event, quiet_s: float, pauses_s: Sequence[float]) -> None:
        self._receiver = receiver
        self._stopping = stopping
        self._quiet_s, self._pauses_s = quiet_s, pauses_s
        self._waiting: list[Notice] = []
        self._more = 0
        self._changed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<{self._receiver.label} waiting={len(self._waiting) + self._more}>"

    def add(self, notice: Notice) -> None:
        """Tell it soon."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(notice)
        else:
            self._more += 1
        self._changed.set()

    async def run(self) -> None:
        """Deliver what comes, until all is delivered after the stop."""
        while True:
            if not self._waiting:
                if self._stopping.is_set():
                    return
                await self._any_of(self._changed, self._stopping)
                self._changed.clear()
                continue
            await self._gather()
            await self._deliver()

    async def _gather(self) -> None:
        """Let what belongs together come together."""
        latest = time.monotonic() + WINDOW_S
        count = 0
        while count != (count := len(self._waiting)) and time.monotonic() < latest:
            await self._pause(self._quiet_s)

    async def _deliver(self) -> None:
        """Tell all that waits in one message; what comes between two attempts goes along with the next."""
        due = len(self._waiting)
        for pause_s in (*self._pauses_s, None):
            count, more = len(self._waiting), self._more
            last = pause_s is None or self._stopping.is_set()
            try:
                await self._receiver.tell(message_of(self._waiting, more))
            except Exception as error:  # of an unknown one the type only: its text may hold the address
                why = str(error) if isinstance(error, NotTold) else type(error).__name__
            else:
                logger.info("{} was told that {} accounts need their owner", self._receiver.label, count + more)
                del self._waiting[:count]
                self._more -= more
                return
            if last or pause_s is None:
                self.give_up(why, due)
                return
            logger.info("{} could not be told ({}): again in {:g} s", self._receiver.label, why, pause_s)
            await self._pause(pause_s)

    def give_up(self, why: str, due: int = MOST_WAITING) -> None:
        """Drop the first `due` of what waits."""
        if lost := len(self._waiting[:due]) + self._more:
            logger.warning("{} was not told that {} accounts need their owner: {}", self._receiver.label, lost, why)
        del self._waiting[:due]
        self._more = 0

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond the stop."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _any_of(self, *events: asyncio.Event) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in events]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


def _short(text: str) -> str:
    text = " ".join(redact(text).split())
    return text if len(text) <= MAX_WHY_CHARS else text[: MAX_WHY_CHARS - 1] + "…"
