"""The pool's memory on disk, `relay.db`: SQLite in WAL mode, written behind.

The `save`, `add`, `put` and `drop` methods queue a change, and one task writes the changes in their order, each whole
or not at all. Nothing waits for the disk but a prompt that continues a conversation (`flush`). What cannot be written
now (a full disk) is kept and tried again with the next change. Times are wall-clock Unix seconds, since they must mean
something after a restart.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any

import aiosqlite
from loguru import logger

from relay.pool.database import open_database
from relay.pool.rows import AccountRow, ConversationRow, TurnRow

DAY_S = 86_400.0
MAX_UNWRITTEN = 10_000
"""Changes kept while the disk refuses them; then the oldest go."""
THROW_AWAY = "~"
"""Begins the names of accounts made of callers' tokens, and stands in no other name: of these nothing is written."""
PRUNE_EVERY = 1_000
"""Starts added between two prunings."""

MIGRATIONS = (
    """
    CREATE TABLE accounts (name TEXT PRIMARY KEY, state TEXT NOT NULL, why TEXT NOT NULL, since REAL NOT NULL);
    CREATE TABLE cooldowns (
        account TEXT NOT NULL, model TEXT NOT NULL, until REAL NOT NULL, why TEXT NOT NULL, failures INTEGER NOT NULL,
        PRIMARY KEY (account, model)
    );
    CREATE TABLE starts (account TEXT NOT NULL, model TEXT NOT NULL, at REAL NOT NULL);
    CREATE INDEX starts_at ON starts (at);
    CREATE TABLE conversations (
        site TEXT NOT NULL, account TEXT NOT NULL, id TEXT NOT NULL, caller TEXT NOT NULL, agent TEXT NOT NULL,
        created REAL NOT NULL, used REAL NOT NULL, tip TEXT NOT NULL, doomed INTEGER NOT NULL,
        failures INTEGER NOT NULL, retry_at REAL NOT NULL,
        PRIMARY KEY (site, account, id)
    );
    CREATE TABLE turns (
        site TEXT NOT NULL, account TEXT NOT NULL, conversation TEXT NOT NULL, history TEXT NOT NULL,
        parent TEXT NOT NULL, answer TEXT NOT NULL,
        PRIMARY KEY (site, account, conversation, history)
    );
    """,
    "ALTER TABLE accounts ADD COLUMN reason TEXT NOT NULL DEFAULT '';",
)
"""Forward only: script n brings a file of `user_version` n to n + 1. Never change one that was released."""

_DROP_TURNS = "DELETE FROM turns WHERE site = ? AND account = ? AND conversation = ?"
_REMEDIES = {
    "SQLITE_FULL": "The disk is full: free some space.",
    "SQLITE_READONLY": "It may not be written: look at its owner, its rights and the file system.",
    "SQLITE_IOERR": "The disk reports an error: look at the system's log.",
    "SQLITE_BUSY": "Another program holds it: close that one.",
    "SQLITE_CORRUPT": "It is damaged; the next start puts it aside and begins a new one.",
}
_UNWRITABLE = (
    sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError,
    UnicodeError, OverflowError,
)  # fmt: skip
"""Errors of the row itself (a lone surrogate in an id): trying it again would block all that follows."""


@dataclass(slots=True)
class _Found:
    """What the file held when it was opened."""

    accounts: dict[str, AccountRow] = field(default_factory=dict)
    cooldowns: dict[str, dict[str, tuple[float, str, int]]] = field(default_factory=dict)
    starts: dict[str, list[tuple[str, float]]] = field(default_factory=dict)
    conversations: list[ConversationRow] = field(default_factory=list)
    turns: list[TurnRow] = field(default_factory=list)


Statement = tuple[str, tuple[Any, ...]]
Change = tuple[Statement, ...]


class Store:
    """The open file. Build it with `await Store.open(...)` and `await close()` it: its thread outlives it otherwise.

    It is read once, at opening; what the methods without arguments return is what it held then.
    """

    def __init__(self, file: Path, db: aiosqlite.Connection, found: _Found, clock: Callable[[], float]) -> None:
        self.file = file
        self._db = db
        self._found = found
        self._clock = clock
        self._queue: asyncio.Queue[Change | asyncio.Future[None]] = asyncio.Queue()
        self._unwritten: deque[Change] = deque()
        self._failing: set[str] = set()
        self._added = 0
        self._closed = False
        self._writer = asyncio.get_running_loop().create_task(self._write())

    def __repr__(self) -> str:
        return f"<Store {self.file} unwritten={len(self._unwritten) + self._queue.qsize()} closed={self._closed}>"

    # life

    @classmethod
    async def open(cls, file: Path, clock: Callable[[], float] = time.time) -> Store:
        """Open or create it (0600). A damaged file is put aside as `<name>.damaged-<n>` and a new one begun.

        Raises BadRequest when a newer relay wrote it, or when it cannot be opened at all.
        """
        lost = "conversations, cool-downs and the states of accounts start anew"
        db, found = await open_database(file, MIGRATIONS, lambda db: _read(db, clock), lost=lost)
        return cls(file, db, found, clock)

    async def flush(self) -> None:
        """Wait until everything queued so far was written, or tried."""
        if not self._closed:
            await self._drain()

    async def _drain(self) -> None:
        tried: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(tried)
        await asyncio.wait((tried, self._writer), return_when=asyncio.FIRST_COMPLETED)

    async def close(self) -> None:
        """Write what is queued and close the file. Later changes are dropped. May be called twice."""
        if self._closed:
            return
        self._closed = True
        await self._drain()
        self._writer.cancel()
        await asyncio.wait((self._writer,))
        if self._unwritten:
            logger.error("{} changes could not be written to {} and are lost", len(self._unwritten), self.file)
        await self._db.close()

    # accounts

    def save_account(self, name: str, state: str, why: str, reason: str = "") -> None:
        """The state of an account from now on. Accounts are named `<site>/<account>`, here and below."""
        self._put(name, "REPLACE INTO accounts VALUES (?, ?, ?, ?, ?)", name, state, why, self._clock(), reason)

    def forget_account(self, name: str) -> None:
        """It is gone: its state, rests and starts with it. (Its conversations: `conversations.py`.)"""
        for table, column in (("accounts", "name"), ("cooldowns", "account"), ("starts", "account")):
            self._put(name, f"DELETE FROM {table} WHERE {column} = ?", name)

    def accounts(self) -> Mapping[str, AccountRow]:
        """By account."""
        return self._found.accounts

    def save_cooldown(self, account: str, model: str, until: float, why: str, failures: int = 0) -> None:
        """A rest until `until`; `model` is empty for the whole account."""
        self._put(account, "REPLACE INTO cooldowns VALUES (?, ?, ?, ?, ?)", account, model, until, why, failures)

    def drop_cooldown(self, account: str, model: str) -> None:
        """The rest is over."""
        self._put(account, "DELETE FROM cooldowns WHERE account = ? AND model = ?", account, model)

    def cooldowns(self) -> Mapping[str, Mapping[str, tuple[float, str, int]]]:
        """(until, why, failures) by account and model; those that are over too, for their failures still count."""
        return self._found.cooldowns

    def add_start(self, account: str, model: str, at: float | None = None) -> None:
        """A chat begins (now)."""
        self._put(account, "INSERT INTO starts VALUES (?, ?, ?)", account, model, self._clock() if at is None else at)
        self._added += 1
        if self._added % PRUNE_EVERY == 0:
            self._put(account, "DELETE FROM starts WHERE at < ?", self._clock() - DAY_S)

    def starts(self) -> Mapping[str, list[tuple[str, float]]]:
        """(model, at) by account, of the last day, oldest first."""
        return self._found.starts

    # conversations

    def put_conversation(self, row: ConversationRow, *turns: TurnRow) -> None:
        """Write a conversation, and new turns of it, in one piece. A doomed one loses its turns."""
        statements: list[Statement] = [
            ("REPLACE INTO conversations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", astuple(row))
        ]
        if row.doomed:
            statements.append((_DROP_TURNS, (row.site, row.account, row.id)))
        statements += [("REPLACE INTO turns VALUES (?, ?, ?, ?, ?, ?)", astuple(turn)) for turn in turns]
        self._enqueue(row.account, tuple(statements))

    def drop_conversation(self, row: ConversationRow) -> None:
        """Forget it and its turns."""
        whose = (row.site, row.account, row.id)
        drop = "DELETE FROM conversations WHERE site = ? AND account = ? AND id = ?"
        self._enqueue(row.account, ((_DROP_TURNS, whose), (drop, whose)))

    def drop_turn(self, turn: TurnRow) -> None:
        """Forget one turn."""
        where = (turn.site, turn.account, turn.conversation, turn.history)
        self._put(turn.account, f"{_DROP_TURNS} AND history = ?", *where)

    def take_conversations(self) -> tuple[list[ConversationRow], list[TurnRow]]:
        """Conversations, and turns in the order they were written. Once: of so many the store keeps no second copy."""
        taken = self._found.conversations, self._found.turns
        self._found.conversations, self._found.turns = [], []
        return taken

    # the file

    def _put(self, account: str, sql: str, *values: object) -> None:
        self._enqueue(account, ((sql, values),))

    def _enqueue(self, account: str, change: Change) -> None:
        if not self._closed and THROW_AWAY not in account:
            self._queue.put_nowait(change)

    async def _write(self) -> None:
        """The one task that writes."""
        while True:
            flushes: list[asyncio.Future[None]] = []
            item = await self._queue.get()
            while True:
                if isinstance(item, asyncio.Future):
                    flushes.append(item)
                else:
                    self._unwritten.append(item)
                if self._queue.empty():
                    break
                item = self._queue.get_nowait()
            await self._commit()
            for tried in flushes:
                if not tried.done():
                    tried.set_result(None)

    async def _commit(self) -> None:
        """All that is unwritten in one transaction; after a failure it waits for the next call."""
        change: Change = ()
        while self._unwritten:
            try:
                await self._db.execute("BEGIN IMMEDIATE")
                for change in self._unwritten:
                    for sql, values in change:
                        await self._db.execute(sql, values)
                await self._db.execute("COMMIT")
            except _UNWRITABLE as error:
                await self._db.rollback()
                self._unwritten.remove(change)
                logger.error("{}: a change that cannot be written is left out ({})", self.file, error)
            except sqlite3.Error as error:
                if self._db.in_transaction:
                    await self._db.rollback()
                self._report(error)
                while len(self._unwritten) > MAX_UNWRITTEN:
                    self._unwritten.popleft()
                return
            else:
                self._unwritten.clear()
                if self._failing:
                    self._failing.clear()
                    logger.info("{} is written again", self.file)

    def _report(self, error: sqlite3.Error) -> None:
        """Say it once per kind, until a write succeeds."""
        kind = getattr(error, "sqlite_errorname", type(error).__name__)
        if kind not in self._failing:
            self._failing.add(kind)
            remedy = next((text for name, text in _REMEDIES.items() if kind.startswith(name)), "")
            logger.error(
                "{} could not be written ({}). {} Chats go on; until then a restart forgets what is new.",
                self.file, error, remedy,
            )  # fmt: skip


async def _read(db: aiosqlite.Connection, clock: Callable[[], float]) -> _Found:
    await db.execute("DELETE FROM starts WHERE at < ?", (clock() - DAY_S,))
    found = _Found()
    for name, *state in await db.execute_fetchall("SELECT name, state, why, since, reason FROM accounts"):
        found.accounts[name] = AccountRow(*state)
    for account, model, *rest in await db.execute_fetchall(
        "SELECT account, model, until, why, failures FROM cooldowns"
    ):
        found.cooldowns.setdefault(account, {})[model] = (rest[0], rest[1], rest[2])
    for account, model, at in await db.execute_fetchall("SELECT account, model, at FROM starts ORDER BY at"):
        found.starts.setdefault(account, []).append((model, at))
    for row in await db.execute_fetchall("SELECT * FROM conversations"):
        found.conversations.append(replace(ConversationRow(*row), doomed=bool(row[8])))
    for row in await db.execute_fetchall("SELECT * FROM turns ORDER BY rowid"):
        found.turns.append(TurnRow(*row))
    return found
