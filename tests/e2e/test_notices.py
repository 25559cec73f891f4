"""A real server whose accounts come to need their owner: they are told once, and no secret goes along."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time

import httpx

from relay.demo import session_cookie
from tests.e2e import accounts
from tests.e2e.client import ask
from tests.e2e.relay_server import environment
from tests.e2e.test_pool import account_status
from tests.e2e.world import World
from tests.receiver import HttpReceiver

SECRET = "s3cr3tpathtoken"
PROMPT = "my private prompt"


async def test_a_login_that_dies_is_told_once_and_damaged_files_by_each_process(world: World) -> None:
    with HttpReceiver() as receiver:
        address = f"{receiver.url}/{SECRET}"
        server = world.server("fetch", "demo", RELAY_NOTIFY=address, NO_PROXY="127.0.0.1,localhost")
        name, cookie = session_cookie(world.secret, "demo", time.time() - 3600)
        folder = server.account("demo", "demo")
        state = json.loads((folder / "state.json").read_text("utf-8"))
        state["cookies"][0]["value"] = cookie
        accounts.write(server.home, "demo", "dies", state, base_url=f"{world.demo.address}/")
        broken = server.account("kimi", "ann")
        broken.mkdir(parents=True)
        (broken / "account.toml").write_text("labl = 3")
        with server as relay:
            await asyncio.to_thread(receiver.await_requests, 1)
            async with httpx.AsyncClient(base_url=world.demo.address, cookies={name: cookie}, trust_env=False) as site:
                (await site.post("/api/logout")).raise_for_status()
            # At once, so that each account has one, and again where they came apart; that of the dead login goes on to
            # the other account.
            async with asyncio.timeout(60):
                while (await account_status(relay, "demo/dies"))["state"] != "login_needed":
                    for chat in await asyncio.gather(*(ask(relay, "demo/slow", PROMPT) for _ in range(2))):
                        assert chat.finish == "stop"
            await asyncio.to_thread(receiver.await_requests, 2)
        logs = server.log
        with server:  # the dead login is what it knew: no news
            assert (await ask(server, "demo/echo", PROMPT)).finish == "stop"
        first, got, again = receiver.got
    for damaged in (first.json, again.json):
        assert (damaged["account"], damaged["reason"]) == ("ann", "damaged")
        assert "labl" in damaged["why"]
    said = got.json
    assert (said["event"], said["site"], said["account"]) == ("account_needs_owner", "demo", "dies")
    assert said["reason"] in ("expired", "guest")
    assert "relay login demo --account dies" in said["text"]
    body = got.body.decode()
    assert PROMPT not in body
    assert cookie not in body
    assert SECRET not in logs + server.log


def test_a_bad_address_keeps_it_from_starting(world: World) -> None:
    server = world.server("fetch", "")
    done = subprocess.run(
        [sys.executable, "-m", "relay", "serve", "--port", "0"],
        cwd=server.home,
        env=environment({"RELAY_HOME": str(server.home), "RELAY_NOTIFY": f"https://fine.example,nosuch://{SECRET}"}),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "address 2 (nosuch://)" in done.stderr
    assert SECRET not in done.stderr + done.stdout
