"""Answers that may be asked for again: `GET /v1/responses/{id}`, and `previous_response_id`.

`$RELAY_HOME/responses.db`, written behind; what was kept is found at once all the same. An answer holds its own input
and names the answer before it, so a conversation is a chain: nothing is written twice, and what is deleted is gone.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiosqlite
from loguru import logger

from relay.api.sse import json_bytes
from relay.api.tokens import BROUGHT
from relay.errors import ContextTooLong, PreviousResponseNotFound, RelayError, ResponseNotFound
from relay.pool.database import one, open_database
from relay.settings import Settings

ROW_BYTES = 1024
"""Counted for each answer beside its text: so the quota bounds their number too."""
ROOM = 0.9
"""What is left of the quota when it was reached: room is not made anew for each answer."""
IN_MEMORY_BYTES = 64 * 1024 * 1024

MIGRATIONS = (
    """
    CREATE TABLE responses (
        id TEXT PRIMARY KEY, caller TEXT NOT NULL, previous TEXT NOT NULL, body BLOB NOT NULL, input BLOB NOT NULL,
        used REAL NOT NULL, bytes INTEGER NOT NULL
    );
    CREATE INDEX responses_used ON responses (used);
    """,
)
"""Forward only, as those of `pool.store`. `used`: Unix seconds of the last answer that it led to."""

_CHAIN = """
    WITH RECURSIVE chain (id, previous, back) AS (
        SELECT id, previous, 0 FROM responses WHERE id = ? AND caller = ? AND used > ?
        UNION ALL
        SELECT one.id, one.previous, back + 1 FROM chain JOIN responses AS one ON one.id = chain.previous
    )
"""
"""An answer and those before it."""
_OVER = """
    DELETE FROM responses WHERE id IN (
        SELECT id FROM (SELECT id, SUM(bytes) OVER (ORDER BY used DESC, rowid DESC) AS upto FROM responses)
        WHERE upto > ?
    )
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as its client got it, and the items of its own input as the API lists them."""

    caller: str
    body: dict[str, Any]
    input: list[dict[str, Any]]


class Shelf:
    """Kept answers in one SQLite file, or in memory. It is opened at its first use; `aclose` it."""

    def __init__(
        self, file: Path | None, *, keep_s: float, most_bytes: int, clock: Callable[[], float] = time.time
    ) -> None:
        self.file = file
        self._keep_s = keep_s
        self._most_bytes = most_bytes
        self._clock = clock
        self._bytes = 0
        self._unwritten: list[tuple[Kept, float]] = []
        self._opening: asyncio.Task[aiosqlite.Connection] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._failing = False
        self._closed = False

    def __repr__(self) -> str:
        return f"<Shelf {self.file or 'in memory'} {self._bytes} bytes, unwritten={len(self._unwritten)}>"

    def keep(self, kept: Kept) -> None:
        """From now on it can be asked for."""
        if self._closed:
            return
        self._unwritten.append((kept, self._clock()))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write(), name="keeping responses")

    async def get(self, name: str, caller: str) -> Kept:
        """The caller's answer of that id. Raises ResponseNotFound."""
        db = await self._settled()
        sql = "SELECT body, input FROM responses WHERE id = ? AND caller = ? AND used > ?"
        rows = list(await db.execute_fetchall(sql, (name, caller, self._oldest)))
        if not rows:
            raise _unknown(name)
        return (await asyncio.to_thread(_read, rows, caller))[0]

    async def delete(self, name: str, caller: str) -> None:
        """Forget it: what was built on it cannot be continued any more. Raises ResponseNotFound."""
        db = await self._settled()
        sql = "DELETE FROM responses WHERE id = ? AND caller = ? AND used > ? RETURNING bytes"
        rows = list(await db.execute_fetchall(sql, (name, caller, self._oldest)))
        if not rows:
            raise _unknown(name)
        self._bytes -= rows[0][0]

    async def chain(self, name: str, caller: str, most_bytes: int) -> list[Kept]:
        """The caller's answer of that id after all those before it, the first one first; all count as used now.

        Raises PreviousResponseNotFound where one of them is gone, ContextTooLong beyond `most_bytes`.
        """
        db = await self._settled()
        known = (name, caller, self._oldest)
        measure = "SELECT chain.previous, SUM(bytes) OVER () FROM chain JOIN responses USING (id) ORDER BY back DESC"
        rows = list(await db.execute_fetchall(_CHAIN + measure, known))
        if not rows or rows[0][0]:
            what = "is not kept" if not rows else "builds on one that is not kept any more"
            raise PreviousResponseNotFound(
                f"Previous response with id {name[:80]!r} not found: it {what}. Send the whole history as input.",
                param="previous_response_id",
            )
        if rows[0][1] > most_bytes:
            raise ContextTooLong(
                f"The conversation before {name[:80]!r} has {rows[0][1]} bytes; a request may have {most_bytes}. "
                "Begin a new one.",
                param="previous_response_id",
            )
        use = "UPDATE responses SET used = ? WHERE id IN (SELECT id FROM chain)"
        await db.execute(_CHAIN + use, (*known, self._clock()))
        select = "SELECT body, input FROM chain JOIN responses USING (id) ORDER BY back DESC"
        rows = list(await db.execute_fetchall(_CHAIN + select, known))
        return await asyncio.to_thread(_read, rows, caller)

    async def aclose(self) -> None:
        """Write what is to be written and close the file. Later answers are not kept."""
        self._closed = True
        if self._writer is not None:
            await self._writer
        if self._opening is not None:
            with suppress(RelayError):  # then there is nothing to close
                await (await self._opening).close()

    @property
    def _oldest(self) -> float:
        """What was used last at this time, or before, is not kept any more."""
        return self._clock() - self._keep_s

    async def _settled(self) -> aiosqlite.Connection:
        """The open database, once everything that was kept so far is in it. Raises BadRequest."""
        if self._writer is not None:
            await asyncio.wait((self._writer,))
        return await self._database()

    async def _database(self) -> aiosqlite.Connection:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(), name="opening the kept responses")
        opening = self._opening
        try:
            return await asyncio.shield(opening)  # others wait for it too
        except RelayError:
            if self._opening is opening:
                self._opening = None  # what forbade it may be mended
            raise

    async def _open(self) -> aiosqlite.Connection:
        if self.file is None:
            db = await aiosqlite.connect(":memory:", isolation_level=None)
            await db.executescript(MIGRATIONS[-1])
        else:
            lost = "answers of before cannot be asked for again"
            db, self._bytes = await open_database(self.file, MIGRATIONS, self._prune, lost=lost)
        await db.execute("PRAGMA secure_delete = ON")  # what a client deletes is gone
        return db

    async def _prune(self, db: aiosqlite.Connection) -> int:
        """Forget what is too old; the size of what is left."""
        await db.execute("DELETE FROM responses WHERE used <= ?", (self._oldest,))
        return int(await one(db, "SELECT COALESCE(SUM(bytes), 0) FROM responses"))

    async def _write(self) -> None:
        """Write all that is unwritten; what cannot be written is not kept."""
        while self._unwritten:
            kept, self._unwritten = self._unwritten, []
            try:
                db = await self._database()
                rows = await asyncio.to_thread(_rows, kept)
                await db.executemany("INSERT OR REPLACE INTO responses VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
                self._bytes = await self._prune(db)
                if self._bytes > self._most_bytes:
                    await db.execute(_OVER, (int(self._most_bytes * ROOM),))
                    self._bytes = await self._prune(db)
            except (sqlite3.Error, RelayError) as error:
                if not self._failing:
                    logger.error("answers cannot be kept for later ({}); look at {}", error, self.file or "the memory")
                self._failing = True
            else:
                self._failing = False


class Shelves:
    """The shelves of a server: on disk; in memory for who brings site tokens, since nothing of them is written."""

    def __init__(self, settings: Settings) -> None:
        keep_s, most_bytes = settings.keep_responses_s, settings.keep_responses_mib << 20
        self._on_disk = Shelf(settings.home / "responses.db", keep_s=keep_s, most_bytes=most_bytes)
        self._in_memory = Shelf(None, keep_s=keep_s, most_bytes=min(most_bytes, IN_MEMORY_BYTES))
        self.keeps = keep_s > 0
        """Whether anything is kept at all."""

    def __repr__(self) -> str:
        return f"<Shelves {self._on_disk} {self._in_memory}>"

    def of(self, caller: str) -> Shelf:
        """Where a caller's answers are."""
        return self._in_memory if caller.startswith(BROUGHT) else self._on_disk

    async def aclose(self) -> None:
        """Close both."""
        await self._on_disk.aclose()
        await self._in_memory.aclose()


def _rows(kept: Sequence[tuple[Kept, float]]) -> list[tuple[Any, ...]]:
    """As the table has them; the text is the one that the client got."""
    rows = []
    for answer, used in kept:
        body, given = json_bytes(answer.body), json_bytes(answer.input)
        size = len(body) + len(given) + ROW_BYTES
        rows.append(
            (answer.body["id"], answer.caller, answer.body["previous_response_id"] or "", body, given, used, size)
        )
    return rows


def _read(rows: Sequence[Any], caller: str) -> list[Kept]:
    return [Kept(caller, json.loads(body), json.loads(given)) for body, given in rows]


def _unknown(name: str) -> ResponseNotFound:
    return ResponseNotFound(f"Response with id {name[:80]!r} not found: it was not kept, was deleted, or is too old.")
