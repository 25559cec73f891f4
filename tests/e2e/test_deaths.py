"""A login that dies under load, in each way: the reason is told everywhere, nothing hangs, and it comes back."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from relay.demo import DemoServer, create_app
from relay.demo.model import Pace
from tests.e2e import accounts
from tests.e2e.relay_server import RelayServer, environment
from tests.e2e.test_pool import account_status, until
from tests.receiver import HttpReceiver

SECRET = "secret of this test's demo site"
USERS = ("ann", "bob")
CALLERS = 4
SITE = "demo"


@dataclass(frozen=True)
class Death:
    """What the site does, and how the relay has to call it."""

    fate: str
    state: str
    reason: str
    code: str
    status: int


DEATHS = (
    Death("expired", "login_needed", "expired", "login_needed", 503),
    Death("guest", "login_needed", "guest", "login_needed", 503),
    Death("challenge", "challenged", "challenge", "challenge_needed", 503),
    Death("banned", "broken", "banned", "account_banned", 503),
    Death("down", "cooling", "site_down", "site_unavailable", 502),
)


def about(receiver: HttpReceiver, account: str) -> list[dict[str, Any]]:
    """The notices of one account."""
    return [one.json for one in receiver.got if one.json.get("account") == account]


class Load:
    """Callers that ask one request after the other until told to stop; how each ended, in order."""

    def __init__(self, relay: RelayServer) -> None:
        self.ended: list[str] = []
        self._relay = relay
        self._over = asyncio.Event()

    async def run(self) -> None:
        async with (
            httpx.AsyncClient(base_url=self._relay.url, trust_env=False, timeout=60) as client,
            asyncio.TaskGroup() as callers,
        ):
            for number in range(CALLERS):
                callers.create_task(self._ask(client, number))

    async def _ask(self, client: httpx.AsyncClient, number: int) -> None:
        body = {"model": SITE, "messages": [{"role": "user", "content": f"hello {number}"}]}
        while not self._over.is_set():
            answer = await client.post("/v1/chat/completions", json=body)
            record = answer.json()
            whole = answer.status_code == 200 and record["choices"][0]["finish_reason"] == "stop"
            self.ended.append("ok" if whole else record["error"]["code"])

    async def more(self, count: int) -> list[str]:
        """How the next `count` requests end."""
        before = len(self.ended)

        async def seen() -> bool:
            return len(self.ended) >= before + count

        await until(seen)
        return self.ended[before:]

    def stop(self) -> None:
        self._over.set()


@asynccontextmanager
async def loaded(relay: RelayServer) -> AsyncIterator[Load]:
    load = Load(relay)
    running = asyncio.create_task(load.run())
    try:
        yield load
    finally:
        load.stop()
        await running


async def fate(site: str, user: str, what: str) -> None:
    async with httpx.AsyncClient(base_url=site, trust_env=False) as client:
        (await client.post("/api/fate", json={"user": user, "fate": what})).raise_for_status()


async def cli(relay: RelayServer, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "relay", *arguments]
    env = environment({"RELAY_HOME": str(relay.home)})
    return await asyncio.to_thread(
        subprocess.run, command, cwd=relay.home, env=env, capture_output=True, text=True, timeout=90
    )


async def metric(relay: RelayServer, account: str) -> dict[str, str]:
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"{relay.url}/metrics")).text
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
    [labels] = [one.labels for one in samples if one.name == "relay_account_state" and one.labels["account"] == account]
    return labels


@pytest.mark.parametrize("death", DEATHS, ids=lambda death: death.fate)
async def test_a_login_dies_under_load(tmp_path: Path, death: Death) -> None:
    (tmp_path / "browser_profiles").mkdir()
    users = dict.fromkeys(USERS, "password")
    app = create_app(secret=SECRET, accounts=users, scripts=True, pace=Pace(0.01, 0.001))
    with HttpReceiver() as receiver:
        async with DemoServer(app) as site:
            log = await _live_and_die(tmp_path, site.url, receiver, death)
    assert "Traceback" not in log
    assert "webhook-secret" not in log


async def _live_and_die(home: Path, site: str, receiver: HttpReceiver, death: Death) -> str:
    """The server's log."""
    for user in USERS:
        accounts.demo(home, site, SECRET, user, user=user)
    settings = {
        "RELAY_NOTIFY": f"{receiver.url}/webhook-secret-5ac1",
        "RELAY_COMMIT_AFTER_S": "60",
        "RELAY_PUBLIC_URL": "https://relay.home",
    }
    server = RelayServer(home, settings)
    # In a thread: the site that its accounts are checked at runs in this one.
    relay = await asyncio.to_thread(server.start)
    try:
        await _die(relay, site, receiver, death)
        await _all_die(relay, site, death)
        await _come_back(relay, site, receiver, death)
    finally:
        await asyncio.to_thread(server.process.end)
    return server.log


async def _die(relay: RelayServer, site: str, receiver: HttpReceiver, death: Death) -> None:
    """One of two: the other answers all, and the reason stands everywhere."""
    async with loaded(relay) as load:
        assert set(await load.more(2 * CALLERS)) == {"ok"}
        await fate(site, "ann", death.fate)

        async def told() -> bool:
            return bool((await account_status(relay, "demo/ann"))["reason"] == death.reason)

        await until(told)
        await load.more(CALLERS)  # those that were under way
        after = set(await load.more(2 * CALLERS))
        # A site that is down may have taken the prompt that it answered with HTTP 503; so nobody sends it again.
        assert after == {"ok"} or (death.fate == "down" and after <= {"ok", "site_unavailable"})
    # What had no answer was refused in so many words: the site's own, where it was asked before the reason was known.
    assert set(load.ended) <= {"ok", "site_unavailable"} if death.fate == "down" else set(load.ended) == {"ok"}
    status = await account_status(relay, "demo/ann")
    assert (status["state"], status["reason"]) == (death.state, death.reason)
    listed = await cli(relay, "accounts", "list", "--json")
    [row] = [row for row in json.loads(listed.stdout) if row["name"] == "demo/ann"]
    assert (row["state"], row["reason"]) == (death.state, death.reason)
    assert death.reason in (await cli(relay, "accounts", "list")).stdout or death.reason == "challenge"
    labels = await metric(relay, "ann")
    assert (labels["state"], labels["reason"]) == (death.state, death.reason)
    if death.fate != "down":

        async def noticed() -> bool:
            return bool(about(receiver, "ann"))

        await until(noticed)
        [notice] = about(receiver, "ann")
        assert (notice["site"], notice["reason"]) == (SITE, death.reason)
        assert notice["login_url"].startswith("https://relay.home/")


async def _all_die(relay: RelayServer, site: str, death: Death) -> None:
    await fate(site, "bob", death.fate)
    async with httpx.AsyncClient(base_url=relay.url, trust_env=False, timeout=60) as client:
        body = {"model": SITE, "messages": [{"role": "user", "content": "hello"}]}

        async def asked() -> httpx.Response:
            return await client.post("/v1/chat/completions", json=body)

        async def refused() -> bool:
            await asked()
            return all([(await account_status(relay, f"demo/{user}"))["reason"] == death.reason for user in USERS])

        await until(refused)
        failed = await asyncio.gather(*(asked() for _ in range(CALLERS)))
        for answer in failed:
            assert (answer.status_code, answer.json()["error"]["code"]) == (death.status, death.code)
        message = failed[0].json()["error"]["message"]
        if death.state in ("login_needed", "challenged"):
            assert "relay login demo --account" in message
            assert "https://relay.home/admin" in message
        if death.fate == "down":
            assert int(failed[0].headers["retry-after"]) >= 1
        assert (await client.get("/ready")).status_code == 503


async def _come_back(relay: RelayServer, site: str, receiver: HttpReceiver, death: Death) -> None:
    for user in USERS:
        await fate(site, user, "")
        if death.state in ("login_needed", "challenged"):
            accounts.demo(relay.home, site, SECRET, user, user=user)
        elif death.fate in ("banned", "down"):  # the latter would come back by itself, a minute later
            resumed = await cli(relay, "accounts", "resume", f"demo/{user}")
            assert (resumed.returncode, resumed.stdout) == (0, f"demo/{user}: ready\n")
    async with httpx.AsyncClient(base_url=relay.url, trust_env=False, timeout=60) as client:
        body = {"model": SITE, "messages": [{"role": "user", "content": "hello"}]}

        async def answered() -> bool:
            return (await client.post("/v1/chat/completions", json=body)).status_code == 200

        await until(answered)
        for user in USERS:

            async def ready(user: str = user) -> bool:
                await answered()
                return (await account_status(relay, f"demo/{user}"))["state"] in ("ready", "busy", "new")

            await until(ready)
    if death.fate != "down":
        assert len(about(receiver, "ann")) == 1, "told once"
