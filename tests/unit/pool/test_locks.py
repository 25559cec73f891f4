"""Locks between real processes."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay.errors import BadRequest, NoAccount
from relay.pool.locks import ProcessLock, lock_home
from relay.pool.profiles import Profile

HOLDER = """
import subprocess, sys
from pathlib import Path
from relay.pool.locks import AccountLock, HomeLock
lock = {"account": AccountLock, "home": HomeLock}[sys.argv[1]](Path(sys.argv[2]))
lock.acquire()
child = subprocess.Popen(["sleep", "600"], close_fds=False)
print(child.pid, flush=True)
input()
lock.release()
print("released", flush=True)
input()
"""


@contextmanager
def holder(kind: str, file: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process that holds the lock until it reads a line, and the pid of a child that it started meanwhile."""
    command = [sys.executable, "-c", HOLDER, kind, str(file)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            yield process, child
        finally:
            process.kill()
            os.kill(child, signal.SIGKILL)


def account(folder: Path) -> Profile:
    return Profile("demo", "ann", folder)


def test_one_process_at_a_time_opens_an_account(tmp_path: Path) -> None:
    ours = account(tmp_path).lock()
    with holder("account", ours.file) as (other, _):
        with pytest.raises(NoAccount, match=rf"\(pid {other.pid}\).*{tmp_path.name}"):
            ours.acquire()
        assert not ours.held
        assert other.stdin is not None and other.stdout is not None
        print(file=other.stdin, flush=True)
        assert other.stdout.readline() == "released\n"
        with ours:
            assert ours.held
        assert not ours.held


def test_the_lock_of_a_killed_process_is_free_though_its_child_lives(tmp_path: Path) -> None:
    ours = account(tmp_path).lock()
    with holder("account", ours.file) as (other, child):
        with pytest.raises(NoAccount):
            ours.acquire()
        other.kill()
        other.wait()
        with ours:
            assert ours.held
            os.kill(child, 0)  # raises if it were gone


def test_two_holders_in_one_process_are_told_apart_too(tmp_path: Path) -> None:
    first, second = account(tmp_path).lock(), account(tmp_path).lock()
    with first, pytest.raises(NoAccount, match=f"pid {os.getpid()}"):
        second.acquire()
    with second:
        assert second.held


def test_acquire_and_release_may_be_called_twice(tmp_path: Path) -> None:
    ours, other = account(tmp_path).lock(), account(tmp_path).lock()
    ours.acquire()
    ours.acquire()
    ours.release()
    ours.release()
    with other:
        assert other.held


def test_a_lock_dropped_without_release_is_free(tmp_path: Path) -> None:
    account(tmp_path).lock().acquire()
    with account(tmp_path).lock() as ours:
        assert ours.held


def test_a_copy_of_a_locked_folder_is_not_locked(tmp_path: Path) -> None:
    with account(tmp_path / "ann").lock():
        shutil.copytree(tmp_path / "ann", tmp_path / "copy")
        with account(tmp_path / "copy").lock() as copied:
            assert copied.held


def test_one_server_per_home(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    with holder("home", home / "relay.lock") as (other, _):
        with pytest.raises(NoAccount, match=rf"Another relay server \(pid {other.pid}\) .*set RELAY_HOME"):
            lock_home(home)
        other.kill()
        other.wait()
        with lock_home(home) as ours:
            assert ours.held
            assert ours.file.read_text() == f"{os.getpid()}\n"
            assert stat.S_IMODE(ours.file.stat().st_mode) == 0o600


def test_where_files_cannot_be_locked_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    with pytest.raises(BadRequest, match=r"relay\.lock cannot be locked"):
        lock_home(tmp_path / "home")


def test_a_lock_file_without_a_number_is_still_a_lock(tmp_path: Path) -> None:
    with lock_home(tmp_path) as ours:
        ours.file.write_text("nonsense")
        with pytest.raises(NoAccount, match="its pid is unknown"):
            lock_home(tmp_path)


def test_the_state_of_a_lock_can_be_printed(tmp_path: Path) -> None:
    ours: ProcessLock = account(tmp_path).lock()
    assert repr(ours) == f"<AccountLock {tmp_path / '.lock'} free>"
    with ours:
        assert repr(ours) == f"<AccountLock {tmp_path / '.lock'} held>"
