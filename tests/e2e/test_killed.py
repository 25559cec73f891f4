"""The whole relay is killed in mid-load, again and again: what it had told its clients is still so after each start."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import stat
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from tests.e2e import accounts
from tests.e2e.client import ask
from tests.e2e.relay_server import RelayServer
from tests.e2e.stages import KimiStage
from tests.e2e.world import World
from tests.replicas import Answer, Fault, Scenario

SEED = int(os.environ.get("RELAY_KILL_SEED") or random.SystemRandom().randrange(10**6))
KILLED_AFTER_S = ((0.2, 1.4), (1.4, 2.8), (2.8, 4))
"""One kill within each, in any order; in the last, half of the talks have been at rest for longer than `MOMENT_S`."""
TALKS = 4
"""By site; half of them are at rest when the relay is killed, half are not."""
MOMENT_S = 2.0
"""What was said in the last moments before the kill may be forgotten."""
DEAD = ("chat", "refresh", "probe")
RECALL = Scenario(answer=Answer(echo=True, recall=True, count=4, gap_ms=30))


@dataclass
class Talk:
    """One client's dialogue."""

    model: str
    number: int
    messages: list[dict[str, str]] = field(default_factory=list)
    conversation: str = ""
    answered_s: float = 0.0
    torn: bool = False
    """Whether the relay was killed under its newest prompt: where that conversation stands, nobody knows."""

    async def go_on(self, client: httpx.AsyncClient) -> str:
        """One more turn; the conversation that it was in before."""
        before = self.conversation
        asked = [*self.messages, {"role": "user", "content": f"mark-{self.number}-{len(self.messages)}."}]
        self.torn = True
        answer = await client.post("/v1/chat/completions", json={"model": self.model, "messages": asked})
        assert answer.status_code == 200, answer.text
        said = answer.json()
        text = said["choices"][0]["message"]["content"]
        if self.model == "kimi":  # the site repeats every prompt of the conversation
            missing = [one["content"] for one in asked if one["role"] == "user" and one["content"] not in text]
            assert not missing, f"the site was not told {missing}"
        self.messages = [*asked, {"role": "assistant", "content": text}]
        self.conversation, self.answered_s, self.torn = said["conversation_id"], time.monotonic(), False
        return before

    async def keep_on(self, client: httpx.AsyncClient) -> None:
        """Turns without end, until the relay is gone."""
        try:
            while True:
                await self.go_on(client)
                if len(self.messages) > 12:
                    self.messages, self.conversation = [], ""
        except httpx.TransportError:
            return


def client_of(relay: RelayServer) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=relay.url, trust_env=False, timeout=60)


async def states(relay: RelayServer) -> dict[str, str]:
    """Accounts by name, and what they say of themselves; seconds left out."""
    async with client_of(relay) as client:
        told = (await client.get("/health")).json()["accounts"]
    idle = {"busy": "ready", "new": "ready"}  # a check or the end of a chat may be under way
    return {
        f"{one['site']}/{one['account']}": re.sub(r"\d+", "N", f"{idle.get(one['state'], one['state'])} {one['why']}")
        for one in told
    }


def killed(relay: RelayServer, temporary: Path) -> None:
    """kill -9 of the one process; all below it must follow by themselves."""
    below = relay.process.children()
    assert any("--type=renderer" in " ".join(one.cmdline()) for one in below)
    relay.process.interrupt(signal.SIGKILL)
    _, alive = psutil.wait_procs(below, timeout=30)
    left = [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    # Born between our look and the kill; a browser names the folder of its profile.
    left += [one for one in psutil.process_iter(["cmdline"]) if str(temporary) in " ".join(one.info["cmdline"] or ())]
    for one in left:
        one.kill()
    assert not left, f"left behind: {left}"
    relay.process.end()


def check_files(home: Path, tmp_path: Path) -> None:
    """Nothing is half written."""
    for file in home.glob("browser_profiles/*/*/state.json"):
        assert json.loads(file.read_text("utf-8")).keys() == {"cookies", "origins"}, file
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in home.glob("relay.db*"):
        shutil.copy(file, copy)
    with closing(sqlite3.connect(copy / "relay.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    shutil.rmtree(copy)


def names(home: Path) -> set[str]:
    return {str(file.relative_to(home)) for file in home.rglob("*") if file.is_file()}


async def nothing_left(home: Path, files: set[str]) -> None:
    """What killed writes left is gone; what is being written at this moment is there for a moment only."""
    for _ in range(100):
        if names(home) <= files:
            return
        await asyncio.sleep(0.05)
    assert names(home) <= files, "left over from writes that were killed"


async def refused(relay: RelayServer, *accounts: str) -> dict[str, str]:
    """Ask until each of these accounts has refused, and another answered; the states then."""
    while True:
        now = await states(relay)
        if not any(now[name].startswith("ready") for name in accounts):
            return now
        await asyncio.gather(*(ask(relay, "kimi", f"hi {number}") for number in range(3)))


async def under_load(relay: RelayServer, talks: Sequence[Talk], after_s: float, temporary: Path) -> float:
    """Half of the talks go on once, the others without end; then the kill. When it was."""
    resting, busy = talks[::2], talks[1::2]
    async with client_of(relay) as client:
        await asyncio.gather(*(talk.go_on(client) for talk in resting))
        load = [asyncio.create_task(talk.keep_on(client)) for talk in busy]
        await asyncio.wait(load, timeout=after_s)
        when_s = time.monotonic()
        await asyncio.to_thread(killed, relay, temporary)
        await asyncio.gather(*load)
    return when_s


async def checked_again(relay: RelayServer, talks: Sequence[Talk], killed_s: float) -> int:
    """Every talk goes on, and where the relay must know it, in its own conversation; how many those are."""
    sure = [talk for talk in talks if talk.messages and not talk.torn and killed_s - talk.answered_s > MOMENT_S]
    async with client_of(relay) as client:
        before = await asyncio.gather(*(talk.go_on(client) for talk in talks))
    known = dict(zip([id(talk) for talk in talks], before, strict=True))
    for talk in sure:
        assert talk.conversation == known[id(talk)], f"{talk} began anew"
    return len(sure)


@pytest.mark.timeout(240)
async def test_killed_in_mid_load(world: World, tmp_path: Path) -> None:
    print(f"RELAY_KILL_SEED={SEED}")
    dice = random.Random(SEED)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    relay = world.server("fetch", "demo kimi", TMPDIR=str(temporary))
    stage = world.kimi(relay)
    limited, dead = (KimiStage(world.replicas, f"{stage.account}-{name}") for name in ("limited", "dead"))
    for other in (limited, dead):
        accounts.kimi(relay.home, other.account)
    talks = [Talk(("demo", "kimi")[number % 4 // 2], number) for number in range(2 * TALKS)]
    await stage.set(RECALL)
    limit = Fault(kind="status", status=429, retry_after_s=3600, code="resource_exhausted")
    await limited.set(RECALL.model_copy(update={"faults": [limit]}))
    await dead.set(RECALL.model_copy(update={"faults": [Fault(kind="status", status=401, on=on) for on in DEAD]}))
    relay.__enter__()
    try:
        told = await refused(relay, f"kimi/{limited.account}", f"kimi/{dead.account}")
        files = names(relay.home) | {"relay.db", "relay.db-wal", "relay.db-shm"}
        sure = 0
        for earliest_s, latest_s in dice.sample(KILLED_AFTER_S, len(KILLED_AFTER_S)):
            killed_s = await under_load(relay, talks, dice.uniform(earliest_s, latest_s), temporary)
            check_files(relay.home, tmp_path)
            relay.__enter__()
            await nothing_left(relay.home, files)
            assert await states(relay) == told
            sure += await checked_again(relay, talks, killed_s)
        assert sure, f"RELAY_KILL_SEED={SEED}: none was at rest for long enough to tell"
    finally:
        relay.process.end(signal.SIGKILL)
