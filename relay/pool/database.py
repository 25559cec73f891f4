"""A SQLite file of the relay's own: only its owner may read it, in WAL mode, of the newest schema, and whole."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
from loguru import logger

from relay.errors import BadRequest

Read = TypeVar("Read")


async def open_database(
    file: Path, migrations: Sequence[str], read: Callable[[aiosqlite.Connection], Awaitable[Read]], *, lost: str
) -> tuple[aiosqlite.Connection, Read]:
    """Open or create a file (0600), and what `read` finds in it. Its statements commit by themselves.

    `migrations`: script n brings a file of `user_version` n to n + 1. A damaged file, one that `read` fails on too, is
    put aside as `<name>.damaged-<n>` and a new one begun; `lost` says in the log what that means. Close the connection:
    its thread outlives it otherwise. Raises BadRequest when a newer relay wrote the file, or when it cannot be opened
    at all.
    """
    try:
        _touch(file)
        try:
            return await _connect(file, migrations, read)
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            aside = _put_aside(file)
            logger.warning(
                "{} is damaged ({}); it was put aside as {} and a new one begun: {}", file, error, aside.name, lost
            )
            _touch(file)
            return await _connect(file, migrations, read)
    except (sqlite3.Error, OSError) as error:
        raise BadRequest(f"{file} cannot be opened ({error}). Look at the disk and the folder's rights.") from None


async def one(db: aiosqlite.Connection, sql: str, values: Sequence[object] = ()) -> Any:
    """The first column of the first row; None where there is no row."""
    async with db.execute(sql, values) as cursor:
        row = await cursor.fetchone()
    return row[0] if row is not None else None


def _touch(file: Path) -> None:
    """Create the file before SQLite does: what SQLite puts beside it takes over its rights."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))  # what forbids it is told before a thread is started
    file.chmod(0o600)


async def _connect(
    file: Path, migrations: Sequence[str], read: Callable[[aiosqlite.Connection], Awaitable[Read]]
) -> tuple[aiosqlite.Connection, Read]:
    """A connection to a whole file of the present schema, and what it holds. Raises sqlite3.Error, BadRequest."""
    db = await aiosqlite.connect(file, isolation_level=None)
    try:
        version = await one(db, "PRAGMA user_version")
        if version > len(migrations):
            raise BadRequest(
                f"{file} was written by a newer relay (its schema is {version}, this one knows {len(migrations)}). "
                "Update relay, or start it with another home folder."
            )
        if (found := await one(db, "PRAGMA quick_check(1)")) != "ok":
            raise sqlite3.DatabaseError(found)
        await db.execute("PRAGMA journal_mode = WAL")
        await db.execute("PRAGMA synchronous = NORMAL")
        for number, script in enumerate(migrations[version:], version + 1):
            await db.executescript(f"BEGIN; {script} PRAGMA user_version = {number}; COMMIT;")
        return db, await read(db)
    except BaseException:
        await db.close()
        raise


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file's content is at fault. SQLITE_ERROR: the tables are not those that its version promises."""
    kind = getattr(error, "sqlite_errorname", "SQLITE_CORRUPT")
    return kind in ("SQLITE_NOTADB", "SQLITE_ERROR") or kind.startswith("SQLITE_CORRUPT")


def _put_aside(file: Path) -> Path:
    """Rename the file, with what SQLite keeps beside it, to the first free `<name>.damaged-<n>`."""
    number = 1
    while (aside := file.with_name(f"{file.name}.damaged-{number}")).exists():
        number += 1
    for ending in ("", "-wal", "-shm"):
        part = file.with_name(file.name + ending)
        if part.exists():
            part.rename(aside.with_name(aside.name + ending))
    return aside
