"""An account for a command: its lock, handed over by the running server if there is one, and given back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from relay.cli.console import say
from relay.cli.server import ServerClient
from relay.errors import AccountNotFound, NoAccount
from relay.pool.profiles import Profile

HANDED_OVER_S = 10.0


@contextmanager
def borrowed(profile: Profile, server: ServerClient | None) -> Iterator[None]:
    """Nobody else has the account open inside the block. A server takes it up afterwards, changed as it is.

    Raises NoAccount where another process (no server of this home) has it.
    """
    path = f"/admin/api/accounts/{profile.site}/{profile.account}"
    lent = server is not None and _lend(server, path)
    try:
        _await_lock(profile)
        yield
    finally:
        if server is not None and profile.folder.is_dir():
            server.post(f"{path}/{'take-back' if lent else 'take-up'}")


def _lend(server: ServerClient, path: str) -> bool:
    """Whether the server had the account; it lets answers in flight end first."""
    say("waiting for the server to hand the account over…")
    try:
        server.post(f"{path}/lend")
    except AccountNotFound:
        return False
    return True


def _await_lock(profile: Profile) -> None:
    """Until the lock is free; whoever let go of it may have done so a moment ago. Raises NoAccount."""
    end = time.monotonic() + HANDED_OVER_S
    while True:
        try:
            with profile.lock():
                return
        except NoAccount:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)  # the system's file locks call nobody
