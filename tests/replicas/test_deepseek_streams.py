"""The DeepSeek replica's answers: the streams of the fact sheet's section 5, and what goes wrong in them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.replicas import Answer, Fault, Page, Piece, Replicas, Scenario
from tests.replicas.deepseek import mint
from tests.replicas.deepseek.calls import (
    ask,
    chat_body,
    chat_call,
    new_session,
)
from tests.replicas.deepseek.reading import cut_events, events, refused, said, shown

HOST = "chat.deepseek.com"
CONTINUE, REGENERATE = "/api/v0/chat/continue", "/api/v0/chat/regenerate"


@pytest.fixture
async def client(replicas: Replicas) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client of the site."""
    async with replicas.client(HOST) as plain:
        yield plain


async def test_the_sample_of_the_sheet(client: httpx.AsyncClient, replicas: Replicas) -> None:
    tea = Page(url="https://tea.example/a", title="Tea", snippet="…")
    pieces = [
        Piece(text="The", kind="reasoning"),
        Piece(text=" user", kind="reasoning"),
        Piece(text=" asks about tea.", kind="reasoning"),
        Piece(text="green tea", kind="search", pages=[tea]),
        Piece(text="Green"),
        Piece(text=" tea"),
        Piece(text=" is mild"),
        Piece(kind="cite", page=1),
        Piece(text="."),
    ]
    await replicas.play("deepseek", "ds-sample", Scenario(answer=Answer(pieces=pieces)))
    token = mint("ds-sample")
    pairs = await ask(client, token, await new_session(client, token), "About tea", search_enabled=True)
    assert pairs[0] == ("ready", {"request_message_id": 1, "response_message_id": 2, "model_type": "default"})
    assert [event for event, _ in pairs if event != "message"] == [
        "ready",
        "update_session",
        "finish",
        "title",
        "close",
    ]
    assert pairs[-3:] == [
        ("finish", {}),
        ("title", {"content": "About tea"}),
        ("close", {"click_behavior": "none", "auto_resume": False}),
    ]
    first = pairs[2][1]["v"]["response"]
    assert (first["message_id"], first["parent_id"], first["role"], first["status"]) == (2, 1, "ASSISTANT", "WIP")
    assert first["fragments"] == [
        {"id": 2, "type": "THINK", "content": "The", "elapsed_secs": None, "references": [], "stage_id": 1}
    ]
    inner = [data for event, data in pairs[3:] if event == "message"]
    assert [(data.get("p"), data.get("o")) for data in inner] == [
        ("response/fragments/-1/content", "APPEND"),
        (None, None),
        ("response/fragments/-1/elapsed_secs", "SET"),
        ("response", "BATCH"),
        ("response/fragments/-1/results", "SET"),
        ("response/fragments/-1", "BATCH"),
        ("response", "BATCH"),  # one page is opened
        ("response/fragments/-1", "BATCH"),
        ("response/fragments", "APPEND"),
        ("response/fragments/-1/content", "APPEND"),
        (None, None),
        ("response/fragments/-1", "BATCH"),
        (None, None),
        ("response/fragments", "APPEND"),  # the tip
        ("response", "BATCH"),
        ("response/status", "SET"),
    ]
    assert inner[5]["v"] == [{"p": "status", "v": "FINISHED"}, {"p": "content", "v": "搜索到 1 个网页"}]
    assert inner[11]["v"] == [
        {"p": "content", "o": "APPEND", "v": "[reference:0]"},
        {"p": "references", "v": [{"id": 3, "type": "TOOL_SEARCH"}]},
    ]
    message = shown(pairs)
    assert said(message, "RESPONSE") == "Green tea is mild[reference:0]."
    assert said(message, "THINK") == "The user asks about tea."
    assert message["fragments"][-1]["type"] == "TIP"
    assert (message["status"], message["quasi_status"]) == ("FINISHED", "FINISHED")


async def test_who_asks_for_no_thoughts_and_no_search_gets_none(client: httpx.AsyncClient, replicas: Replicas) -> None:
    pieces = [
        Piece(text="hm", kind="reasoning"),
        Piece(text="q", kind="search", pages=[Page(url="https://a.example/")]),
        Piece(text="Yes"),
        Piece(kind="cite"),
        Piece(kind="media", data="AAAA"),
    ]
    await replicas.play("deepseek", "ds-plain", Scenario(answer=Answer(pieces=pieces)))
    token = mint("ds-plain")
    pairs = await ask(client, token, await new_session(client, token), "hi", thinking_enabled=False)
    assert [(each["type"], each["content"]) for each in shown(pairs)["fragments"]][:-1] == [("RESPONSE", "Yes")]


# Section 5: the other streams


@pytest.mark.parametrize("stream", ["sample", "nested", "bare"])
@pytest.mark.parametrize("cuts", [None, 5])
async def test_the_streams_of_2026_say_the_same(
    client: httpx.AsyncClient, replicas: Replicas, stream: str, cuts: int | None
) -> None:
    pages = [Page(url=f"https://{name}.example/x", title=name) for name in "abc"]
    pieces = [
        Piece(text="hm ", kind="reasoning"),
        Piece(text=" 嗯", kind="reasoning"),
        Piece(text="one", kind="search", pages=pages[:2]),
        Piece(text="so", kind="reasoning"),
        Piece(text="none", kind="search"),
        Piece(text="two", kind="search", pages=pages[2:]),
        Piece(text=" It "),
        Piece(kind="cite", page=3),
        Piece(text=" is 👩🏽\u200d🚀"),
        Piece(text="\n\n"),
        Piece(kind="cite", page=1),
    ]
    scenario = Scenario(answer=Answer(pieces=pieces), options={"stream": stream}, cuts=cuts)
    user = f"ds-{stream}-{cuts}"
    await replicas.play("deepseek", user, scenario)
    token = mint(user)
    pairs = await ask(client, token, await new_session(client, token), "hi", search_enabled=True)
    message = shown(pairs)
    bare = stream == "bare"
    marks = ("[citation:3]", "[citation:1]") if bare else ("[reference:2]", "[reference:0]")
    assert said(message, "RESPONSE") == f" It {marks[0]} is 👩🏽\u200d🚀\n\n{marks[1]}"
    assert said(message, "THINK", "THINKING") == "hm  嗯so"
    assert ("finish" in [event for event, _ in pairs]) is not bare
    searches = [each for each in message["fragments"] if each["type"] in ("SEARCH", "TOOL_SEARCH")]
    assert [[page["cite_index"] for page in each["results"]] for each in searches] == [[1, 2], [], [3]]
    assert {each["status"] for each in searches} == {"FINISHED"}
    appended = [data for _, data in pairs if data.get("p") == "response/fragments"]
    assert bool(appended) is (stream != "nested")
    assert {data.get("o") for data in appended} == ({None} if bare else {"APPEND"} if appended else set())
    if not bare:
        references = next(each for each in message["fragments"] if each["type"] == "RESPONSE")["references"]
        assert [each["id"] for each in references] == [searches[0]["id"], searches[0]["id"], searches[2]["id"]]


async def test_the_flat_stream_of_2025(client: httpx.AsyncClient, replicas: Replicas) -> None:
    pieces = [
        Piece(text="hm", kind="reasoning"),
        Piece(text="one", kind="search", pages=[Page(url="https://a.example/")]),
        Piece(text="It"),
        Piece(kind="cite"),
        Piece(text=" is"),
    ]
    await replicas.play("deepseek", "ds-flat", Scenario(answer=Answer(pieces=pieces), options={"stream": "2025h2"}))
    token = mint("ds-flat")
    pairs = await ask(client, token, await new_session(client, token), "hi", search_enabled=True)
    inner = [data for event, data in pairs if event == "message"][1:]
    assert [
        (data.get("p"), data.get("o"), data["v"]) for data in inner if data.get("p") != "response/search_results"
    ] == [
        ("response/thinking_content", "APPEND", "hm"),
        ("response/search_status", "SET", "SEARCHING"),
        ("response/search_status", "SET", "FINISHED"),
        ("response/content", "APPEND", "It"),
        (None, None, "[citation:1]"),
        (None, None, " is"),
        ("response/status", "SET", "FINISHED"),
    ]
    results = [data for data in inner if data.get("p") == "response/search_results"]
    assert "cite_index" not in results[0]["v"][0]
    assert results[1]["v"] == [{"p": "0/cite_index", "v": 1}]


async def test_the_choices_of_2025(client: httpx.AsyncClient, replicas: Replicas) -> None:
    await replicas.play("deepseek", "ds-choices", Scenario(options={"stream": "2025h1"}))
    token = mint("ds-choices")
    answer = await client.post(**await chat_call(client, token, chat_body(await new_session(client, token), "hi")))
    whole, done = answer.text.rsplit("data: [DONE]\n\n", 1)
    assert done == ""
    choices = [data["choices"][0] for event, data in cut_events(whole) if event == "message"]
    texts: dict[str, str] = {}
    for choice in choices:
        kind = choice["delta"]["type"]
        texts[kind] = texts.get(kind, "") + choice["delta"]["content"]
    assert texts == {"thinking": "The user asks about scattering.", "text": "Because short waves scatter more."}
    assert [choice["finish_reason"] for choice in choices][-2:] == [None, "stop"]


async def test_a_megabyte_cut_anywhere_is_whole(client: httpx.AsyncClient, replicas: Replicas) -> None:
    answer = Answer(chars=1_000_000, count=400, reasoning_chars=10_000, seed=4)
    await replicas.play("deepseek", "ds-megabyte", Scenario(answer=answer, cuts=11))
    token = mint("ds-megabyte")
    message = shown(await ask(client, token, await new_session(client, token), "hi"))
    assert said(message, "RESPONSE") == answer.text()
    assert said(message, "THINK") == answer.reasoning()


async def test_an_incomplete_answer_is_continued(client: httpx.AsyncClient, replicas: Replicas) -> None:
    answer = Answer(chars=600, count=9, reasoning_chars=40, seed=2)
    await replicas.play("deepseek", "ds-long", Scenario(answer=answer, options={"incomplete_after": 12}))
    token = mint("ds-long")
    session = await new_session(client, token)
    call = await chat_call(client, token, chat_body(session, "go"))
    first = shown(events(await client.post(**call)))
    assert first["status"] == "INCOMPLETE"
    assert said(first, "THINK") == answer.reasoning()
    assert said(first, "RESPONSE") != answer.text()
    body = {"chat_session_id": session, "message_id": 2, "fallback_to_resume": True}
    # The proof of the send goes along once.
    pairs = events(await client.post(CONTINUE, headers=call["headers"], json=body))
    assert pairs[0][1]["response_message_id"] == 2
    assert said(pairs[2][1]["v"]["response"], "RESPONSE") == said(first, "RESPONSE"), "begins with all that was there"
    whole = shown(pairs)
    assert (whole["status"], said(whole, "RESPONSE")) == ("FINISHED", answer.text())
    over = await client.post(**await chat_call(client, token, body, CONTINUE))
    assert refused(over)[1] == "invalid message id", "it is complete now"
    twice = await client.post(CONTINUE, headers=call["headers"], json=body)
    assert refused(twice)[1] == "INVALID_POW_RESPONSE"
    [turn] = (await replicas.seen("deepseek", "ds-long")).conversations[0].turns
    assert not turn.stopped


async def test_a_full_conversation(client: httpx.AsyncClient, replicas: Replicas) -> None:
    await replicas.play("deepseek", "ds-full", Scenario(options={"session_chars": 80, "input_character_limit": 100}))
    token = mint("ds-full")
    session = await new_session(client, token)
    assert shown(await ask(client, token, session, "hi"))["status"] == "FINISHED"
    full = shown(await ask(client, token, session, "x" * 60, parent=2))
    assert (full["status"], full["fragments"]) == ("CONTEXT_LENGTH_EXCEEDED", [])
    answer = await client.post(**await chat_call(client, token, chat_body(session, "x" * 120, parent=2)))
    assert refused(answer)[1] == "内容超长约 20%，请删减后再试"


# Section 9: what goes wrong


async def test_a_refusal_takes_back_what_was_shown(client: httpx.AsyncClient, replicas: Replicas) -> None:
    fault = Fault(kind="refusal", after=4, message="换个话题", times=1)
    await replicas.play("deepseek", "ds-banned words", Scenario(faults=[fault]))
    token = mint("ds-banned words")
    session = await new_session(client, token)
    pairs = await ask(client, token, session, "hi")
    message = shown(pairs)
    assert (message["status"], message["ban_regenerate"]) == ("CONTENT_FILTER", True)
    assert [(each["type"], each["content"]) for each in message["fragments"]] == [("TEMPLATE_RESPONSE", "换个话题")]
    [batch] = [data for _, data in pairs if data.get("o") == "BATCH" and "p" not in data]
    assert {step["p"] for step in batch["v"]} == {"ban_regenerate", "fragments"}
    body = {"chat_session_id": session, "child_message_id": 2}
    again = await client.post(**await chat_call(client, token, body, REGENERATE))
    assert refused(again)[1] == "invalid message id", "it must not be made again"


@pytest.mark.parametrize("kind", ["error", "failed"])
async def test_failures_inside_the_stream(client: httpx.AsyncClient, replicas: Replicas, kind: str) -> None:
    fault = Fault.model_validate({"kind": kind, "after": 3, "message": "服务器繁忙，请稍后重试", "times": 1})
    await replicas.play("deepseek", kind, Scenario(faults=[fault]))
    token = mint(kind)
    session = await new_session(client, token)
    pairs = await ask(client, token, session, "hi")
    if kind == "error":
        assert pairs[-1] == ("message", {"code": 50000, "msg": "服务器繁忙，请稍后重试", "data": None})
    else:
        assert shown(pairs)["status"] == "FAILED"
    assert "FINISHED" not in json.dumps(pairs)
    [turn] = (await replicas.seen("deepseek", kind)).conversations[0].turns
    assert not turn.stopped
    await ask(client, token, session, "again", parent=2)


async def test_an_error_before_the_stream_leaves_no_trace(client: httpx.AsyncClient, replicas: Replicas) -> None:
    fault = Fault(kind="error", code="9", message="服务器繁忙，请稍后重试", times=1)
    await replicas.play("deepseek", "ds-overloaded", Scenario(faults=[fault]))
    token = mint("ds-overloaded")
    session = await new_session(client, token)
    answer = await client.post(**await chat_call(client, token, chat_body(session, "hi")))
    assert refused(answer) == (9, "服务器繁忙，请稍后重试")
    assert (await replicas.seen("deepseek", "ds-overloaded")).conversations == []
    await ask(client, token, session, "hi")


async def test_too_fast(client: httpx.AsyncClient, replicas: Replicas) -> None:
    fault = Fault(kind="status", status=429, retry_after_s=7, resets_in_s=60, times=1)
    await replicas.play("deepseek", "ds-hasty", Scenario(faults=[fault]))
    token = mint("ds-hasty")
    session = await new_session(client, token)
    answer = await client.post(**await chat_call(client, token, chat_body(session, "hi")))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert answer.json()["msg"] == "消息发送过于频繁，请稍后重试"
    await ask(client, token, session, "hi")


@pytest.mark.parametrize("kind", ["cut", "end"])
async def test_torn_and_ended_early(client: httpx.AsyncClient, replicas: Replicas, kind: str) -> None:
    fault = Fault.model_validate({"kind": kind, "after": 3})
    await replicas.play("deepseek", kind, Scenario(faults=[fault], cuts=3))
    token = mint(kind)
    text = ""
    call = await chat_call(client, token, chat_body(await new_session(client, token), "hi"))
    try:
        async with client.stream("POST", **call) as answer:
            async for part in answer.aiter_text():
                text += part
    except httpx.RemoteProtocolError:
        assert kind == "cut"
    else:
        assert kind == "end"
    assert "Because" in text
    assert "FINISHED" not in text
    [turn] = (await replicas.seen("deepseek", kind)).conversations[0].turns
    assert not turn.stopped, "it was not the client"


async def test_heartbeats_during_a_stall(client: httpx.AsyncClient, replicas: Replicas) -> None:
    await replicas.play("deepseek", "ds-beating", Scenario(faults=[Fault(kind="stall", after=1, heartbeat_ms=5)]))
    token = mint("ds-beating")
    call = await chat_call(client, token, chat_body(await new_session(client, token), "hi"))
    text = ""
    async with client.stream("POST", **call) as answer:
        async for part in answer.aiter_text():
            text += part
            if text.count("update_session") > 3 and text.count(": keep-alive") > 3:
                break
    assert "asks about" not in text


async def test_the_firewall_challenges(client: httpx.AsyncClient, replicas: Replicas) -> None:
    token = mint("ds-walled")
    call = await chat_call(client, token, chat_body(await new_session(client, token), "hi"))
    await replicas.play("deepseek", "ds-walled", Scenario(challenge=True))
    for answer in (await client.post(**call), await client.get("/", headers={"cookie": "replica_account=ds-walled"})):
        assert (answer.status_code, answer.headers["x-amzn-waf-action"]) == (202, "challenge")
        assert answer.headers["content-type"].startswith("text/html")
    await replicas.play("deepseek", "ds-walled", Scenario(faults=[Fault(kind="challenge", times=1)]))
    assert (await client.post(**call)).status_code == 202
    assert events(await client.post(**call)), "the proof has not been looked at"
