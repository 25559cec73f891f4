"""ChatGPT's reader, with bytes alone (fact sheet sections 4, 5, 9, 10)."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.chat.events import (
    Event,
    Finished,
    Media,
    Reasoning,
    Search,
    Source,
    Sources,
    Started,
    Text,
    Turned,
)
from relay.errors import (
    CutAnswer,
    SiteChanged,
)
from relay.sites.chatgpt.reader import ChatGptReader
from tests.unit.sites.chatgpt_stream import (
    COMPLETE,
    DONE,
    ENDED,
    ID,
    OPEN,
    add,
    data,
    delta,
    message,
    picture,
    read,
    said,
    text,
)

SAMPLE = b"""event: delta_encoding
data: "v1"

data: {"type":"resume_conversation_token","conversation_id":"6e0c0000-0000-4000-8000-000000000001","token":"tok-made-up"}

event: delta
data: {"p":"","o":"add","v":{"message":{"id":"a-1","author":{"role":"assistant"},"content":{"content_type":"thoughts","thoughts":[]},"status":"in_progress","recipient":"all","channel":null,"metadata":{}},"conversation_id":"6e0c0000-0000-4000-8000-000000000001","error":null},"c":1}

event: delta
data: {"p":"/message/content/thoughts","o":"append","v":[{"summary":"Adding","content":"Two plus two"}]}

event: delta
data: {"p":"/message/content/thoughts/0/content","v":" is four."}

event: delta
data: {"p":"","o":"add","v":{"message":{"id":"a-2","author":{"role":"assistant"},"content":{"content_type":"text","parts":[""]},"status":"in_progress","end_turn":null,"recipient":"all","channel":"final","metadata":{"model_slug":"gpt-5-3"}},"conversation_id":"6e0c0000-0000-4000-8000-000000000001","error":null},"c":2}

data: {"type":"message_marker","conversation_id":"6e0c0000-0000-4000-8000-000000000001","message_id":"a-2","marker":"user_visible_token","event":"first"}

event: delta
data: {"p":"/message/content/parts/0","o":"append","v":"The sum"}

event: delta
data: {"v":" is 4 \xe2\x80\x94 \xf0\x9f\x8c\x8c"}

data: {"type":"title_generation","title":"Small sum","conversation_id":"6e0c0000-0000-4000-8000-000000000001"}

event: delta
data: {"p":"","o":"patch","v":[{"p":"/message/content/parts/0","o":"append","v":"."},{"p":"/message/status","o":"replace","v":"finished_successfully"},{"p":"/message/end_turn","o":"replace","v":true},{"p":"/message/metadata","o":"append","v":{"is_complete":true,"finish_details":{"type":"stop"}}}]}

data: {"type":"message_stream_complete","conversation_id":"6e0c0000-0000-4000-8000-000000000001"}

data: [DONE]

"""  # noqa: E501
EVENTS: list[Event] = [
    Started(ID),
    Reasoning("Adding\nTwo plus two"),
    Reasoning(" is four."),
    Turned(ID, "a-2"),
    Text("The sum"),
    Text(" is 4 — 🌌"),
    Text("."),
    Finished("stop"),
]


async def test_the_sheets_sample_cut_at_every_byte() -> None:
    for cut in range(len(SAMPLE)):
        assert await read([SAMPLE[:cut], SAMPLE[cut:]]) == EVENTS


@given(st.lists(st.integers(0, len(SAMPLE)), max_size=40))
def test_the_sheets_sample_in_any_cut(cuts: list[int]) -> None:
    places = sorted({0, len(SAMPLE), *cuts})
    assert asyncio.run(read([SAMPLE[a:b] for a, b in itertools.pairwise(places)])) == EVENTS


@given(st.integers(0, SAMPLE.index(b'{"p":"","o":"patch"')))
def test_what_ends_before_its_end_mark_is_cut(end: int) -> None:
    with pytest.raises(CutAnswer):
        asyncio.run(read([SAMPLE[:end]]))


async def test_what_a_delta_leaves_out_is_as_before() -> None:
    """Also the channel: an edit of an earlier message, then the newest one goes on where it names itself."""
    stream = [
        OPEN, add(message("a-0", channel="commentary"), 1), text("not for the user"), delta(" at all"),
        add(message("a-1"), 2), text("One"), delta(" two"),
        delta("hidden", p="/message/content/parts/0", o="append", c=1),
        delta(" three", c=2), delta(" four"), ENDED,
    ]  # fmt: skip
    assert said(await read(stream)) == "One two three four"


async def test_a_patch_says_several_things_at_once() -> None:
    ops: list[dict[str, Any]] = [
        {"p": "/message/content/parts/0", "o": "append", "v": "A"},
        {"p": "/message/metadata/token_count", "o": "replace", "v": 3},
        {"p": "/message/content/parts/0", "o": "append", "v": "B"},
    ]
    stream = [OPEN, add(message("a-1")), delta(ops, p="", o="patch"), delta(ops), ENDED]
    assert said(await read(stream)) == "ABAB"


@pytest.mark.parametrize("end", [ENDED, COMPLETE, data({"type": "main_stream_complete"}), DONE])
async def test_each_end_mark(end: bytes) -> None:
    events = await read([OPEN, add(message("a-1")), text("Four."), end, text(" Not text any more")])
    assert (said(events), events[-1]) == ("Four.", Finished("stop"))


async def test_an_answer_that_was_too_long_says_so() -> None:
    cut_off = {"p": "/message/metadata", "o": "append", "v": {"finish_details": {"type": "max_tokens"}}}
    ops = [cut_off, {"p": "/message/status", "o": "replace", "v": "finished_successfully"}]
    ops.append({"p": "/message/end_turn", "o": "replace", "v": True})
    events = await read([OPEN, add(message("a-1")), text("Four"), delta(ops, p="", o="patch")])
    assert events[-1] == Finished("length")


@pytest.mark.parametrize("end", [COMPLETE + DONE, ENDED + COMPLETE + DONE, DONE])
async def test_an_end_without_an_answer_is_no_answer(end: bytes) -> None:
    with pytest.raises(CutAnswer):
        await read([OPEN, add(message("a-1")), end])


HIDDEN: list[dict[str, Any]] = [
    message("h", channel="commentary"),
    message("h", channel="analysis"),
    message("h", recipient="web.run", channel=None),
    message("h", author={"role": "tool", "name": "web"}, channel=None),
    message("h", author={"role": "system"}, channel=None),
    message("h", author={"role": "user"}, channel=None),
    message("h", metadata={"is_visually_hidden_from_conversation": True}),
    message("h", {"content_type": "code", "text": "secret"}, channel=None),
    message("h", {"content_type": "reasoning_recap", "content": "Thought for 7s"}, channel=None),
    message("h", {"content_type": "user_editable_context", "user_profile": "secret"}, channel=None),
]


@pytest.mark.parametrize("hidden", HIDDEN)
async def test_what_is_no_answer_text(hidden: dict[str, Any]) -> None:
    inner = b"" if "parts" not in hidden["content"] else text("secret") + delta(" and more")
    events = await read([OPEN, add(hidden, 0), inner, add(message("a-1"), 1), text("Four."), ENDED])
    assert events == [Started(ID), Turned(ID, "a-1"), Text("Four."), Finished()]


async def test_the_echo_of_the_prompt_is_no_answer() -> None:
    echo = data({"type": "input_message", "input_message": message("u", author={"role": "user"})})
    assert said(await read([OPEN, echo, add(message("a-1")), text("Four."), ENDED])) == "Four."


async def test_the_older_snapshots() -> None:
    """Of a client that asks for no encoding: each event is the message as it stands; builds without channels."""
    shots = [("user", "2+2?"), ("assistant", ""), ("assistant", "Fo"), ("assistant", "Four.")]
    messages = [
        message(role[0], {"content_type": "text", "parts": [part]}, author={"role": role}, channel=None)
        for role, part in shots
    ]
    stream = [data({"message": one, "conversation_id": ID, "error": None}) for one in messages]
    assert await read([*stream, DONE]) == [Started(ID), Turned(ID, "a"), Text("Fo"), Text("ur."), Finished()]


async def test_two_texts_are_set_apart() -> None:
    stream = [OPEN, add(message("a-1")), text("First."), add(message("a-2"), 2), text("Second."), ENDED]
    events = await read(stream)
    assert said(events) == "First.\n\nSecond."
    assert [event.message for event in events if isinstance(event, Turned)] == ["a-1", "a-2"]


async def test_steps_of_reasoning() -> None:
    thoughts = message("t", {"content_type": "thoughts", "thoughts": []}, channel=None)
    stream = [
        OPEN, add(thoughts),
        delta([{"summary": "Look", "content": ""}], p="/message/content/thoughts", o="append"),
        delta("ing", p="/message/content/thoughts/0/summary", o="append"),
        delta("I see", p="/message/content/thoughts/0/content", o="add"),
        delta([{"summary": None, "content": "So it is"}], p="/message/content/thoughts", o="append"),
        delta("four.", p="/message/content/thoughts/1/content", o="replace"),
        add(message("a-1"), 2), text("Four."), ENDED,
    ]  # fmt: skip
    events = await read(stream)
    thought = "".join(event.text for event in events if isinstance(event, Reasoning))
    assert thought == "Looking\nI see\n\nSo it is"
    assert said(events) == "Four."


async def test_halves_of_a_character() -> None:
    events = await read([OPEN, add(message("a-1")), text("a\ud83c"), delta("\udf0cb\ud83c"), delta("\udf0c"), ENDED])
    assert [event.text for event in events if isinstance(event, Text)] == ["a", "🌌b", "🌌"]


async def test_white_space_stays() -> None:
    pieces = ["\n", " \t", "x  ", "\r\n", "\u2028", "\n\n"]
    assert said(await read([OPEN, add(message("a-1")), *map(text, pieces), ENDED])) == "".join(pieces)


async def test_a_long_answer_in_many_deltas() -> None:
    piece, count = "天空 wave ", 30_000
    stream = [OPEN, add(message("a-1")), text(piece), delta(piece) * (count - 1), ENDED]
    assert said(await read(stream)) == piece * count


async def test_text_that_is_taken_back_and_told_again() -> None:
    again = delta(4, p="/message/content/parts/0", o="truncate"), text("two")
    assert (
        said(await read([OPEN, add(message("a-1")), text("One two"), *again, delta(" three"), ENDED]))
        == "One two three"
    )


async def test_text_that_is_rewritten_is_no_answer() -> None:
    rewritten = delta("Another", p="/message/content/parts/0", o="replace")
    with pytest.raises(SiteChanged, match="rewritten"):
        await read([OPEN, add(message("a-1")), text("One two"), rewritten, ENDED])


# search

MARK, OTHER = "\ue200cite\ue202turn0search0\ue201", "\ue200cite\ue202turn0search1\ue202turn0search2\ue201"
RESULTS = [{"domain": "a.example", "entries": [
    {"url": "https://a.example/1", "title": "One", "snippet": "first", "ref_id": {"ref_index": 0}},
    {"url": "https://a.example/2", "title": None, "ref_id": "x"}]}]  # fmt: skip
REFERENCES = [
    {"matched_text": MARK, "type": "grouped_webpages", "alt": "([One](https://a.example/1))",
     "items": [{"title": "One", "url": "https://a.example/1"}], "safe_urls": ["https://a.example/1"]},
    {"matched_text": OTHER, "type": "grouped_webpages", "alt": None, "items": None,
     "sources": [{"url": "https://a.example/2"}, {"url": "https://b.example/(3)", "title": "Three"}]},
]  # fmt: skip


def metadata(key: str, value: Any, c: int = 1) -> bytes:
    return delta(value, p=f"/message/metadata/{key}", o="add", c=c)


async def test_sources_and_links_where_the_marks_stand() -> None:
    stream = [
        OPEN, add(message("a-1")), metadata("search_result_groups", RESULTS),
        text("Sky is blue"), delta(f" {MARK[:5]}"), delta(f"{MARK[5:]}. And{OTHER}"), delta(" so on."),
        metadata("content_references", REFERENCES), ENDED,
    ]  # fmt: skip
    events = await read(stream)
    assert said(events) == (
        "Sky is blue [1](https://a.example/1). And[2](https://a.example/2)[3](https://b.example/%283%29) so on."
    )
    assert [source for event in events if isinstance(event, Sources) for source in event.items] == [
        Source("https://a.example/1", "One", "first", 1),
        Source("https://a.example/2", "", "", 2),
        Source("https://b.example/(3)", "Three", "", 3),
    ]


@pytest.mark.parametrize(
    ("call", "queries"),
    [
        ("search('why is the sky blue')", ["why is the sky blue"]),
        ("search(\"sky 'blue'\")", ["sky 'blue'"]),
        ('{"search_query":[{"q":"sky"},{"q": "blue","recency":3}]}', ["sky", "blue"]),
        ("open(3)", []),
        ("", []),
    ],
)
async def test_what_is_searched_for_is_progress(call: str, queries: list[str]) -> None:
    done = {"recipient": "web", "channel": "commentary", "status": "finished_successfully"}
    calls = [add(message("w", {"content_type": "code", "text": call}, **done), 0)] * 2
    events = await read([OPEN, *calls, add(message("a-1"), 1), text("Four."), ENDED])
    assert [event.query for event in events if isinstance(event, Search)] == queries
    assert said(events) == "Four."


async def test_what_is_before_a_mark_does_not_wait() -> None:
    reader = ChatGptReader()
    with pytest.raises(CutAnswer):
        await read([OPEN, add(message("a-1")), text(f"Sky{MARK} is"), delta(" blue")], reader)
    assert reader.answer.told
    known = [metadata("content_references", REFERENCES[:1]), ENDED]
    assert said(await read(known, reader)) == "[1](https://a.example/1) is blue"


@pytest.mark.parametrize("end", [ENDED + COMPLETE, ENDED + DONE, ENDED, COMPLETE])
async def test_a_mark_that_nobody_explains_is_dropped(end: bytes) -> None:
    assert said(await read([OPEN, add(message("a-1")), text(f"Sky{MARK} is{OTHER} blue"), end])) == "Sky is blue"


async def test_citations_may_come_after_the_end_of_the_text() -> None:
    late = data({"type": "content_references_patch", "content_references": REFERENCES})
    stream = [OPEN, add(message("a-1")), text(f"Sky{MARK} is"), ENDED, late, COMPLETE, DONE]
    assert said(await read(stream)) == "Sky[1](https://a.example/1) is"


async def test_a_mark_without_a_page_is_what_it_says_of_itself() -> None:
    entity = [{"matched_text": MARK, "type": "entity", "alt": "Paris"}]
    stream = [OPEN, add(message("a-1")), metadata("content_references", entity), text(f"In {MARK}."), ENDED]
    assert said(await read(stream)) == "In Paris."


async def test_characters_of_marks_that_are_none() -> None:
    for odd in ("\ue200", "a\ue201b", "\ue202", "\ue200" + "x" * 5000 + " end"):
        assert said(await read([OPEN, add(message("a-1")), text(odd), delta("!"), ENDED])) == odd + "!"


# pictures


@pytest.mark.parametrize("pointer", ["sediment://file_1", "file-service://file_1", "sediment://file_1#p_0"])
async def test_a_picture_is_an_answer(pointer: str) -> None:
    events = await read([OPEN, add(picture(pointer)), COMPLETE])
    address = f"/backend-api/conversation/{ID}/attachment/file_1/download"
    assert events == [Started(ID), Media("image", address, private=True), Finished()]


async def test_a_picture_that_is_still_made_is_waited_for() -> None:
    pending = picture(None, metadata={"image_gen_task_id": "task-1"})
    with pytest.raises(CutAnswer):
        await read([OPEN, add(pending), add(message("a-1"), 2), text("Wait."), ENDED, COMPLETE, DONE])
