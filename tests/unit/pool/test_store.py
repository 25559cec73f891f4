"""`relay.db`: what is put comes back, whatever happens to the process or the disk."""

import asyncio
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from loguru import logger

from relay.errors import BadRequest
from relay.pool.rows import AccountRow, ConversationRow, TurnRow
from relay.pool.store import DAY_S, MIGRATIONS, Store

ROW = ConversationRow("demo", "ann", "c1", "key-1", "", created=10, used=20)
TURN = TurnRow("demo", "ann", "c1", "ab" * 32, "m1", "chatcmpl-1")


class Clock:
    """Wall-clock time that stands still."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "relay.db"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[Store]:
    opened = await Store.open(file, Clock())
    yield opened
    await opened.close()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{level} {message}")
    yield lines
    logger.remove(sink)


async def reopened(store: Store, clock: Clock | None = None) -> Store:
    await store.close()
    return await Store.open(store.file, clock or Clock())


async def test_what_is_put_comes_back(store: Store) -> None:
    store.save_account("demo/ann", "ready", "")
    store.save_account("demo/ann", "login_needed", "expired: 会话", "expired")
    store.save_cooldown("demo/ann", "", 77.5, "slow down", 3)
    store.save_cooldown("demo/ann", "big", 78.5, "quota")
    store.save_cooldown("demo/bob", "", 79.5, "over")
    store.drop_cooldown("demo/bob", "")
    store.add_start("demo/ann", "big", 999_999.0)
    store.add_start("demo/ann", "")
    store.put_conversation(ROW, TURN)
    again = await reopened(store)
    try:
        assert again.accounts() == {"demo/ann": AccountRow("login_needed", "expired: 会话", Clock.now, "expired")}
        assert again.cooldowns() == {"demo/ann": {"": (77.5, "slow down", 3), "big": (78.5, "quota", 0)}}
        assert again.starts() == {"demo/ann": [("big", 999_999.0), ("", Clock.now)]}
        assert again.take_conversations() == ([ROW], [TURN])
        assert again.take_conversations() == ([], []), "the store kept a second copy"
    finally:
        await again.close()


async def test_only_its_owner_may_read_it(store: Store) -> None:
    store.put_conversation(ROW)
    await store.flush()
    files = sorted(store.file.parent.iterdir())
    assert [path.name for path in files] == ["relay.db", "relay.db-shm", "relay.db-wal"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(store.file.parent.stat().st_mode) == 0o700


async def test_a_put_waits_for_nothing(store: Store) -> None:
    held = sqlite3.connect(store.file, isolation_level=None)
    held.execute("BEGIN IMMEDIATE")  # nobody else can write now
    store.put_conversation(ROW)
    await asyncio.sleep(0)
    assert "unwritten=1" in repr(store)
    held.execute("COMMIT")
    held.close()
    await store.flush()
    assert "unwritten=0" in repr(store)


async def test_the_order_of_changes_is_kept(store: Store) -> None:
    for number in range(300):
        store.put_conversation(ROW, TURN)
        store.drop_conversation(ROW)
        if number % 3 == 0:
            await asyncio.sleep(0)
    again = await reopened(store)
    assert again.take_conversations() == ([], [])
    await again.close()


async def test_a_doomed_conversation_has_no_turns_and_a_dropped_turn_is_gone(store: Store) -> None:
    doomed = ConversationRow("demo", "ann", "c2", "key-1", "", 1, 2, doomed=True, failures=2, retry_at=9.5)
    other = TurnRow("demo", "ann", "c1", "cd" * 32, "m2", "")
    store.put_conversation(
        ConversationRow("demo", "ann", "c2", "key-1", "", 1, 2), TurnRow("demo", "ann", "c2", "x", "", "")
    )
    store.put_conversation(doomed)
    store.put_conversation(ROW, TURN, other)
    store.drop_turn(TURN)
    again = await reopened(store)
    rows, turns = again.take_conversations()
    assert {row.id: row for row in rows} == {"c1": ROW, "c2": doomed}
    assert turns == [other]
    await again.close()


async def test_starts_older_than_a_day_are_forgotten(store: Store) -> None:
    store.add_start("demo/ann", "", Clock.now - 1)
    clock = Clock()
    clock.now += DAY_S - 2
    again = await reopened(store, clock)
    assert again.starts() == {"demo/ann": [("", Clock.now - 1)]}
    clock.now += 2
    again = await reopened(again, clock)
    assert again.starts() == {}
    await again.close()


async def test_a_full_disk_is_told_once_and_tried_again(store: Store, logged: list[str]) -> None:
    await store.flush()
    cursor = await store._db.execute("PRAGMA page_count")
    (pages,) = await cursor.fetchone() or (0,)
    await store._db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite then says SQLITE_FULL, as on a full disk
    for number in range(2000):
        store.save_account(f"demo/{number}", "ready", "x" * 50)
        if number % 500 == 0:
            await store.flush()
    await store.flush()
    told = [line for line in logged if "could not be written" in line]
    assert len(told) == 1
    assert "free some space" in told[0]
    await store._db.execute("PRAGMA max_page_count = 1000000")
    store.save_account("demo/last", "ready", "")
    await store.flush()
    assert any("is written again" in line for line in logged)
    again = await reopened(store)
    assert len(again.accounts()) == 2001
    await again.close()


async def test_a_change_that_cannot_be_written_holds_nothing_up(store: Store, logged: list[str]) -> None:
    bad = TurnRow("demo", "ann", "c1", "\ud800", "", "")
    store.put_conversation(ROW, bad)
    store.save_account("demo/ann", "ready", "")
    again = await reopened(store)
    assert again.accounts().keys() == {"demo/ann"}
    assert again.take_conversations() == ([], []), "half a change was written"
    assert any("left out" in line for line in logged)
    await again.close()


def do_damage(file: Path, damage: str) -> bytes:
    content = file.read_bytes()
    if damage == "middle":
        file.write_bytes(content[:4096] + b"\xff" * (len(content) - 8192) + content[-4096:])
    elif damage == "tables":
        sql(file, "DROP TABLE turns")
    else:
        file.write_text(damage)
    return file.read_bytes()


def sql(file: Path, statement: str) -> bytes:
    """Run a statement as another program would; returns the file's bytes afterwards."""
    db = sqlite3.connect(file, isolation_level=None)
    db.execute(statement)
    db.close()
    return file.read_bytes()


@pytest.mark.parametrize("damage", ["not a database at all " * 300, "", "middle", "tables"])
async def test_a_damaged_file_is_put_aside(file: Path, damage: str, logged: list[str]) -> None:
    first = await Store.open(file)
    for number in range(500):
        first.save_account(f"demo/{number}", "ready", "x" * 100)
    await first.close()
    damaged = do_damage(file, damage)
    file.with_name("relay.db.damaged-1").write_text("an earlier one")
    again = await Store.open(file)
    assert again.accounts() == {}
    again.save_account("demo/ann", "ready", "")
    await again.close()
    aside = file.with_name("relay.db.damaged-2")
    if damage:
        assert aside.read_bytes() == damaged
        assert sum("put aside as relay.db.damaged-2" in line for line in logged) == 1
    else:
        assert not aside.exists(), "an empty file is a new one"
    third = await Store.open(file)
    assert third.accounts().keys() == {"demo/ann"}
    await third.close()


async def test_a_newer_file_is_left_alone(file: Path) -> None:
    await (await Store.open(file)).close()
    before = sql(file, f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    with pytest.raises(BadRequest, match="Update relay"):
        await Store.open(file)
    assert sql(file, "SELECT 1") == before


async def test_a_file_that_cannot_be_opened_is_a_plain_error(tmp_path: Path) -> None:
    (tmp_path / "relay.db").mkdir()
    with pytest.raises(BadRequest, match="cannot be opened"):
        await Store.open(tmp_path / "relay.db")


async def test_after_closing_nothing_breaks(store: Store) -> None:
    store.put_conversation(ROW)
    await store.close()
    store.put_conversation(ROW)
    await store.flush()
    await store.close()
    assert "closed=True" in repr(store)


WRITER = dedent(
    """
    import asyncio, sys
    from pathlib import Path
    from relay.pool.rows import ConversationRow, TurnRow
    from relay.pool.store import Store

    async def main():
        store = await Store.open(Path(sys.argv[1]))
        number = max((int(row.id) for row in store.take_conversations()[0]), default=0)
        while True:
            number += 1
            text = str(number) * 50
            row = ConversationRow("demo", "ann", str(number), text, text, number, number)
            store.put_conversation(row, *(TurnRow("demo", "ann", str(number), f"{n}", text, text) for n in range(3)))
            if number % 7 == 0:
                store.drop_conversation(row)
            if number % 10 == 0:
                await store.flush()
                print(number, flush=True)

    asyncio.run(main())
    """
)


def write_until_killed(file: Path, lines: int) -> int:
    """Let a process write in a loop, kill it as it goes on after so many flushes; returns what it had flushed."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for _ in range(lines):
            flushed = int(child.stdout.readline())
        child.kill()
    return flushed


async def test_killed_at_any_moment_it_holds_whole_rows_only(file: Path, logged: list[str]) -> None:
    for number in range(6):
        flushed = write_until_killed(file, number + 1)
        copy = file.parent.with_name(f"copy-{number}")
        shutil.copytree(file.parent, copy)  # the next child opens what the kill left, and so do we
        store = await Store.open(copy / "relay.db")
        rows, turns = store.take_conversations()
        await store.close()
        for row in rows:
            assert row == ConversationRow("demo", "ann", row.id, row.id * 50, row.id * 50, int(row.id), int(row.id))
        assert {int(row.id) for row in rows} >= {n for n in range(1, flushed + 1) if n % 7}, "what was flushed is gone"
        of = [turn.conversation for turn in turns]
        assert sorted(of) == sorted(row.id for row in rows for _ in range(3)), "half a change was written"
    assert not logged
