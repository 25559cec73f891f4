"""What the ChatGPT replica answers: the stream in all its shapes, its faults, and where it goes on when it breaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.replicas import Answer, Fault, Piece, Replicas, Scenario
from tests.replicas import Page as Found
from tests.replicas.chatgpt.calls import (
    CHAT,
    bearer,
    chat_body,
)
from tests.replicas.chatgpt.reading import Heard, hear
from tests.replicas.chatgpt.user import User

HOST = "chatgpt.com"


@pytest.fixture
async def client(replicas: Replicas) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client of the site."""
    async with replicas.client(HOST) as client:
        yield client


async def test_the_sample_of_the_sheet(client: httpx.AsyncClient) -> None:
    answer = await client.post(**await User(client, "gpt-sample").call("why is the sky blue"))
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.content.startswith(b'event: delta_encoding\ndata: "v1"\n\n')
    assert answer.content.endswith(b"data: [DONE]\n\n")
    heard = hear(answer.content)
    assert heard.text == "Because short waves scatter more."
    assert heard.reasoning == "The user asks about scattering."
    kinds = [(one["author"]["role"], one["content"]["content_type"], one["channel"]) for one in heard.messages]
    assert kinds == [
        ("system", "text", None),
        ("assistant", "thoughts", None),
        ("assistant", "reasoning_recap", None),
        ("assistant", "text", "final"),
    ]
    assert (heard.final["status"], heard.final["end_turn"]) == ("finished_successfully", True)
    assert heard.types == [
        "resume_conversation_token",
        "input_message",
        "message_marker",
        "message_marker",
        "title_generation",
        "message_marker",
        "server_ste_metadata",
        "message_stream_complete",
    ]
    assert any(b'{"v":' in line for line in answer.content.splitlines()), "p and o are left out where they repeat"


async def test_snapshots_for_who_knows_no_deltas(client: httpx.AsyncClient) -> None:
    body = chat_body("hi") | {"supported_encodings": []}
    call = await User(client, "gpt-snapshots").call(body=body)
    answer = await client.post(**call)
    assert b"event:" not in answer.content
    heard = hear(answer.content)
    assert (heard.text, heard.done, heard.final["end_turn"]) == ("Because short waves scatter more.", True, True)


@pytest.mark.parametrize(
    ("ask", "thoughts"),
    [
        ({"model": "auto"}, False),
        ({"model": "gpt-5-3"}, False),
        ({"model": "o4-mini"}, True),
        ({"model": "auto", "system_hints": ["reason"]}, True),
        ({"model": "gpt-5-6-thinking", "thinking_effort": "extended"}, True),
    ],
)
async def test_thoughts_only_for_those_who_ask_for_them(
    replicas: Replicas, client: httpx.AsyncClient, ask: dict[str, Any], thoughts: bool
) -> None:
    heard = await User(client, "gpt-thinker").ask(body=chat_body("hi") | ask)
    assert bool(heard.reasoning) == thoughts
    assert heard.final["metadata"]["model_slug"] != "auto"
    turn = (await replicas.seen("chatgpt", "gpt-thinker")).conversations[-1].turns[0]
    assert (turn.model, turn.thinking) == (ask["model"], thoughts)


async def test_a_megabyte_cut_anywhere_is_whole(replicas: Replicas, client: httpx.AsyncClient) -> None:
    answer = Answer(chars=1_000_000, count=400, reasoning_chars=10_000, seed=4)
    await replicas.play("chatgpt", "gpt-long", Scenario(answer=answer, cuts=11))
    heard = await User(client, "gpt-long").ask("hi")
    assert (heard.text, heard.reasoning) == (answer.text(), answer.reasoning())


async def test_search_and_citations(replicas: Replicas, client: httpx.AsyncClient) -> None:
    pages = [Found(url="https://a.example/x", title="A", snippet="a"), Found(url="https://b.example/y", title="B")]
    pieces = [
        Piece(kind="search", text="sky blue", pages=pages),
        Piece(text="Waves"),
        Piece(kind="cite", page=2),
        Piece(text=" scatter."),
    ]
    await replicas.play("chatgpt", "gpt-searcher", Scenario(answer=Answer(pieces=pieces)))
    heard = await User(client, "gpt-searcher").ask(body=chat_body("hi") | {"system_hints": ["search"]})
    [reference] = heard.final["metadata"]["content_references"]
    assert reference["matched_text"] == "\ue200cite\ue202turn0search1\ue201"
    assert heard.text == f"Waves{reference['matched_text']} scatter."
    assert reference["items"][0]["url"] == pages[1].url
    groups = [group for one in heard.messages for group in one["metadata"].get("search_result_groups", [])]
    assert [(group["domain"], group["entries"][0]["title"]) for group in groups] == [
        ("a.example", "A"),
        ("b.example", "B"),
    ]
    assert (await replicas.seen("chatgpt", "gpt-searcher")).conversations[0].turns[0].search


@pytest.mark.parametrize("kind", ["error", "failed", "refusal"])
async def test_failures_inside_http_200(replicas: Replicas, client: httpx.AsyncClient, kind: str) -> None:
    fault = Fault.model_validate({"kind": kind, "after": 3, "message": "overloaded"})
    await replicas.play("chatgpt", f"gpt-{kind}", Scenario(faults=[fault]))
    user = User(client, f"gpt-{kind}")
    heard = await user.ask("hi")
    assert "message_stream_complete" not in heard.types
    assert heard.final["status"] == "in_progress"
    assert (heard.errors == ["overloaded"], heard.done) == (kind == "error", kind != "error")
    kinds = [one["content"]["content_type"] for one in heard.messages]
    assert ("system_error" in kinds) == (kind == "failed")
    assert ("moderation" in heard.types) == (kind == "refusal")
    if kind == "refusal":
        assert heard.one("moderation")["moderation_response"]["blocked"] is True
        told = await user.get(f"/conversation/{heard.conversation}")
        assert "Because" not in json.dumps(told), "what was shown is taken back"
    told = await user.get(f"/conversation/{heard.conversation}")
    assert told["mapping"][heard.final["id"]]["message"]["status"] == "in_progress"
    after = await user.ask("go on", conversation=heard.conversation, parent=heard.final["id"])
    assert "in_progress" in {after.final["status"]}, "the fault goes on, but the conversation is free"


async def test_stop_ends_an_answer_and_only_one_is_written_at_a_time(
    replicas: Replicas, client: httpx.AsyncClient
) -> None:
    await replicas.play("chatgpt", "gpt-stopper", Scenario(faults=[Fault(kind="stall", after=4, times=1)], cuts=2))
    user, seen = User(client, "gpt-stopper"), b""
    async with client.stream("POST", **await user.call("hi")) as answer:
        async for data in answer.aiter_raw():
            seen += data
            if b"short waves" in seen:
                break
        heard = hear(seen)
        place = {"conversation": heard.conversation, "parent": heard.final["id"]}
        busy = await client.post(**await user.call("me too", **place))
        assert busy.status_code == 409
        assert "message in progress" in busy.json()["detail"]
        assert (await user.get(f"/conversation/{heard.conversation}/stream_status"))["status"] == "IS_STREAMING"
        stop = {"conversation_id": heard.conversation, "exclude_async_types": []}
        assert await user.post("/stop_conversation", stop) == {"status": "ok"}
    assert (await user.ask("next", **place)).done
    turns = (await replicas.seen("chatgpt", "gpt-stopper")).conversations[0].turns
    assert [turn.stopped for turn in turns] == [True, False]


async def leave(client: httpx.AsyncClient, call: dict[str, Any], at: bytes) -> Heard:
    """Read a stream until ``at`` came, then leave."""
    seen = b""
    async with client.stream("POST", **call) as answer:
        async for data in answer.aiter_raw():
            seen += data
            if at in seen:
                break
    return hear(seen)


async def test_who_leaves_may_come_back(replicas: Replicas, client: httpx.AsyncClient) -> None:
    await replicas.play("chatgpt", "gpt-leaver", Scenario(faults=[Fault(kind="stall", after=4)]))
    user = User(client, "gpt-leaver")

    async def stopped() -> bool:
        return (await replicas.seen("chatgpt", "gpt-leaver")).conversations[0].turns[0].stopped

    heard = await leave(client, await user.call("hi"), b"short waves")
    await replicas.records(account="gpt-leaver", operation="chat", state="aborted", count=1)
    assert await stopped()
    resuming = asyncio.ensure_future(user.resume(heard, heard.count))
    await replicas.records(account="gpt-leaver", operation="resume", count=1)
    while await stopped():  # the call is recorded a moment before it is answered
        pass
    await user.post("/stop_conversation", {"conversation_id": heard.conversation, "exclude_async_types": []})
    whole = hear((await resuming).content, heard)
    assert (whole.text, whole.done) == ("Because short waves", True)
    assert await stopped()


@pytest.mark.parametrize("kind", ["cut", "end"])
@pytest.mark.parametrize("after", ["lost", "resumable", "persisted", "tokenless"])
async def test_what_a_break_leaves(replicas: Replicas, client: httpx.AsyncClient, kind: str, after: str) -> None:
    name = f"gpt-broken-{kind}-{after}"
    fault = Fault.model_validate({"kind": kind, "after": 4, "times": 1})
    await replicas.play("chatgpt", name, Scenario(faults=[fault], options={"after_break": after}))
    user, seen = User(client, name), b""
    try:
        async with client.stream("POST", **await user.call("hi")) as answer:
            async for data in answer.aiter_raw():
                seen += data
    except httpx.RemoteProtocolError:
        assert kind == "cut"
    else:
        assert kind == "end"
    heard = hear(seen)
    assert (heard.text, heard.done) == ("Because short waves", False)
    path = f"/conversation/{heard.conversation}"
    while (status := (await user.get(f"{path}/stream_status"))["status"]) == "IS_STREAMING":
        pass
    assert status == ("FAILURE" if after == "lost" else "COMPLETE")
    refused = {"lost": 404, "tokenless": 404, "persisted": 410}.get(after, 200)
    rest = await user.resume(heard, heard.count, refused)
    codes = {404: "tokenless_resume_unavailable", 410: "persisted_final_available"}
    if refused == 200:
        assert hear(rest.content, heard).text == "Because short waves scatter more."
    else:
        assert rest.json()["detail"]["code"] == codes[refused]
    told = await user.get(path)
    [text] = told["mapping"][heard.final["id"]]["message"]["content"]["parts"]
    assert text == ("Because short waves" if after == "lost" else "Because short waves scatter more.")


@pytest.mark.parametrize("way", ["resume", "ws", "poll"])
async def test_the_answer_goes_on_elsewhere(replicas: Replicas, client: httpx.AsyncClient, way: str) -> None:
    name = f"gpt-handed-{way}"
    await replicas.play("chatgpt", name, Scenario(options={"handoff": way, "silence_s": 0.1}))
    user = User(client, name)
    heard = await user.ask("hi")
    assert (heard.messages, heard.done) == ([], True)
    options = heard.one("stream_handoff")["options"]
    kinds = {"resume": ["resume_sse_endpoint"], "ws": ["subscribe_ws_topic"], "poll": []}
    assert [one["type"] for one in options] == kinds[way]
    status, path = "", f"/conversation/{heard.conversation}"
    if way == "resume":
        assert hear((await user.resume(heard)).content).text == "Because short waves scatter more."
        wrong = await client.post(
            f"{CHAT}/resume",
            headers=bearer(user.access),
            json={"conversation_id": heard.conversation, "offset": 0},
        )
        assert wrong.status_code == 404
    if way == "poll":
        assert (await user.resume(heard, 0, 404)).json()["detail"]["code"] == "tokenless_resume_unavailable"
    while status != "COMPLETE":
        status = (await user.get(f"{path}/stream_status"))["status"]
    told = await user.get(path)
    final = told["mapping"][told["current_node"]]["message"]
    assert final["content"]["parts"] == ["Because short waves scatter more."]
    assert not (await replicas.seen("chatgpt", name)).conversations[0].turns[0].stopped


async def test_a_resume_call_can_break_too(replicas: Replicas, client: httpx.AsyncClient) -> None:
    faults = [Fault(kind="end", on="resume", after=5, times=1), Fault(kind="status", on="resume", status=409, times=1)]
    await replicas.play("chatgpt", "gpt-resumer", Scenario(faults=faults, options={"handoff": "resume"}))
    user = User(client, "gpt-resumer")
    given = await user.ask("hi")
    part = hear((await user.resume(given)).content)
    assert (part.count, part.done) == (5, False)
    await user.resume(given, part.count, 409)
    whole = hear((await user.resume(given, part.count)).content, part)
    assert (whole.text, whole.reasoning) == ("Because short waves scatter more.", "The user asks about scattering.")


async def test_heartbeats_during_a_stall(replicas: Replicas, client: httpx.AsyncClient) -> None:
    await replicas.play(
        "chatgpt", "gpt-beating", Scenario(faults=[Fault(kind="stall", after=1, heartbeat_ms=5)], cuts=3)
    )
    heard = Heard()
    async with client.stream("POST", **await User(client, "gpt-beating").call("hi")) as answer:
        seen = b""
        async for data in answer.aiter_raw():
            seen += data
            if seen.count(b"event: ping") > 4:
                heard = hear(seen)
                break
    assert (heard.pings >= 4, heard.reasoning) == (True, "The user")


async def test_answers_do_not_wait_for_each_other(client: httpx.AsyncClient) -> None:
    user = User(client, "gpt-parallel")
    heards = await asyncio.gather(*(user.ask(f"prompt {index}") for index in range(8)))
    assert len({heard.conversation for heard in heards}) == 8
