"""The shelf of kept answers: its bounds, its clock, and what befalls its file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from relay.api.kept import Kept, Shelf
from relay.errors import BadRequest, PreviousResponseNotFound, ResponseNotFound

HOUR_S = 3600.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def shelf(tmp_path: Path, clock: Clock) -> AsyncIterator[Shelf]:
    made = Shelf(tmp_path / "responses.db", keep_s=HOUR_S, most_bytes=100_000, clock=clock)
    yield made
    await made.aclose()


def answer(name: str, previous: str | None = None, text: str = "", caller: str = "me") -> Kept:
    body: dict[str, Any] = {"id": name, "previous_response_id": previous, "text": text}
    return Kept(caller, body, [{"id": f"in-{name}"}])


async def has(shelf: Shelf, name: str) -> bool:
    try:
        return bool((await shelf.get(name, "me")).body["id"] == name)
    except ResponseNotFound:
        return False


async def test_found_at_once(shelf: Shelf) -> None:
    for number in range(20):
        shelf.keep(answer(str(number)))
        assert await shelf.get(str(number), "me") == answer(str(number))


async def test_time_ends_it(shelf: Shelf, clock: Clock) -> None:
    shelf.keep(answer("a"))
    clock.now += HOUR_S - 1
    assert await has(shelf, "a")
    clock.now += 1
    assert not await has(shelf, "a")
    with pytest.raises(PreviousResponseNotFound):
        await shelf.chain("a", "me", 10_000)
    with pytest.raises(ResponseNotFound):
        await shelf.delete("a", "me")


async def test_a_chain_stays_together(shelf: Shelf, clock: Clock) -> None:
    shelf.keep(answer("a"))
    previous = "a"
    for name in ("b", "c", "d"):
        clock.now += HOUR_S / 2
        assert (await shelf.chain(previous, "me", 100_000))[-1].body["id"] == previous
        shelf.keep(answer(name, previous))
        previous = name
    assert [kept.body["id"] for kept in await shelf.chain("d", "me", 100_000)] == ["a", "b", "c", "d"]
    clock.now += HOUR_S
    with pytest.raises(PreviousResponseNotFound):
        await shelf.chain("d", "me", 100_000)


async def test_a_long_chain(shelf: Shelf) -> None:
    for number in range(60):
        shelf.keep(answer(str(number), str(number - 1) if number else None))
    assert len(await shelf.chain("59", "me", 100_000)) == 60


async def test_the_quota(shelf: Shelf, clock: Clock) -> None:
    for number in range(12):
        clock.now += 1
        shelf.keep(answer(str(number), text="x" * 10_000))
        assert await has(shelf, str(number))
    kept = [number for number in range(12) if await has(shelf, str(number))]
    assert kept == list(range(kept[0], 12)), "the oldest go"
    assert 7 <= len(kept) <= 9
    shelf.keep(answer("too large", text="x" * 200_000))
    assert not await has(shelf, "too large")
    shelf.keep(answer("after"))
    assert await has(shelf, "after")


async def test_their_number_is_bounded_too(shelf: Shelf, clock: Clock) -> None:
    for number in range(500):
        clock.now += 1
        shelf.keep(answer(str(number)))
    assert await has(shelf, "499")
    assert sum([await has(shelf, str(number)) for number in range(500)]) < 100


async def test_what_is_deleted_is_gone_from_the_file(shelf: Shelf) -> None:
    secret = "a word that stands nowhere else"
    shelf.keep(answer("a", text=secret))
    assert await has(shelf, "a")
    await shelf.delete("a", "me")
    await shelf.aclose()
    assert shelf.file is not None
    assert secret.encode() not in shelf.file.read_bytes()


async def test_a_damaged_file_is_put_aside(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "responses.db").write_bytes(b"no database" * 1000)
    shelf.keep(answer("a"))
    assert await has(shelf, "a")
    assert (tmp_path / "responses.db.damaged-1").exists()


async def test_a_file_of_a_newer_relay(shelf: Shelf, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "responses.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    shelf.keep(answer("a"))
    with pytest.raises(BadRequest, match="newer relay"):
        await shelf.get("a", "me")
    (tmp_path / "responses.db").unlink()
    shelf.keep(answer("b"))
    assert await has(shelf, "b"), "once it is mended"


async def test_callers_that_leave_do_no_harm(shelf: Shelf) -> None:
    shelf.keep(answer("a"))
    asking = [asyncio.create_task(shelf.get("a", "me")) for _ in range(5)]
    await asyncio.sleep(0)
    for task in asking[1:]:
        task.cancel()
    assert (await asking[0]).body["id"] == "a"
    assert await has(shelf, "a")


async def test_closing_writes_what_is_left(tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "responses.db"
    first = Shelf(file, keep_s=HOUR_S, most_bytes=100_000, clock=clock)
    first.keep(answer("a"))
    await first.aclose()
    first.keep(answer("late"))
    second = Shelf(file, keep_s=HOUR_S, most_bytes=100_000, clock=clock)
    assert await has(second, "a")
    assert not await has(second, "late")
    await second.aclose()
    await Shelf(file, keep_s=HOUR_S, most_bytes=1).aclose()


async def test_in_memory(tmp_path: Path) -> None:
    shelf = Shelf(None, keep_s=HOUR_S, most_bytes=100_000)
    shelf.keep(answer("a"))
    shelf.keep(answer("b", "a"))
    assert [kept.body["id"] for kept in await shelf.chain("b", "me", 100_000)] == ["a", "b"]
    with pytest.raises(PreviousResponseNotFound):
        await shelf.chain("b", "somebody else", 100_000)
    await shelf.aclose()
