"""The store on disk: modes, quota, expiry, and what a kill leaves."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay.api.file_store import LEAST_BYTES, FileStore, StoredFile
from relay.errors import BadRequest, FileNotFound, TooLarge
from relay.settings import FilesSettings, Settings

MIB = 1 << 20
ME, OTHER = "key-0123456789ab", "local"


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def opened(home: Path, clock: Clock, **files: float) -> FileStore:
    settings = Settings(_env_file=None, home=home, files=FilesSettings.model_validate(files))
    return FileStore(settings, now=clock)


def add(store: FileStore, data: bytes = b"text", caller: str = ME, *, keep_s: float | None = None) -> StoredFile:
    return store.add(caller, io.BytesIO(data), filename="a.txt", mime="", purpose="user_data", keep_s=keep_s)


def on_disk(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def test_modes_and_places(tmp_path: Path, clock: Clock) -> None:
    before = os.umask(0)
    try:
        stored = add(opened(tmp_path, clock), b"secret")
    finally:
        os.umask(before)
    assert re.fullmatch(r"file-[A-Za-z0-9_-]{24}", stored.id)
    assert on_disk(tmp_path) == [f"files/{ME}/{stored.id}", f"files/{ME}/{stored.id}.json"]
    for path in (tmp_path / "files").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert stat.S_IMODE((tmp_path / "files").stat().st_mode) == 0o700


def test_a_store_that_nobody_uses_leaves_no_folder(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, clock)
    assert store.all_of(ME) == []
    assert on_disk(tmp_path) == [] and not (tmp_path / "files").exists()


def test_it_is_there_after_a_restart(tmp_path: Path, clock: Clock) -> None:
    first = opened(tmp_path, clock)
    kept = [add(first, bytes([65 + number]) * 10) for number in range(3)]
    second = opened(tmp_path, clock)
    assert [file.id for file in second.all_of(ME)] == sorted(file.id for file in kept)
    assert second.get(ME, kept[0].id) == kept[0]
    assert second.read(kept[1]) == b"B" * 10
    assert repr(second) == repr(first)


def test_callers_do_not_see_each_other(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, clock)
    mine = add(store)
    assert store.all_of(OTHER) == []
    for wrong in (OTHER, "", "../" + ME):
        with pytest.raises(FileNotFound):
            store.get(wrong, mine.id)
        with pytest.raises(FileNotFound):
            store.delete(wrong, mine.id)
    assert store.get(ME, mine.id) == mine


@pytest.mark.parametrize(
    "hostile", ["", ".", "..", "../keys.json", "file-", "/etc/passwd", "a\0b", "file-" + "x" * 9999]
)
def test_hostile_ids(tmp_path: Path, clock: Clock, hostile: str) -> None:
    store = opened(tmp_path, clock)
    add(store)
    with pytest.raises(FileNotFound) as caught:
        store.get(ME, hostile)
    assert len(caught.value.message) < 300
    with pytest.raises(FileNotFound):
        store.delete(ME, hostile)
    assert len(on_disk(tmp_path)) == 2


def test_the_quota(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, clock, quota_mib=3)
    files = [add(store, bytes(MIB), caller) for caller in (ME, OTHER)]
    with pytest.raises(TooLarge, match=r"of the 3 MiB .* 1\.0 are left.*DELETE /v1/files/"):
        add(store, bytes(MIB + 1))
    add(store, bytes(MIB - LEAST_BYTES))
    add(store, b"small files count as what they take on disk")
    with pytest.raises(TooLarge):
        add(store)
    again = opened(tmp_path, clock, quota_mib=3)
    with pytest.raises(TooLarge):
        add(again)
    again.delete(OTHER, files[1].id)
    add(again, bytes(MIB))


def test_a_file_that_is_too_large(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, clock, max_file_mib=1)
    with pytest.raises(TooLarge, match="RELAY_FILES__MAX_FILE_MIB"):
        add(store, bytes(MIB + 1))
    with pytest.raises(BadRequest, match="empty"):
        add(store, b"")
    assert on_disk(tmp_path) == []


def test_expiry(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, clock, keep_s=1000)
    long, short, asked_more = add(store), add(store, keep_s=100), add(store, keep_s=5000)
    assert asked_more.expires == long.expires == clock.now + 1000
    clock.now += 100
    with pytest.raises(FileNotFound, match="expired"):
        store.get(ME, short.id)
    assert short not in store.all_of(ME)
    assert len(on_disk(tmp_path)) == 4, "its bytes are gone too"
    clock.now += 900
    opened(tmp_path, clock)
    assert on_disk(tmp_path) == [], "a start removes what has expired since"


def test_a_read_that_fails_leaves_nothing(tmp_path: Path, clock: Clock) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > MIB:
                raise OSError("the disk is gone")
            return super().read(size)

    store = opened(tmp_path, clock, quota_mib=4)
    with pytest.raises(OSError, match="gone"):
        store.add(ME, Broken(bytes(3 * MIB)), filename="", mime="", purpose="user_data")
    assert on_disk(tmp_path) == []
    add(store, bytes(4 * MIB))


def test_what_a_kill_leaves_is_swept(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, clock)
    kept = add(store)
    folder = tmp_path / "files" / ME
    (folder / f"file-{'a' * 24}").write_bytes(b"without a record")
    (folder / f".file-{'a' * 24}.json.abcd1234.tmp").write_bytes(b"{")
    assert [file.id for file in opened(tmp_path, clock).all_of(ME)] == [kept.id]
    assert on_disk(tmp_path) == [f"files/{ME}/{kept.id}", f"files/{ME}/{kept.id}.json"]


def test_damaged_files_are_not_served_and_not_lost(tmp_path: Path, clock: Clock) -> None:
    store = opened(tmp_path, clock)
    cut, odd, moved = add(store, b"12345"), add(store), add(store)
    folder = tmp_path / "files" / ME
    (folder / cut.id).write_bytes(b"123")
    (folder / f"{odd.id}.json").write_bytes(b"{")
    record = json.loads((folder / f"{moved.id}.json").read_text())
    (folder / f"{moved.id}.json").write_text(json.dumps({**record, "caller": OTHER}))
    assert opened(tmp_path, clock).all_of(ME) == []
    assert len(on_disk(tmp_path)) == 6


WRITER = """
import io, sys
from pathlib import Path
from relay.api.file_store import FileStore
from relay.settings import Settings
store = FileStore(Settings(_env_file=None, home=Path(sys.argv[1])))
while True:
    print(store.add("local", io.BytesIO(bytes(300_000)), filename="a", mime="", purpose="vision").id, flush=True)
"""


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("written", [1, 2, 5])
def test_killed_while_it_writes(tmp_path: Path, clock: Clock, writer: subprocess.Popen[str], written: int) -> None:
    assert writer.stdout is not None
    told = [writer.stdout.readline().strip() for _ in range(written)]
    writer.send_signal(signal.SIGKILL)
    told += writer.stdout.read().split()
    store = opened(tmp_path, Clock())
    there = store.all_of("local")
    assert {file.id for file in there} >= set(told), "what was acknowledged is there"
    assert all(store.read(file) == bytes(300_000) for file in there), "whole"
    assert len(on_disk(tmp_path)) == 2 * len(there), "and nothing else"
