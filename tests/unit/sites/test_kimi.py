"""Kimi's requests and reader, with bytes alone (fact sheet sections 3 to 5, 9)."""

import asyncio
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.browser.answer import Answer
from relay.chat.events import Event, Finished, Reasoning, Started, Text, Turned
from relay.chat.request import Conversation, FileRef, Turn
from relay.errors import CutAnswer, LoginNeeded, RateLimited, RelayError, SiteChanged, SiteError
from relay.sites.kimi.messages import KimiReader
from relay.sites.kimi.requests import chat_body, claims
from relay.wire.connect import envelope

SAMPLE: list[dict[str, Any]] = [
    {"heartbeat": {}},
    {"op": "set", "eventOffset": 1, "mask": "chat", "chat": {"id": "19b0-demo-0001", "name": "Untitled Chat"}},
    {"op": "set", "eventOffset": 2, "mask": "chat.lastRequest", "chat": {"lastRequest": {"text": "why"}}},
    {"op": "set", "eventOffset": 3, "mask": "message", "message": {
        "id": "m-u1", "role": "user", "status": "MESSAGE_STATUS_COMPLETED", "blocks": [{"text": {"content": "why"}}]}},
    {"op": "set", "eventOffset": 4, "mask": "message", "message": {
        "id": "m-a1", "parentId": "m-u1", "role": "assistant", "status": "MESSAGE_STATUS_GENERATING"}},
    {"op": "set", "eventOffset": 5, "mask": "block.think", "block": {"id": "3", "think": {"content": "The user"}}},
    {"op": "append", "eventOffset": 6, "mask": "block.think.content", "block": {
        "id": "3", "think": {"content": " asks."}}},
    {"op": "set", "eventOffset": 7, "mask": "block.text", "block": {"id": "4", "text": {"content": "短波 "}}},
    {"op": "append", "eventOffset": 8, "mask": "block.text.content", "block": {
        "id": "4", "text": {"content": "scatter 🌌."}}},
    {"op": "set", "eventOffset": 10, "mask": "message.status", "message": {
        "id": "m-a1", "status": "MESSAGE_STATUS_COMPLETED"}},
    {"op": "set", "eventOffset": 11, "mask": "chat.name", "chat": {"id": "19b0-demo-0001", "name": "Why"}},
    {"done": {}},
]  # fmt: skip
EVENTS: list[Event] = [
    Started("19b0-demo-0001"),
    Turned("19b0-demo-0001", "m-a1"),
    Reasoning("The user"),
    Reasoning(" asks."),
    Text("短波 "),
    Text("scatter 🌌."),
    Finished("stop"),
]


def stream(frames: list[dict[str, Any]], trailer: dict[str, Any] | None = None) -> bytes:
    return b"".join(map(envelope, frames)) + envelope(trailer or {}, 0x02)


async def read(chunks: list[bytes]) -> list[Event]:
    answer = Answer(200, {"content-type": "application/connect+json"}, "https://www.kimi.com/")
    for chunk in chunks:
        answer.push(chunk)
    answer.finish()
    return [event async for event in KimiReader().read(answer)]


@given(st.lists(st.integers(0, 2000), max_size=30))
def test_the_sheets_sample_in_any_cut(cuts: list[int]) -> None:
    data = stream(SAMPLE)
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    chunks = [data[a:b] for a, b in itertools.pairwise(places)]
    assert asyncio.run(read(chunks)) == EVENTS


@given(st.binary(max_size=300))
def test_garbage_is_one_of_our_errors(data: bytes) -> None:
    with pytest.raises(RelayError):
        asyncio.run(read([data]))


@pytest.mark.parametrize(
    ("frames", "trailer", "error"),
    [
        (SAMPLE[:8], None, CutAnswer),
        ([*SAMPLE[:5], {"done": {}}], None, CutAnswer),
        ([{"error": {"code": "unauthenticated", "message": "no"}}], None, LoginNeeded),
        ([{"error": {"code": "resource_exhausted", "message": "later"}}], None, RateLimited),
        ([*SAMPLE[:8], {"error": {"code": "unavailable", "message": "overloaded"}}], None, SiteError),
        ([], {"error": {"code": "resource_exhausted", "message": "later"}}, RateLimited),
        ([*SAMPLE[:5], {"mask": "message.status", "message": {"status": "MESSAGE_STATUS_FAILED"}}], None, SiteError),
        ([{"block": {"text": {"content": 3}}}], None, SiteChanged),
    ],
)
async def test_what_ends_an_answer_badly(
    frames: list[dict[str, Any]], trailer: dict[str, Any] | None, error: type[RelayError]
) -> None:
    with pytest.raises(error) as caught:
        await read([stream(frames, trailer)])
    if isinstance(caught.value, LoginNeeded | RateLimited):
        assert caught.value.refused, "nothing was shown, so another account may be tried"


async def test_an_error_after_text_is_never_retried() -> None:
    with pytest.raises(RateLimited) as caught:
        await read([stream([*SAMPLE[:8], {"error": {"code": "resource_exhausted", "message": "later"}}])])
    assert not caught.value.refused


def test_the_body_of_a_new_chat() -> None:
    body = chat_body(Turn("hi", "k2d6-chat", search=True), [FileRef("f1", "a.txt", "text/plain", 3)])
    assert body["chat_id"] == ""
    assert body["tools"] == [{"type": "TOOL_TYPE_SEARCH", "search": {}}]
    message = body["message"]
    assert isinstance(message, dict)
    assert message["parent_id"] == ""
    assert message["blocks"] == [
        {"message_id": "", "text": {"content": "hi"}},
        {"file": {"id": "f1", "status": "PROCESS_STATUS_SUCCESS"}},
    ]
    assert body["options"] == {
        "thinking": False,
        "enable_plugin": True,
        "reasoning_effort": "REASONING_EFFORT_NONE",
        "model": "k2d6-chat",
    }


def test_the_body_of_a_next_turn_and_of_an_agent() -> None:
    body = chat_body(Turn("hi", "k3-agent-swarm", conversation=Conversation("c1", "m1")))
    assert (body["chat_id"], body["scenario"]) == ("c1", "SCENARIO_OK_COMPUTER_SWARM")
    assert (body["kimiplusId"], body["agentMode"]) == ("ok-computer", "TYPE_ULTRA")
    assert json.loads(json.dumps(body))["message"]["parent_id"] == "m1"


@given(st.text())
def test_claims_of_anything(text: str) -> None:
    assert isinstance(claims(text), dict)
    assert isinstance(claims(f"a.{text}.c"), dict)
