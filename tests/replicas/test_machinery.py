"""The replica process itself: hosts, scenarios, faults, cuts, records."""

from __future__ import annotations

import asyncio
import random

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.replicas import Answer, Fault, Piece, Replicas, Scenario
from tests.replicas.exchange import Cutter
from tests.replicas.kimi import login
from tests.replicas.kimi.calls import CHAT, chat_call
from tests.replicas.scenario import generated, split

HOST = "www.kimi.com"


@given(st.integers(0, 400), st.integers(1, 50), st.integers(0, 9))
def test_generated_answers_are_whole(chars: int, count: int, seed: int) -> None:
    text = generated(chars, seed)
    assert len(text) == chars
    parts = split(text, count, seed)
    assert "".join(parts) == text
    assert len(parts) == min(count, chars)


@given(st.lists(st.binary(max_size=300), max_size=20), st.integers())
def test_cutter_keeps_every_byte(writes: list[bytes], seed: int) -> None:
    cutter = Cutter(seed)
    parts = [part for data in writes for part in cutter.cut(data)]
    assert b"".join(parts) + cutter.flush() == b"".join(writes)
    assert all(parts)


def test_cutter_cuts_inside_characters_and_heads() -> None:
    dice, cutter = random.Random(1), Cutter(1)
    frames = [b"\x00" + (900).to_bytes(4, "big") + "字".encode() * 300 for _ in range(dice.randint(200, 300))]
    borders, at = set(), 0
    for part in [part for frame in frames for part in cutter.cut(frame)]:
        at += len(part)
        borders.add(at % 905)
    assert borders & {1, 2, 3, 4}, "no cut inside a head"
    assert any(border > 5 and (border - 5) % 3 for border in borders), "no cut inside a character"


async def test_unknown_host_and_path(replicas: Replicas) -> None:
    async with replicas.client("www.example.org") as client:
        assert (await client.get("/")).status_code == 421
    async with replicas.client(HOST) as client:
        assert (await client.get("/nowhere")).status_code == 404


async def test_misspelt_scenario_is_refused(replicas: Replicas) -> None:
    async with httpx.AsyncClient(base_url=replicas.control) as control:
        answer = await control.put("/scenarios/kimi/eve", json={"fautls": []})
        assert answer.status_code == 422
        assert (await control.put("/scenarios/nobody/eve", json={})).status_code == 404


async def test_status_fault_takes_its_turns_and_leaves_others_alone(replicas: Replicas) -> None:
    fault = Fault(kind="status", status=429, retry_after_s=7, times=1)
    await replicas.play("kimi", "limited", Scenario(faults=[fault]))
    limited, free = login("limited").access, login("unlimited").access
    async with replicas.client(HOST) as client:
        assert (await client.post(**chat_call(free, "hi"))).status_code == 200
        refused = await client.post(**chat_call(limited, "hi"))
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "7")
        assert (await client.post(**chat_call(limited, "hi"))).status_code == 200
    records = await replicas.records(account="limited", operation="chat", count=2)
    assert [record.status for record in records] == [429, 200]


async def test_html_instead_of_an_answer(replicas: Replicas) -> None:
    await replicas.play("kimi", "walled", Scenario(faults=[Fault(kind="html", on="probe")]))
    async with replicas.client(HOST) as client:
        headers = {"authorization": f"Bearer {login('walled').access}"}
        path = "/apiv2/kimi.gateway.account.v1.UserService/GetCurrentUser"
        answer = await client.post(path, headers=headers, json={})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/html")


async def test_pieces_leave_at_once_and_an_abort_arrives(replicas: Replicas) -> None:
    stall = Fault(kind="stall", after=2)
    pieces = [Piece(text="first"), Piece(text="second"), Piece(text="never")]
    await replicas.play("kimi", "patient", Scenario(answer=Answer(pieces=pieces), faults=[stall]))
    seen = b""
    async with (
        replicas.client(HOST) as client,
        client.stream("POST", **chat_call(login("patient").access, "hi")) as answer,
    ):
        chunks = answer.aiter_raw()  # held: a dropped iterator would close the answer at a moment of its own
        while b"second" not in seen:  # read while the replica is silent: nothing waits in a buffer
            seen += await anext(chunks)
        assert (await replicas.records(account="patient", operation="chat"))[0].state == "open"
    assert b"never" not in seen
    [record] = await replicas.records(account="patient", operation="chat", state="aborted", count=1)
    assert record.last_write and record.aborted
    assert record.aborted.monotonic_ns > record.last_write.monotonic_ns
    [chat] = (await replicas.state("kimi", "patient"))["chats"]
    assert chat["messages"][-1]["status"] == "MESSAGE_STATUS_CANCELLED"


@pytest.mark.parametrize("cuts", [None, 3])
async def test_torn_and_ended_early(replicas: Replicas, cuts: int | None) -> None:
    user = f"torn-{cuts}"
    faults = [Fault(kind="cut", after=2, times=1), Fault(kind="end", after=2)]
    await replicas.play("kimi", user, Scenario(faults=faults, cuts=cuts))
    access = login(user).access
    async with replicas.client(HOST) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(**chat_call(access, "hi"))
        answer = await client.post(**chat_call(access, "hi"))
    assert b"asks about scattering" in answer.content
    assert b"COMPLETED" not in answer.content.partition(b'"role":"assistant"')[2]
    assert not answer.content.endswith(b"\x02\x00\x00\x00\x02{}")
    records = await replicas.records(account=user, operation="chat")
    assert [record.state for record in records] == ["torn", "finished"]


async def test_heartbeats_during_a_stall(replicas: Replicas) -> None:
    await replicas.play("kimi", "beating", Scenario(faults=[Fault(kind="stall", after=1, heartbeat_ms=5)]))
    seen = b""
    async with (
        replicas.client(HOST) as client,
        client.stream("POST", **chat_call(login("beating").access, "hi")) as answer,
    ):
        async for data in answer.aiter_raw():
            seen += data
            if seen.count(b"heartbeat") >= 4:
                break
    assert b"asks about" not in seen


async def test_silence_before_the_head(replicas: Replicas) -> None:
    await replicas.play("kimi", "mute", Scenario(faults=[Fault(kind="stall", after=-1)]))
    async with replicas.client(HOST) as client:
        call = asyncio.ensure_future(client.post(**chat_call(login("mute").access, "hi")))
        [record] = await replicas.records(account="mute", count=1)
        assert (record.state, record.status) == ("open", None)
        call.cancel()
    [record] = await replicas.records(account="mute", state="aborted", count=1)
    assert record.bytes_sent == 0


async def test_records_can_be_forgotten(replicas: Replicas) -> None:
    async with replicas.client(HOST) as client:
        await client.get("/", headers={"cookie": "replica_account=brief"})
    assert [record.path for record in await replicas.records(account="brief", count=1)] == ["/"]
    await replicas.forget(account="brief")
    assert await replicas.records(account="brief") == []


async def test_stamped_pieces_tell_their_write_time(replicas: Replicas) -> None:
    answer = Answer(chars=400, count=8, seed=2)
    await replicas.play("kimi", "stamped", Scenario(answer=answer, stamp=True))
    async with replicas.client(HOST) as client:
        content = (await client.post(**chat_call(login("stamped").access, "hi"))).content
    stamps = [part.split("⟩")[0].split(":") for part in content.decode(errors="replace").split("⟨")[1:]]
    assert [int(index) for index, _ in stamps] == list(range(8))
    [record] = await replicas.records(account="stamped", path=CHAT)
    times = [record.received.time_ns, *(int(time_ns) for _, time_ns in stamps)]
    assert times == sorted(times)
