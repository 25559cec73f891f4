"""The test-bed: a home with logged-in accounts, and `relay serve` as a process of its own on it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.client import BenchError, Relay
from scripts.benchmarks.processes import at_rest, stat_of, tree
from tests.replicas import Answer, Piece, Replicas, Scenario
from tests.replicas.kimi import storage_state

USER = "bench"
"""The account that is measured; the straight client is logged in as it too."""
TOKEN_TTL_S = 3600.0
START_S = 60.0
STOP_S = 30.0
CHECK_S = 240.0
POLL_S = 0.25
WIDEST = 32


def scenario(count: int, gap_ms: float) -> Scenario:
    """`count` marked pieces, the first at once and each other `gap_ms` after the one before."""
    pieces = [Piece(text=f"piece {number} ", after_ms=gap_ms if number else 0) for number in range(count)]
    return Scenario(answer=Answer(pieces=pieces), stamp=True, access_ttl_s=TOKEN_TTL_S)


def expected_text(count: int) -> str:
    """The text of `scenario` without its marks."""
    return "".join(f"piece {number} " for number in range(count))


@dataclass(frozen=True, slots=True)
class Subject:
    """One way to run the relay."""

    driver: str
    direct: bool

    @property
    def name(self) -> str:
        """As `--only` takes it."""
        return f"{self.driver}-{'socket' if self.direct else 'pipe'}"


def make_home(folder: Path, accounts: int) -> None:
    """A home with so many accounts, each with a cookie and tokens in localStorage; the first is `USER`."""
    for number in range(accounts):
        user = USER if number == 0 else f"idle-{number:03}"
        account = folder / "browser_profiles" / "kimi" / user
        account.mkdir(parents=True)
        (account / "account.toml").write_text(f"[limits]\nconcurrency = {WIDEST}\n")
        (account / "state.json").write_text(json.dumps(storage_state(user, access_ttl_s=TOKEN_TTL_S)))


class Server:
    """A running `relay serve`."""

    def __init__(self, process: asyncio.subprocess.Process, log: deque[str]) -> None:
        self._process = process
        self._log = log
        self.relay: Relay
        self.began_ns = time.time_ns()

    @property
    def pid(self) -> int:
        """The root of its process tree."""
        return self._process.pid

    def last_words(self) -> str:
        """The end of its log."""
        return "\n".join(self._log)

    async def all_ready(self) -> float:
        """Wait until every account has been checked and found live; seconds since the process began."""
        states = ["new"]
        for _ in range(int(CHECK_S / POLL_S)):
            states = await self.relay.accounts()
            if "new" not in states:
                break
            await asyncio.sleep(POLL_S)  # the server has no way to tell
        if dead := [state for state in states if state not in ("ready", "busy")]:
            raise BenchError(f"{len(dead)} of {len(states)} accounts are not ready: {set(dead)}\n{self.last_words()}")
        return (time.time_ns() - self.began_ns) / 1e9

    async def rest(self) -> None:
        """Wait until the whole tree has nothing to do."""
        if not await at_rest(self.pid):
            raise BenchError(f"the relay does not come to rest\n{self.last_words()}")


def _environment(home: Path, replicas: Replicas, subject: Subject) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("RELAY_", "PYTHON"))}
    return own | {
        "RELAY_HOME": str(home),
        "RELAY_HOST": "127.0.0.1",
        "RELAY_PORT": "0",
        "RELAY_BROWSER__HOST_RULES": replicas.host_rules,
        "RELAY_BROWSER__TRUSTED_SPKI": replicas.spki,
        "RELAY_BROWSER__DIRECT_CDP": str(subject.direct).lower(),
        "RELAY_BROWSER__MAX_OPEN_TABS": str(WIDEST + 4),
        "RELAY_SITES__KIMI__DRIVERS": subject.driver,
        # What clients left is not deleted in the middle of what is measured next.
        "RELAY_KEEPER__DELETE_GAP_S": "3600",
    }


@asynccontextmanager
async def serving(replicas: Replicas, subject: Subject, *, accounts: int = 1) -> AsyncIterator[Server]:
    """`relay serve` from its start to its end, with a fresh home; yielded once it listens."""
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        home = Path(name)
        make_home(home, accounts)
        log: deque[str] = deque(maxlen=60)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "relay", "serve"),
            cwd=home,
            env=_environment(home, replicas, subject),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        server = Server(process, log)
        listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        reading = asyncio.create_task(_read_log(process, log, listening))
        try:
            async with asyncio.timeout(START_S):
                server.relay = Relay(await listening)
            yield server
            await server.relay.close()
        finally:
            await _stop(process)
            await reading


async def _read_log(process: asyncio.subprocess.Process, log: deque[str], listening: asyncio.Future[str]) -> None:
    assert process.stderr is not None
    async for raw in process.stderr:
        line = raw.decode("utf-8", "replace").rstrip()
        log.append(line)
        if "listening on http" in line and not listening.done():
            listening.set_result(line.rpartition(" ")[2])
    if not listening.done():
        listening.set_exception(BenchError("relay serve ended:\n" + "\n".join(log)))


async def _stop(process: asyncio.subprocess.Process) -> None:
    """End the server in order; whatever is left of its tree is killed by its pid."""
    below = tree(process.pid)
    with suppress(ProcessLookupError):
        process.terminate()
    with suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), STOP_S)
    for pid, before in below.items():
        now = stat_of(pid)
        if now is not None and now.born == before.born:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    await process.wait()
