"""What ends an answer of ChatGPT badly (fact sheet sections 5 and 9): known faults, garbage, bombs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.chat.events import Finished, Progress, Retracted, Started, Text, Turned
from relay.errors import (
    ChallengeNeeded,
    ContentRefused,
    ContextTooLong,
    RateLimited,
    RelayError,
    SiteChanged,
    SiteError,
)
from relay.sites.chatgpt.reader import ChatGptReader
from tests.unit.sites.chatgpt_stream import DONE, ENDED, ID, OPEN, add, data, delta, message, read, said, text


def stream_of(value: Any, *, shown: bool = False) -> list[bytes]:
    return [OPEN, *([add(message("a-1")), text("Fo")] if shown else []), value]


FAULTS: list[tuple[bytes, type[RelayError]]] = [
    (data({"error": "Something went wrong"}), SiteError),
    (data({"message": None, "conversation_id": ID, "error": "overloaded"}), SiteError),
    (data({"type": "error", "error": "overloaded"}), SiteError),
    (add(message("s", {"content_type": "system_error", "name": "E", "text": "it broke"}, author={"role": "system"})),
     SiteError),
    (add(message("s", {"content_type": "system_error", "text": "it broke"})), SiteError),
    (data({"error": {"code": "model_cap_exceeded", "message": "later", "clears_in": 90}}), RateLimited),
    (data({"error": {"code": "conversation_too_large"}}), ContextTooLong),
    (data({"detail": "x", "error": {"message": "Unusual activity from your device"}}), ChallengeNeeded),
    (data("v2", "delta_encoding"), SiteChanged),
    (b"data: {nonsense\n\n", SiteChanged),
    (data([1]), SiteChanged),
    (data({"p": "/x"}, "delta"), SiteChanged),
    (delta("x", p="/message/content/nowhere/3", o="append"), SiteChanged),
    (delta("x", p="", o="explode"), SiteChanged),
    (delta("x", p="", o="add", c="one"), SiteChanged),
    (add(message("a", {"content_type": "text", "parts": "text"})), SiteChanged),
]  # fmt: skip


@pytest.mark.parametrize("shown", [False, True])
@pytest.mark.parametrize(("frame", "error"), FAULTS)
async def test_what_ends_an_answer_badly(frame: bytes, error: type[RelayError], shown: bool) -> None:
    with pytest.raises(error) as caught:
        await read(stream_of(frame, shown=shown))
    assert not caught.value.refused, "the prompt was taken: it is never sent again"
    if isinstance(caught.value, RateLimited):
        assert caught.value.retry_after_s == 90


async def test_an_error_that_edits_the_answer() -> None:
    with pytest.raises(SiteError, match="overloaded"):
        await read(stream_of(delta("overloaded", p="/error", o="replace"), shown=True))


def moderation(*, blocked: bool) -> bytes:
    return data({"type": "moderation", "conversation_id": ID, "moderation_response": {"blocked": blocked}})


async def test_moderation() -> None:
    with pytest.raises(ContentRefused):
        await read(stream_of(moderation(blocked=True)))
    events = await read(
        [OPEN, add(message("a-1")), text("Fo"), moderation(blocked=False), moderation(blocked=True), DONE]
    )
    assert [type(event) for event in events] == [Started, Turned, Text, Retracted, Finished]
    assert said(await read([OPEN, add(message("a-1")), moderation(blocked=False), text("Four."), ENDED])) == "Four."


async def test_pings_are_no_progress() -> None:
    reader = ChatGptReader()
    decoder = reader.frames()
    quiet = [*decoder.feed(b": ping\n\nevent: ping\ndata: {}\n\n"), *decoder.feed(data({"type": "ping"}))]
    assert [event for frame in quiet for event in reader.feed(frame)] == []
    alive = decoder.feed(data({"type": "message_marker", "marker": "cot_token", "event": "first"}))
    assert [event for frame in alive for event in reader.feed(frame)] == [Progress()]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["p", "o", "v", "c", "type", "message", "content", "parts", "author", "role", "id", "error",
                         "metadata", "content_type", "thoughts", "status", "conversation_id", "content_references"]),
        inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(st.binary(max_size=300))
def test_garbage_is_one_of_our_errors(garbage: bytes) -> None:
    with pytest.raises(RelayError):
        asyncio.run(read([garbage]))


@given(st.lists(st.tuples(JSON, st.sampled_from(["", "delta", "delta_encoding"])), max_size=5), st.booleans())
def test_hostile_events_are_read_or_one_of_our_errors(frames: list[tuple[Any, str]], begun: bool) -> None:
    start = [OPEN, add(message("a-1")), text("Fo")] if begun else []
    with pytest.raises(RelayError):
        asyncio.run(read([*start, *(data(value, event) for value, event in frames)]))


@pytest.mark.parametrize(
    "bomb",
    [
        b"data: " + b"[" * 100_000 + b"\n\n",
        data({"p": "/a" * 5000, "o": "add", "v": 1}, "delta"),
        b"data: " + b"x" * (17 * 1024 * 1024),
        b"".join(delta({}, p="", o="add", c=number) for number in range(1500)),
    ],
    ids=["nested", "path", "line", "channels"],
)
async def test_bombs(bomb: bytes) -> None:
    with pytest.raises(SiteChanged):
        await read([OPEN, bomb])
