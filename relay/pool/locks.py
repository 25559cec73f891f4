"""Locks between processes: one process opens an account, one server uses a home.

They are the operating system's own (flock), so they end with the process that holds them, however it dies, and a lock
file that was left or copied locks nothing.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from relay.errors import BadRequest, NoAccount, RelayError


class ProcessLock:
    """A lock file that holds the process id of its holder. Use as a context manager, or `acquire` and `release`."""

    def __init__(self, file: Path) -> None:
        self.file = file
        # No soft fallback: on a file system without flock it would outlive its process, and go with a copy.
        self._lock = FileLock(
            file,
            mode=0o600,
            thread_local=False,
            blocking=False,
            fallback_to_soft=False,
            preserve_lock_file=True,
            on_acquired=_sign,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.file} {'held' if self.held else 'free'}>"

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._lock.is_locked

    def acquire(self) -> None:
        """Take the lock, without waiting; nothing happens if this object holds it.

        Raises what `refusal` says if another holds it (this process too), BadRequest if files cannot be locked there.
        """
        if self.held:
            return
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock.acquire()
        except Timeout:
            raise self.refusal(self._holder()) from None
        except OSError as error:
            raise BadRequest(f"{self.file} cannot be locked: {error.strerror or error}.") from None

    def free(self) -> bool:
        """Whether nobody holds the lock now."""
        try:
            self.acquire()
        except RelayError:
            return False
        self.release()
        return True

    def release(self) -> None:
        """Give the lock back; nothing happens if it is not held."""
        if self.held:
            self._lock.release()

    def refusal(self, holder: str) -> RelayError:
        """What to raise when `holder` ("pid 12") has the lock."""
        raise NotImplementedError

    def _holder(self) -> str:
        try:
            found = re.match(rb"\d{1,10}", self.file.read_bytes()[:16])
        except OSError:  # it may be another user's: then only the number is missing in the message
            found = None
        return f"pid {found[0].decode()}" if found else "its pid is unknown"

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class AccountLock(ProcessLock):
    """`<account's folder>/.lock`: no two processes open one account."""

    def refusal(self, holder: str) -> NoAccount:
        """The account is in use."""
        return NoAccount(f"Another process ({holder}) has the account {self.file.parent} open: stop it first.")


class HomeLock(ProcessLock):
    """`<home>/relay.lock`: one server per home."""

    def refusal(self, holder: str) -> NoAccount:
        """The home is in use: none of its accounts is to be had."""
        return NoAccount(
            f"Another relay server ({holder}) runs already and uses this home, {self.file.parent}: "
            "stop it, or set RELAY_HOME."
        )


def lock_home(home: Path) -> HomeLock:
    """Take the lock of a home, which is made if it is missing. Raises NoAccount if another server uses it."""
    lock = HomeLock(home / "relay.lock")
    lock.acquire()
    return lock


def _sign(descriptor: int) -> None:
    """Write who holds the lock."""
    os.truncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())
