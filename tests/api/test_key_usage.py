"""What keys were used for, and chats at once."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from relay import cli
from relay.api.auth import Keys
from relay.api.key_usage import Counts, KeyUsage, Meter, read_counts
from relay.api.keys import Holder, KeyFile, digest, id_of
from relay.chat.events import Event, Finished, Text
from relay.chat.usage import Usage
from relay.errors import BadRequest, RateLimited
from relay.settings import Settings
from tests.api import pool as scripts
from tests.api.conftest import Served
from tests.api.pool import ScriptedChat
from tests.api.raw import CHAT, body, error_of

HOLDER = Holder("key-" + "a" * 12, concurrency=2)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def usage_in(home: Path, **known: bool) -> KeyUsage:
    return KeyUsage(home, lambda: {id * 12: static for id, static in known.items()}, lambda: 1234.5)


# Chats at once


def test_so_many_at_once(tmp_path: Path) -> None:
    usage = usage_in(tmp_path)
    first, second = usage.begin(HOLDER), usage.begin(HOLDER)
    with pytest.raises(RateLimited) as refused:
        usage.begin(HOLDER)
    assert refused.value.retry_after_s
    other = Holder("key-" + "b" * 12, concurrency=1)
    usage.begin(other)
    second.end(Usage(1, 1), failed=False)
    second.end(Usage(1, 1), failed=False)  # a second time means nothing
    third = usage.begin(HOLDER)
    with pytest.raises(RateLimited):
        usage.begin(HOLDER)
    for meter in (first, third):
        meter.end(Usage(0, 0), failed=True)
    usage.begin(HOLDER, chats=2)


def test_more_than_ever_is_no_matter_of_waiting(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="2 chats at once"):
        usage_in(tmp_path).begin(HOLDER, chats=3)


def test_what_cannot_begin_makes_room(tmp_path: Path) -> None:
    usage = usage_in(tmp_path)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), usage.begin(HOLDER, chats=2).beginning():
            raise ZeroDivisionError
    assert usage.counts["a" * 12] == Counts(chats=6, errors=3, last_used=1234)


@pytest.mark.parametrize("holder", [None, Holder("local")])
def test_without_a_key_nothing_is_counted(tmp_path: Path, holder: Holder | None) -> None:
    usage = usage_in(tmp_path)
    meter: Meter = usage.begin(holder)
    meter.end(Usage(5, 5), failed=False)
    assert usage.counts == {}


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """`demo` says `begun`, and ends once the gate is set or it is cancelled."""
    opened = threading.Event()

    async def script(chat: ScriptedChat) -> AsyncIterator[Event]:
        yield Text("begun")
        while not (opened.is_set() or chat.cancelled.is_set()):
            await asyncio.to_thread(opened.wait, 0.05)
        yield Finished("stop")

    monkeypatch.setitem(scripts.SCRIPTS, "demo", script)
    yield opened
    opened.set()


def test_one_at_a_time_through_the_api(serve: Callable[..., Served], gate: threading.Event) -> None:
    served = serve()
    key, _ = KeyFile(served.settings.home).create(concurrency=1)
    free, _ = KeyFile(served.settings.home).create()
    with served.client(headers=bearer(key)) as http:
        with http.stream("POST", CHAT, json=body(stream=True)) as first:
            lines = first.iter_lines()
            assert any("begun" in line for line in lines)
            refused = http.post(CHAT, json=body())
            error_of(refused, 429, "rate_limit_exceeded")
            assert int(refused.headers["retry-after"]) >= 1
            with http.stream("POST", CHAT, json=body(stream=True), headers=bearer(free)) as other:
                assert other.status_code == 200
            gate.set()
            list(lines)
        for stream in (True, False) * 5:  # what has its answer whole has room for the next one
            assert http.post(CHAT, json=body(stream=stream)).status_code == 200
        for model in ("demo/early-failure", "demo/full", "demo/cut"):
            assert http.post(CHAT, json=body(model)).status_code >= 429
            assert http.post(CHAT, json=body()).status_code == 200


# Counters


def test_what_is_counted(serve: Callable[..., Served]) -> None:
    served = serve(api_keys=["mine"])
    key, stored = KeyFile(served.settings.home).create()
    asked = body()
    with served.client() as http:
        for _ in range(2):
            whole = http.post(CHAT, json=asked, headers=bearer(key)).json()["usage"]
        http.post(CHAT, json=body("demo/cut", stream=True), headers=bearer(key))
        http.post(CHAT, json=body("demo/limited"), headers=bearer(key))
        http.post(CHAT, json=body("demo/full"), headers=bearer("mine"))
        error_of(http.post(CHAT, json=body("nothing"), headers=bearer("mine")), 404, "model_not_found")
    counts = served.app.state.key_usage.counts
    mine, theirs = counts[id_of(digest("mine"))], counts[stored.id]
    assert (theirs.chats, theirs.errors) == (4, 2)
    assert theirs.prompt_tokens == 4 * whole["prompt_tokens"]
    half = -(-len("half an ans") // 4)
    assert theirs.completion_tokens == 2 * whole["completion_tokens"] + half
    assert theirs.last_used > 1_700_000_000
    assert (mine.chats, mine.errors) == (1, 1)
    assert set(counts) == {stored.id, id_of(digest("mine"))}


def test_a_client_that_leaves_is_no_error(serve: Callable[..., Served], gate: threading.Event) -> None:
    served = serve()
    key, stored = KeyFile(served.settings.home).create(concurrency=1)
    with (
        served.client() as http,
        http.stream("POST", CHAT, json=body(stream=True), headers=bearer(key)) as answer,
    ):
        assert any("begun" in line for line in answer.iter_lines())
    assert served.pool.last.ended.wait(10)
    served.stop_serving()
    counts = read_counts(served.settings.home)[stored.id]
    assert (counts.chats, counts.errors) == (1, 0) and counts.completion_tokens > 0


def test_counters_outlive_the_server(tmp_path: Path) -> None:
    file = tmp_path / "key-usage.json"
    key, stored = KeyFile(tmp_path).create()
    for chats in (1, 2):
        served = Served(home=tmp_path, api_keys=["mine"])
        with served.client() as http:
            for one in (key, "mine"):
                assert http.post(CHAT, json=body(), headers=bearer(one)).status_code == 200
        served.stop()
        counts = read_counts(tmp_path)
        assert counts[stored.id].chats == counts[id_of(digest("mine"))].chats == chats
        assert (counts[stored.id].static, counts[id_of(digest("mine"))].static) == (False, True)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert key not in file.read_text() and "mine" not in file.read_text()


async def test_the_file_forgets_keys_that_are_gone(tmp_path: Path) -> None:
    async with usage_in(tmp_path, a=False) as usage:
        for id in "ab":
            usage.begin(Holder(f"key-{id * 12}")).end(Usage(1, 2), failed=False)
    assert read_counts(tmp_path) == {"a" * 12: Counts(chats=1, prompt_tokens=1, completion_tokens=2, last_used=1234)}


async def test_nothing_new_is_not_written(tmp_path: Path) -> None:
    async with usage_in(tmp_path, a=False):
        pass
    assert not (tmp_path / "key-usage.json").exists()


GOOD = Counts(chats=1).model_dump()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        json.dumps({"version": 2, "keys": {}}).encode(),
        json.dumps({"version": 1, "keys": {"../x": GOOD}}).encode(),
        json.dumps({"version": 1, "keys": {"a" * 12: {**GOOD, "chats": -1}}}).encode(),
        json.dumps({"version": 1, "keys": {"a" * 12: {**GOOD, "chats": "1"}}}).encode(),
        json.dumps({"version": 1, "keys": {"a" * 12: {**GOOD, "more": 1}}}).encode(),
    ],
)
def test_a_damaged_file_is_said_and_stops_no_server(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key-usage.json").write_bytes(content)
    with pytest.raises(BadRequest, match="damaged"):
        read_counts(tmp_path)
    assert usage_in(tmp_path).counts == {}


def test_known_ids(tmp_path: Path) -> None:
    _, stored = KeyFile(tmp_path).create()
    keys = Keys.of(Settings(_env_file=None, home=tmp_path, api_keys=[SecretStr("mine")]))
    assert keys.known_ids() == {stored.id: False, id_of(digest("mine")): True}


# The command


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """`relay keys …` on `tmp_path`: (exit status, output, errors)."""
    for name in [name for name in os.environ if name.startswith("RELAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("RELAY_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def execute(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = cli.run(["keys", *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return execute


async def test_the_list_shows_them(tmp_path: Path, keys: Callable[..., tuple[int, str, str]]) -> None:
    made = json.loads(keys("create", "--name", "Anna", "--concurrency", "3", "--rpm", "20", "--json")[1])
    assert made["concurrency"] == 3
    known = {made["id"]: False, "b" * 12: True}
    async with KeyUsage(tmp_path, lambda: known, lambda: 86_400 * 365) as usage:
        for id in known:
            usage.begin(Holder(f"key-{id}")).end(Usage(111, 222), failed=True)
    counted = {"chats": 1, "errors": 1, "prompt_tokens": 111, "completion_tokens": 222, "last_used": 86_400 * 365}
    stored, static = json.loads(keys("list", "--json")[1])
    assert stored["usage"] == static["usage"] == counted
    assert (stored["name"], static["name"]) == ("Anna", "RELAY_API_KEYS")
    assert (stored["static"], static["static"]) == (False, True)
    table = keys("list")[1]
    assert "20 a minute, 3 at once" in table and "111 + 222 tokens" in table and "1971-01-01" in table
    assert "RELAY_API_KEYS" in table


def test_the_list_without_its_counters(tmp_path: Path, keys: Callable[..., tuple[int, str, str]]) -> None:
    keys("create")
    assert "never" in keys("list")[1]
    (tmp_path / "key-usage.json").write_text("half a f")
    status, listed, complaint = keys("list")
    assert status == 0 and "never" in listed and "damaged" in complaint
