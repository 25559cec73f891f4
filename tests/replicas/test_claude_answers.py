"""The Claude replica's answers: the events of the sheet's sample, searches and marks, and how an answer ends."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from tests.replicas import Answer, Fault, Page, Piece, Replicas, Scenario
from tests.replicas.claude.asking import begin, client, deltas, text
from tests.replicas.claude.calls import (
    ARTIFACTS,
    WEB_SEARCH,
    chats,
    completion_call,
    create_params,
)

HOST = "claude.ai"


async def test_the_sample_of_the_sheet(replicas: Replicas) -> None:
    conversation, found = await begin(replicas, "c-sample", "why", thinking_mode="extended")
    kinds = [event["delta"]["type"] if event["type"] == "content_block_delta" else event["type"] for event in found]
    assert kinds == [
        "conversation_ready",
        "message_start",
        "content_block_start",
        "thinking_delta",
        "thinking_summary_delta",
        "thinking_delta",
        "signature_delta",
        "content_block_stop",
        "content_block_start",
        "text_delta",
        "ping",
        "text_delta",
        "text_delta",
        "content_block_stop",
        "message_delta",
        "message_limit",
        "message_stop",
    ]
    head = found[1]["message"]
    assert head["id"].startswith("chatcompl_")
    assert (head["role"], head["content"], head["stop_reason"]) == ("assistant", [], None)
    assert [event["index"] for event in found if "index" in event] == [0] * 6 + [1] * 5
    assert found[-3]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert found[-2]["message_limit"]["windows"]["5h"]["utilization"] == 0.12
    assert text(found) == "Because short waves scatter more."
    [kept] = (await replicas.seen("claude", "c-sample")).conversations
    assert (kept.id, kept.turns[0].prompt, kept.turns[0].answer) == (conversation, "why", head["uuid"])
    assert (kept.turns[0].parent, kept.turns[0].thinking, kept.turns[0].stopped) == ("", True, False)


async def test_search_results_and_citation_marks(replicas: Replicas) -> None:
    pages = [Page(url="https://a.example/1", title="A", snippet="a"), Page(url="https://b.example/2", title="B")]
    pieces = [
        Piece(kind="search", text="sky colour", pages=pages),
        Piece(text="It is blue"),
        Piece(kind="cite", page=2),
        Piece(kind="cite", page=1),
        Piece(text="."),
        Piece(kind="cite", page=7),
    ]
    await replicas.play("claude", "searcher", Scenario(answer=Answer(pieces=pieces)))
    conversation, found = await begin(replicas, "searcher", tools=[WEB_SEARCH])
    blocks = [event["content_block"] for event in found if event["type"] == "content_block_start"]
    assert [block["type"] for block in blocks] == ["tool_use", "tool_result", "text"]
    assert (blocks[0]["name"], blocks[1]["tool_use_id"]) == ("web_search", blocks[0]["id"])
    assert json.loads("".join(deltas(found, "input_json_delta", "partial_json"))) == {"query": "sky colour"}
    assert deltas(found, "tool_use_block_update_delta", "message") == ["Searching the web"]
    assert [(page["title"], page["url"]) for page in blocks[1]["content"]] == [(p.title, p.url) for p in pages]
    marks = [event["delta"] for event in found if event["type"] == "content_block_delta" and event["index"] == 2]
    assert [mark.get("citation", mark).get("url", mark.get("text")) for mark in marks] == [
        "https://b.example/2",
        "https://a.example/1",
        "It is blue",
        "https://b.example/2",
        "https://a.example/1",
        ".",
    ]
    async with client(replicas, "searcher") as caller:
        kept = (await caller.get(f"{chats('searcher')}/{conversation}")).json()["chat_messages"][-1]["content"]
    assert kept[0]["input"] == {"query": "sky colour"}
    assert [(mark["url"], mark["end_index"]) for mark in kept[2]["citations"]] == [
        ("https://b.example/2", 10),
        ("https://a.example/1", 10),
    ]
    _, plain = await begin(replicas, "searcher")
    assert {block["content_block"]["type"] for block in plain if block["type"] == "content_block_start"} == {"text"}
    assert text(plain) == text(found) == "It is blue."
    seen = await replicas.seen("claude", "searcher")
    assert [each.turns[0].search for each in seen.conversations] == [True, False]


async def test_an_artifact_is_a_tools_input(replicas: Replicas) -> None:
    document = "# Sky\n\n" + "蓝 “blue” 🌌\n" * 30
    await replicas.play("claude", "maker", Scenario(options={"artifact": document}))
    _, found = await begin(replicas, "maker", tools=[ARTIFACTS])
    parts = deltas(found, "input_json_delta", "partial_json")
    assert len(parts) > 3
    assert json.loads("".join(parts))["content"] == document
    _, plain = await begin(replicas, "maker")
    assert deltas(plain, "input_json_delta", "partial_json") == []


async def test_a_megabyte_cut_anywhere_is_whole(replicas: Replicas) -> None:
    answer = Answer(chars=1_000_000, count=400, reasoning_chars=10_000, seed=4)
    await replicas.play("claude", "c-long", Scenario(answer=answer, cuts=11))
    _, found = await begin(replicas, "c-long", thinking_mode="auto", effort="high")
    assert text(found) == answer.text()
    assert "".join(deltas(found, "thinking_delta", "thinking")) == answer.reasoning()


@pytest.mark.parametrize(
    ("kind", "code", "last"),
    [
        ("error", "rate_limit_error", {"type": "rate_limit_error", "message": "too many"}),
        ("error", "internal", {"type": "api_error", "message": "too many"}),
        ("failed", "internal", {"type": "overloaded_error", "message": "Overloaded"}),
    ],
)
async def test_failures_inside_http_200(replicas: Replicas, kind: str, code: str, last: object) -> None:
    fault = Fault.model_validate({"kind": kind, "after": 1, "code": code, "message": "too many"})
    await replicas.play("claude", f"{kind}-{code}", Scenario(faults=[fault]))
    _, found = await begin(replicas, f"{kind}-{code}")
    assert found[-1] == {"type": "error", "error": last}
    assert "message_stop" not in {event["type"] for event in found}


async def test_a_used_up_window_inside_http_200(replicas: Replicas) -> None:
    fault = Fault(kind="error", code="exceeded_limit", resets_in_s=600)
    await replicas.play("claude", "spent", Scenario(faults=[fault]))
    _, found = await begin(replicas, "spent")
    limit = found[-1]["message_limit"]
    assert (limit["type"], limit["resetsAt"]) == ("exceeded_limit", limit["windows"]["5h"]["resets_at"])
    assert isinstance(limit["resetsAt"], int)


@pytest.mark.parametrize("after", [0, 4])
async def test_a_refusal_is_a_stop_reason(replicas: Replicas, after: int) -> None:
    await replicas.play("claude", f"refused-{after}", Scenario(faults=[Fault(kind="refusal", after=after)]))
    _, found = await begin(replicas, f"refused-{after}")
    assert [event["delta"]["stop_reason"] for event in found if event["type"] == "message_delta"] == ["refusal"]
    assert found[-1] == {"type": "message_stop"}
    assert text(found) == ("" if after == 0 else "Because short waves")


async def test_beats_of_a_stall_are_pings(replicas: Replicas) -> None:
    await replicas.play("claude", "c-beating", Scenario(faults=[Fault(kind="stall", after=0, heartbeat_ms=5)]))
    call = completion_call("c-beating", str(uuid4()), "hi", create_conversation_params=create_params())
    seen = b""
    async with client(replicas, "c-beating") as caller, caller.stream("POST", **call) as answer:
        async for data in answer.aiter_raw():
            seen += data
            if seen.count(b"event: ping") >= 4:
                break
    await replicas.records(site="claude", account="c-beating", operation="chat", state="aborted", count=1)
    [kept] = (await replicas.seen("claude", "c-beating")).conversations
    assert kept.turns[0].stopped


async def test_an_answer_that_is_stopped_ends(replicas: Replicas) -> None:
    pieces = [Piece(text="one"), *[Piece(text=" more", after_ms=20) for _ in range(500)]]
    await replicas.play("claude", "c-stopper", Scenario(answer=Answer(pieces=pieces)))
    conversation = str(uuid4())
    call = completion_call("c-stopper", conversation, "hi", create_conversation_params=create_params())
    seen = b""
    async with client(replicas, "c-stopper") as caller, caller.stream("POST", **call) as answer:
        async for data in answer.aiter_raw():
            if b"one" not in seen and b"one" in seen + data:
                stopped = await caller.post(f"{chats('c-stopper')}/{conversation}/stop_response", json={})
                assert stopped.status_code == 200
            seen += data
    assert b"message_stop" not in seen
    assert len(seen) < 50_000
    [kept] = (await replicas.seen("claude", "c-stopper")).conversations
    assert kept.turns[0].stopped


@pytest.mark.parametrize("options", [{"stop_reason": "max_tokens"}, {"conversation_ready": False}])
async def test_variants_of_an_answer(replicas: Replicas, options: dict[str, Any]) -> None:
    account = next(iter(options))
    await replicas.play("claude", account, Scenario(options=options))
    _, found = await begin(replicas, account)
    [ended] = [event["delta"]["stop_reason"] for event in found if event["type"] == "message_delta"]
    assert ended == options.get("stop_reason", "end_turn")
    assert (found[0]["type"] == "conversation_ready") == options.get("conversation_ready", True)
