"""The pool through the API: native turns, clean-up, other accounts, restarts, the end of the server, metrics."""

from __future__ import annotations

import asyncio
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import accounts
from tests.e2e.client import ask, refusal, sdk
from tests.e2e.relay_server import Process, RelayServer, environment
from tests.e2e.stages import KimiStage
from tests.e2e.world import World
from tests.replicas import Answer, Fault, Piece, Scenario

ONE = "The first answer."


async def said(relay: RelayServer, model: str, messages: list[dict[str, str]], **extra: Any) -> dict[str, Any]:
    """A whole answer to a history, as the client gets it."""
    async with sdk(relay) as (client, tape):
        asked: Any = messages
        await client.chat.completions.create(model=model, messages=asked, extra_body=extra)
        record: dict[str, Any] = tape.heard[-1].records()[-1]
        return record


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def after(messages: list[dict[str, str]], answer: dict[str, Any], text: str) -> list[dict[str, str]]:
    """The history that goes on after an answer."""
    return [*messages, {"role": "assistant", "content": answer["choices"][0]["message"]["content"]}, user(text)]


def text_of(answer: dict[str, Any]) -> str:
    return str(answer["choices"][0]["message"]["content"])


async def until(true: Callable[[], Awaitable[object]]) -> None:
    """Wait for what takes the relay a moment."""
    async with asyncio.timeout(60):
        while True:
            if await true():
                return
            await asyncio.sleep(0.05)


async def account_status(relay: RelayServer, name: str) -> dict[str, Any]:
    async with httpx.AsyncClient(trust_env=False) as client:
        told = (await client.get(f"{relay.url}/health")).json()
    return next(one for one in told["accounts"] if f"{one['site']}/{one['account']}" == name)


async def chats(stage: KimiStage, count: int) -> list[Any]:
    """Bodies of the chat calls that a Kimi user's replica got."""
    records = await stage.replicas.records(account=stage.account, operation="chat", count=count)
    assert len(records) == count
    return [record.body for record in records]


# Native turns


async def test_the_site_hears_each_turn_once(world: World) -> None:
    with world.server("fetch", "demo") as relay:
        first = [user("remember the word heron")]
        one = await said(relay, "demo", first)
        second = after(first, one, "and now?")
        two = await said(relay, "demo", second)
        assert "This is turn 2 of our conversation" in text_of(two)
        assert two["conversation_id"] == one["conversation_id"]
        three = await said(relay, "demo", after(second, two, "once more"))
        assert "This is turn 3 of our conversation" in text_of(three)
        # An edited turn is another history: the site is told all of it, in a new conversation.
        edited = await said(relay, "demo", after([user("remember the word stork")], one, "and now?"))
        assert edited["conversation_id"] != one["conversation_id"]
        assert "our conversation; before it" not in text_of(edited)
        assert "stork" in text_of(edited)


async def test_turns_asked_for_again_and_at_once(world: World) -> None:
    with world.server("fetch", "demo") as relay:
        first = [user("one")]
        second = after(first, await said(relay, "demo", first), "two")
        answers = await asyncio.gather(*(said(relay, "demo", second) for _ in range(4)))
        conversations = {answer["conversation_id"] for answer in answers}
        assert len(conversations) == 4, "only one of them may go on in the conversation"
        assert sum("This is turn 2" in text_of(answer) for answer in answers) == 1


async def test_a_named_conversation(world: World) -> None:
    keys = {"RELAY_API_KEYS": "key-of-anna,key-of-bert"}
    with world.server("fetch", "demo", **keys) as relay:

        async def asked(key: str, messages: list[dict[str, str]], name: str) -> httpx.Response:
            async with httpx.AsyncClient(base_url=relay.url, trust_env=False, timeout=60) as client:
                body = {"model": "demo", "messages": messages, "conversation_id": name}
                headers = {"authorization": f"Bearer {key}"}
                return await client.post("/v1/chat/completions", json=body, headers=headers)

        one = (await asked("key-of-anna", [user("one")], "none")).json()
        for name in (one["id"], one["conversation_id"]):
            foreign = await asked("key-of-bert", [user("two")], name)
            assert (foreign.status_code, foreign.json()["error"]["code"]) == (404, "conversation_not_found")
        two = (await asked("key-of-anna", [user("two")], one["id"])).json()
        assert two["conversation_id"] == one["conversation_id"]
        assert "This is turn 2" in text_of(two)
        three = (await asked("key-of-anna", [user("three")], one["conversation_id"])).json()
        assert "This is turn 3" in text_of(three)
        # The first answer's id names a turn that is no longer the newest, and the site does not branch.
        gone = await asked("key-of-anna", [user("four")], one["id"])
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "conversation_not_found")


@pytest.mark.parametrize("driver", ["fetch", "screen"])
async def test_kimi_goes_on_with_the_parent_id(world: World, driver: str) -> None:
    with world.server(driver, "kimi") as relay:
        stage = world.kimi(relay)
        await stage.play(ONE)
        await stage.replicas.forget(account=stage.account)
        first = [user("first question")]
        one = await said(relay, "kimi", first)
        two = await said(relay, "kimi", after(first, one, "second question"))
        assert two["conversation_id"] == one["conversation_id"]
        opening, going_on = await chats(stage, 2)
        assert opening["chat_id"] == ""
        assert going_on["chat_id"] == one["conversation_id"]
        assert going_on["message"]["parent_id"].startswith("m-")
        assert [block["text"]["content"] for block in going_on["message"]["blocks"]] == ["second question"]


async def test_what_the_site_has_lost_is_told_again(world: World) -> None:
    with world.server("fetch", "demo") as relay:
        first = [user("one heron")]
        one = await said(relay, "demo", first)
        await forget_on_the_site(world, relay, one["conversation_id"])
        two = await said(relay, "demo", after(first, one, "two"))
        assert two["conversation_id"] != one["conversation_id"]
        assert "heron" in text_of(two)
        await forget_on_the_site(world, relay, two["conversation_id"])
        failed = await refusal(relay, "demo", "three", conversation_id=two["conversation_id"])
        assert (failed.status, failed.code) == (404, "conversation_not_found")


async def forget_on_the_site(world: World, relay: RelayServer, conversation: str) -> None:
    """Delete a conversation behind the relay's back, as its owner may."""
    async with httpx.AsyncClient(base_url=world.demo.address, trust_env=False) as client:
        await client.post("/api/login", json={"user": "demo", "password": "demo"})
        assert (await client.delete(f"/api/conversations/{conversation}")).status_code == 204


async def written(home: Path) -> None:
    """Until the disk knows how each conversation's last turn ended: a moment after its answer."""
    async with asyncio.timeout(20):
        while True:
            with closing(sqlite3.connect(f"file:{home}/relay.db?mode=ro", uri=True)) as db:
                tips = [tip for (tip,) in db.execute("SELECT tip FROM conversations")]
            if tips and all(tips):
                return
            await asyncio.sleep(0.02)


async def test_conversations_outlive_the_relay(world: World) -> None:
    relay = world.server("fetch", "demo")
    first = [user("one")]
    with relay:
        one = await said(relay, "demo", first)
    second = after(first, one, "two")
    relay.__enter__()
    try:
        two = await said(relay, "demo", second)
        assert two["conversation_id"] == one["conversation_id"]
        await written(relay.home)
    finally:
        relay.process.end(signal.SIGKILL)
    with relay:
        three = await said(relay, "demo", after(second, two, "three"))
        assert "This is turn 3" in text_of(three)


async def test_fresh_conversations_where_they_are_wanted(world: World) -> None:
    with world.server("fetch", "demo", RELAY_CONVERSATIONS="fresh") as relay:
        first = [user("one")]
        one = await said(relay, "demo", first)
        two = await said(relay, "demo", after(first, one, "two"))
        assert two["conversation_id"] != one["conversation_id"]


# Clean-up


async def test_conversations_are_deleted_on_the_site(world: World) -> None:
    settings = {"RELAY_KEEP_CONVERSATIONS_S": "0", "RELAY_KEEPER__DELETE_GAP_S": "0.1"}
    with world.server("fetch", "kimi", **settings) as relay:
        stage = world.kimi(relay)
        await stage.play(ONE)
        await stage.replicas.forget(account=stage.account)
        made = {(await said(relay, "kimi", [user(f"question {number}")]))["conversation_id"] for number in range(3)}

        async def deleted() -> bool:
            records = await stage.replicas.records(account=stage.account, operation="delete")
            return {record.body["chatId"] for record in records if record.status == 200} == made

        await until(deleted)


async def test_what_a_client_left_behind_is_deleted(world: World) -> None:
    with world.server("fetch", "demo", RELAY_KEEPER__DELETE_GAP_S="0.1") as relay:
        before = (await world.demo.stats())["conversations"]
        prompt = await world.demo.store([(0, "one "), (60_000, "two")])
        async with sdk(relay) as (client, _):
            async for chunk in await client.chat.completions.create(
                model="demo/script", messages=[{"role": "user", "content": prompt}], stream=True
            ):
                if chunk.choices and chunk.choices[0].delta.content:
                    break

        async def gone() -> bool:
            return (await world.demo.stats())["conversations"] == before

        await until(gone)


# Other accounts


async def test_another_account_answers_where_one_is_limited(world: World) -> None:
    relay = world.server("fetch", "kimi")
    other = f"{relay.home.name}-z"
    accounts.kimi(relay.home, other)
    with relay:
        stage, second = world.kimi(relay), KimiStage(world.replicas, other)
        limited = Fault(kind="status", status=429, retry_after_s=300, code="resource_exhausted")
        await stage.set(Scenario(answer=Answer(pieces=[Piece(text="not I")]), faults=[limited]))
        await second.play("I can")
        assert {(await ask(relay, "kimi", f"hi {number}")).text for number in range(4)} == {"I can"}
        status = await account_status(relay, f"kimi/{stage.account}")
        assert status["state"] == "cooling"
        assert re.search(r"\d+ s more", status["why"])
        await world.replicas.forget(account=stage.account)
    with relay:  # it still rests
        assert (await account_status(relay, f"kimi/{stage.account}"))["state"] == "cooling"
        assert (await ask(relay, "kimi", "hi")).text == "I can"
        assert await world.replicas.records(account=stage.account, operation="chat") == []


async def test_a_dead_login_sends_chats_to_the_other_account(world: World) -> None:
    relay = world.server("fetch", "kimi")
    other = f"{relay.home.name}-z"
    accounts.kimi(relay.home, other)
    with relay:
        stage, second = world.kimi(relay), KimiStage(world.replicas, other)
        dead = [Fault(kind="status", status=401, on=on) for on in ("chat", "refresh", "probe")]
        await stage.set(Scenario(faults=dead))
        await second.play("I can")
        assert {(await ask(relay, "kimi", f"hi {number}")).text for number in range(2)} == {"I can"}
        relay.process.await_output(f"{stage.account} is now login_needed")
    with relay:  # parked still, and not asked about it
        assert (await account_status(relay, f"kimi/{stage.account}"))["state"] == "login_needed"


async def test_an_account_keeps_its_pace(world: World) -> None:
    relay = world.server("fetch", "demo")
    file = relay.account("demo", "demo") / "account.toml"
    file.write_text(file.read_text("utf-8") + "\n[limits]\nmin_gap_s = 1.0\n", "utf-8")
    with relay:
        prompt = await world.demo.play("paced")
        begun = time.monotonic()
        answers = await asyncio.gather(*(ask(relay, "demo/script", prompt) for _ in range(3)))
        assert {answer.text for answer in answers} == {"paced"}
        assert time.monotonic() - begun >= 2.0, "three chats, two gaps"


# The end


async def test_answers_in_flight_are_finished_or_told(world: World) -> None:
    relay = world.server("fetch", "demo", RELAY_STOP_GRACE_S="3")
    with relay:
        short = await world.demo.store([(0, "begins "), (1_500, "and ends")])
        long = await world.demo.store([(0, "begins "), (60_000, "never")])
        fine = asyncio.create_task(ask(relay, "demo/script", short))
        cut = asyncio.create_task(refusal(relay, "demo/script", long))
        await until(lambda: _running(relay, 2))
        relay.process.interrupt(signal.SIGTERM)
        assert (await fine).text == "begins and ends"
        failed = await cut
        assert (failed.code, failed.text) == ("no_account_available", "begins ")
        assert "shutting down" in failed.message


async def _running(relay: RelayServer, count: int) -> bool:
    async with httpx.AsyncClient(trust_env=False) as client:
        return bool((await client.get(f"{relay.url}/health")).json()["running"] == count)


async def test_two_servers_do_not_share_an_account(world: World, tmp_path: Path) -> None:
    relay = world.server("fetch", "demo")
    with relay:
        (tmp_path / "browser_profiles").symlink_to(relay.home / "browser_profiles")
        command = [sys.executable, "-m", "relay", "serve", "--port", "0"]
        second = Process(command, cwd=tmp_path, env=environment({"RELAY_HOME": str(tmp_path)}))
        try:
            second.await_output(rf"demo/demo is now broken: Another process \(pid {relay.process.pid}\)")
            url = second.await_output(r"listening on (http://\S+)")[1]
            (relay.account("demo", "demo") / "state.json").touch()  # as the first server's saves do
            body = {"model": "demo", "messages": [user("hi")]}
            async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
                refused = await client.post("/v1/chat/completions", json=body)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "no_account_available")
        finally:
            second.end()


# Metrics


async def test_metrics_count_what_happened(world: World) -> None:
    with world.server("fetch", "demo") as relay:
        await ask(relay, "demo/script", await world.demo.play("counted"))
        await refusal(relay, "demo/error", "hi")
        async with httpx.AsyncClient(trust_env=False) as client:
            text = (await client.get(f"{relay.url}/metrics")).text
        assert 'relay_chats_total{code="ok",driver="fetch",site="demo"} 1.0' in text
        assert 'relay_chats_total{code="site_error",driver="fetch",site="demo"} 1.0' in text
        assert 'relay_accounts{site="demo",state="ready"} 1.0' in text
        assert re.search(r'relay_step_seconds_count\{.*step="first_token"', text)
        assert re.search(r"demo/demo script fetch ok queue=\d+ .*total=\d+ ms, 7 characters", relay.log)
