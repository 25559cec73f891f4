"""How an answer of ChatGPT goes on in the page's socket and resumed stream (fact sheet section 5, hand-over)."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.browser.traffic import Exchange, SocketFrame, Traffic
from relay.chat.events import Event, Finished, Progress, Text
from relay.errors import CutAnswer, RelayError, SiteChanged
from relay.sites.chatgpt.handover import arrivals
from relay.sites.chatgpt.reader import ChatGptReader
from relay.sites.chatgpt.socket import SocketReader
from tests.unit.sites.chatgpt_stream import (
    COMPLETE,
    DONE,
    ENDED,
    HANDED_OVER,
    ID,
    OPEN,
    add,
    delta,
    message,
    read,
    said,
    text,
)

TOPIC = "conversation-turn-1"
ITEMS = [add(message("a-1")), text("One"), delta(" two"), delta(" three."), ENDED, COMPLETE]
SOCKET = "wss://ws.chatgpt.com/p/1"


async def handed_over() -> tuple[ChatGptReader, SocketReader]:
    """The readers of an answer whose stream held nothing but the hand-over."""
    reader = ChatGptReader()
    with pytest.raises(CutAnswer):
        await read([OPEN, HANDED_OVER, DONE], reader)
    return reader, SocketReader(reader)


def item(encoded: bytes, offset: int, *, topic: str = TOPIC, conversation: str = ID) -> dict[str, Any]:
    """A piece of the stream as the socket carries it."""
    payload = {
        "type": "stream-item",
        "conversation_id": conversation,
        "turn_id": "t",
        "encoded_item": encoded.decode(),
        "stream_item_id": f"i{offset}",
        "parent_stream_item_id": f"i{offset - 1}",
    }
    return envelope(payload, offset, topic=topic)


def envelope(payload: dict[str, Any], offset: int | None = None, *, topic: str = TOPIC) -> dict[str, Any]:
    """A message of a topic."""
    said = {"type": "message", "topic_id": topic, "payload": {"type": "conversation-turn-stream", "payload": payload}}
    return said if offset is None else {**said, "offset": str(offset)}


def subscribed(missed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The reply to a subscription."""
    reply = {"type": "subscribe", "topic_id": TOPIC, "recovered": True, "catchups": missed, "last_offset": "3"}
    return {"id": 2, "reply": reply}


def events(socket: SocketReader, *messages: Any) -> list[Event]:
    """What the messages tell, without what only shows that the answer lives."""
    told = [event for one in messages for event in socket.feed(json.dumps(one), ID)]
    return [event for event in told if not isinstance(event, Progress)]


@pytest.mark.parametrize("blank_line", [True, False])
async def test_the_stream_in_envelopes(blank_line: bool) -> None:
    _, socket = await handed_over()
    items = [item(one if blank_line else one.rstrip(b"\n"), number) for number, one in enumerate(ITEMS)]
    told = events(socket, {"id": 1, "reply": {"type": "connect"}}, subscribed([]), *items[:2], items[2:])
    assert (said(told), told[-1]) == ("One two three.", Finished())


@given(st.integers(0, len(ITEMS)), st.integers(0, len(ITEMS)))
def test_what_was_missed_is_told_once(missed: int, repeated: int) -> None:
    async def told() -> list[Event]:
        _, socket = await handed_over()
        items = [item(one, number) for number, one in enumerate(ITEMS)]
        start = max(0, missed - repeated)
        return events(socket, subscribed(items[:missed]), subscribed(items[start:missed]), items[start:])

    found = asyncio.run(told())
    assert (said(found), found.count(Finished())) == ("One two three.", 1)


async def test_other_topics_are_not_ours() -> None:
    reader, socket = await handed_over()
    others = [item(one, number, topic="conversation-turn-2") for number, one in enumerate(ITEMS)]
    update = {"type": "message", "topic_id": "conversations", "payload": {"type": "conversation-update"}}
    assert events(socket, *others, update, {"type": "pong"}, []) == []
    assert not reader.answer.told


async def test_without_a_topic_the_conversation_tells() -> None:
    socket = SocketReader(ChatGptReader())
    ours = [item(one, number) for number, one in enumerate(ITEMS)]
    others = [item(text("not ours"), number, topic="x", conversation="another") for number in range(2)]
    assert said(events(socket, *others, ours)) == "One two three."


async def test_the_end_of_a_topic_ends_what_has_its_mark() -> None:
    _, socket = await handed_over()
    mark = "\ue200cite\ue202turn0search0\ue201"
    pieces = [item(one, number) for number, one in enumerate([add(message("a-1")), text(f"One{mark}"), ENDED])]
    assert events(socket, *pieces)[-1] == Text("One")
    assert events(socket, envelope({"type": "heartbeat"})) == []
    assert events(socket, envelope({"type": "done"})) == [Finished()]


async def test_the_end_of_a_topic_is_no_end_mark() -> None:
    _, socket = await handed_over()
    told = events(socket, item(ITEMS[0], 0), item(ITEMS[1], 1), envelope({"type": "done"}))
    assert (said(told), told[-1]) == ("One", Text("One"))


async def test_heartbeats_are_no_progress() -> None:
    _, socket = await handed_over()
    beat = json.dumps(envelope({"type": "heartbeat", "conversation_id": ID}))
    assert list(socket.feed(beat, ID)) == []


@given(st.text(max_size=50))
def test_garbage_in_the_socket(garbage: str) -> None:
    socket = SocketReader(ChatGptReader())
    try:
        list(socket.feed(garbage, ID))
    except RelayError as error:
        assert isinstance(error, SiteChanged)


KEYS = ["type", "payload", "reply", "catchups", "offset", "encoded_item"]
JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
)


@given(JSON)
def test_hostile_messages(value: Any) -> None:
    socket = SocketReader(ChatGptReader())
    odd = [value, envelope({"type": "stream-item", "encoded_item": value}), subscribed([value])]
    assert events(socket, *odd) == []


# the page's traffic in the order in which it comes


def exchange(url: str) -> Exchange:
    return Exchange("POST", url, "", "Fetch")


async def some(items: AsyncGenerator[Exchange | SocketFrame | None, None], count: int) -> list[Any]:
    """The next few."""
    return [await anext(items) for _ in range(count)]


async def test_arrivals_of_both_kinds() -> None:
    traffic = Traffic(("**",))
    first, second = exchange("https://a/1"), exchange("https://a/2")
    frames = [SocketFrame(SOCKET, str(number), sent=False) for number in range(3)]
    traffic.add(first)
    traffic.add_frame(frames[0])
    async with aclosing(arrivals(traffic, 5)) as items:
        found = await some(items, 2)
        assert {id(one) for one in found} == {id(first), id(frames[0])}
        traffic.add_frame(frames[1])
        traffic.add_frame(None)  # one socket closes, another goes on
        traffic.add_frame(frames[2])
        assert await some(items, 2) == frames[1:]
        traffic.add(second)
        assert await some(items, 1) == [second]


async def test_arrivals_that_do_not_come() -> None:
    traffic = Traffic(("**",))
    async with aclosing(arrivals(traffic, 0.01)) as items:
        assert await some(items, 2) == [None, None]
        frame = SocketFrame(SOCKET, "late", sent=False)
        traffic.add_frame(frame)
        assert frame in [one for one in await some(items, 2) if one is not None]


async def test_a_dead_page_ends_the_arrivals() -> None:
    traffic = Traffic(("**",))
    async with aclosing(arrivals(traffic, 5)) as items:
        traffic.fail(CutAnswer("gone"))
        with pytest.raises(CutAnswer, match="gone"):
            await anext(items)


async def test_arrivals_left_early_lose_nothing() -> None:
    """Whoever watches the traffic after us finds what came meanwhile."""
    traffic = Traffic(("**",))
    async with aclosing(arrivals(traffic, 0.01)) as items:
        assert await anext(items) is None
    traffic.add(late := exchange("https://a/late"))
    assert await traffic.next() is late


def test_the_messages_of_the_sample_are_whole_events() -> None:
    assert all(one.endswith(b"\n\n") for one in itertools.chain(ITEMS))
