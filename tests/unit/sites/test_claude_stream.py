"""Claude's reader, with bytes alone (fact sheet sections 5 and 9)."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.browser.answer import Answer
from relay.chat.events import (
    Event,
    Finished,
    Progress,
    Quota,
    Reasoning,
    Search,
    Source,
    Sources,
    Started,
    Text,
    Turned,
)
from relay.errors import (
    ContentRefused,
    CutAnswer,
    LoginNeeded,
    RateLimited,
    RelayError,
    SiteChanged,
    SiteError,
)
from relay.sites.claude.stream import ClaudeReader

CHAT = "c0000000-0000-4000-8000-00000000000c"
ADDRESS = f"https://claude.ai/api/organizations/o-1/chat_conversations/{CHAT}/completion"
ANSWER_ID = "22222222-2222-4222-8222-222222222222"
Said = dict[str, Any]

START: Said = {"type": "message_start", "message": {
    "id": "chatcompl_made0001", "type": "message", "role": "assistant", "model": "claude-sonnet-5",
    "parent_uuid": "11111111-1111-4111-8111-111111111111", "uuid": ANSWER_ID, "content": [],
    "stop_reason": None, "stop_sequence": None}}  # fmt: skip
WINDOWS: Said = {
    "5h": {"status": "within_limit", "resets_at": 1793534400, "utilization": 0.12},
    "7d": {"status": "within_limit", "resets_at": 1793966400, "utilization": 0.03},
}
LIMIT: Said = {"type": "message_limit", "message_limit": {
    "type": "within_limit", "resetsAt": None, "remaining": None, "representativeClaim": "five_hour",
    "windows": WINDOWS}}  # fmt: skip
STOP: Said = {"type": "message_stop"}
PING: Said = {"type": "ping"}


def opens(index: int, kind: str, **more: Any) -> Said:
    block = {"start_timestamp": "2026-11-01T10:00:00Z", "type": kind, **more}
    return {"type": "content_block_start", "index": index, "content_block": block}


def grows(index: int, kind: str, **more: Any) -> Said:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **more}}


def closes(index: int) -> Said:
    return {"type": "content_block_stop", "index": index, "stop_timestamp": "2026-11-01T10:00:02Z"}


def ends(reason: str | None) -> Said:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}}


def says(text: str, index: int = 0) -> list[Said]:
    return [opens(index, "text", text="", citations=[]), grows(index, "text_delta", text=text), closes(index)]


SAMPLE: list[Said] = [
    START,
    opens(0, "thinking", thinking=""),
    grows(0, "thinking_delta", thinking="Simple sum."),
    closes(0),
    opens(1, "text", text="", citations=[]),
    grows(1, "text_delta", text="Two plus two"),
    PING,
    grows(1, "text_delta", text=" is four. 二加二 🌌"),
    closes(1),
    ends("end_turn"),
    LIMIT,
    STOP,
]
QUOTAS: list[Event] = [Quota("5h", 0.12, 1793534400), Quota("7d", 0.03, 1793966400)]
EVENTS: list[Event] = [
    Started(CHAT),
    Turned(CHAT, ANSWER_ID),
    Reasoning("Simple sum."),
    Text("Two plus two"),
    Text(" is four. 二加二 🌌"),
    *QUOTAS,
    Finished("stop"),
]


def stream(said: list[Said]) -> bytes:
    return b"".join(f"event: {one['type']}\ndata: {json.dumps(one, ensure_ascii=False)}\n\n".encode() for one in said)


async def read(chunks: list[bytes], address: str = ADDRESS) -> list[Event]:
    answer = Answer(200, {"content-type": "text/event-stream"}, address)
    for chunk in chunks:
        answer.push(chunk)
    answer.finish()
    return [event async for event in ClaudeReader().read(answer)]


async def shown(said: list[Said]) -> list[Event]:
    """What such an answer shows: without its frame and the signs of life."""
    events = await read([stream([START, *said, ends("end_turn"), STOP])])
    return [event for event in events[2:-1] if not isinstance(event, Progress)]


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


async def test_the_sheets_sample_cut_at_every_byte() -> None:
    data = stream(SAMPLE)
    for cut in range(len(data) + 1):
        assert await read([data[:cut], data[cut:]]) == EVENTS
    assert await read([data[at : at + 1] for at in range(len(data))]) == EVENTS


async def test_with_other_line_ends_and_without_event_names() -> None:
    data = stream(SAMPLE)
    assert await read([data.replace(b"\n", b"\r\n")]) == EVENTS
    assert await read([b"".join(line for line in data.splitlines(True) if not line.startswith(b"event:"))]) == EVENTS


async def test_the_address_names_the_conversation() -> None:
    assert (await read([stream(SAMPLE)], ADDRESS.replace("/completion", "/retry_completion")))[0] == Started(CHAT)
    assert (await read([stream(SAMPLE)], "https://claude.ai/elsewhere"))[0] == Turned("", ANSWER_ID)


@pytest.mark.parametrize("after", range(len(SAMPLE) - 1))
async def test_what_ends_without_its_mark_is_cut(after: int) -> None:
    with pytest.raises(CutAnswer):
        await read([stream(SAMPLE[: after + 1])])


async def test_nothing_after_the_mark_is_text() -> None:
    assert await read([stream([*SAMPLE, *says("more", 2), {"type": "error", "error": {"type": "late"}}])]) == EVENTS


async def test_what_it_does_not_know_it_passes_over() -> None:
    odd: list[Said] = [
        {"type": "conversation_ready"},
        {"type": "message_brand_new", "message": 3, "index": "x"},
        opens(7, "signature"),
        grows(7, "signature_delta", signature="abc"),
        grows(7, "brand_new_delta", value=[1]),
        closes(7),
        closes(9),
    ]
    assert await read([stream([*odd, *SAMPLE[:-1], *odd, STOP])]) == EVENTS


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("end_turn", "stop"), ("stop_sequence", "stop"), (None, "stop"), ("max_tokens", "length"),
     ("pause_turn", "length"), ("refusal", "content_filter"), ("tool_use", "stop")],
)  # fmt: skip
async def test_why_it_ended(reason: str | None, finish: Any) -> None:
    assert (await read([stream([START, *says("So"), ends(reason), STOP])]))[-1] == Finished(finish)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ([START, ends("refusal"), STOP], ContentRefused),
        ([START, ends("end_turn"), STOP], SiteError),
        ([START, opens(0, "thinking"), grows(0, "thinking_delta", thinking="Hm"), ends("end_turn"), STOP], SiteError),
        ([START, *says("I look"), opens(1, "tool_use", name="repl"), closes(1), ends("tool_use"), STOP], CutAnswer),
        ([{"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}], SiteError),
        ([{"type": "error", "error": {"type": "permission_error", "message": "no"}}], LoginNeeded),
        ([{"type": "error", "error": {"type": "api_error"}}], SiteError),
        ([{"type": "error"}], SiteChanged),
        ([START, opens(0, "text", text=3)], SiteChanged),
        ([START, grows(0, "text_delta", text=["x"])], SiteChanged),
    ],
)
async def test_what_ends_an_answer_badly(said: list[Said], error: type[RelayError]) -> None:
    with pytest.raises(error):
        await read([stream(said)])


# limits


def exceeded(resets_at: float | None, **more: Any) -> Said:
    told = {"type": "exceeded_limit", "resetsAt": resets_at, "representativeClaim": "five_hour", **more}
    return {"type": "message_limit", "message_limit": told}


async def test_a_limit_in_the_stream() -> None:
    resets_at = time.time() + 600
    with pytest.raises(RateLimited, match=r"\(5h\) until") as caught:
        await read([stream([exceeded(resets_at)])])
    assert caught.value.refused, "nothing was answered, so another account may be tried"
    assert caught.value.retry_after_s == pytest.approx(600, abs=30)
    with pytest.raises(RateLimited) as caught:
        await read([stream([START, *says("So"), exceeded(None)])])
    assert not caught.value.refused
    assert caught.value.retry_after_s is None


async def test_a_limit_that_is_reached_with_the_answer_spoils_none() -> None:
    events = await read([stream([START, *says("So"), ends("end_turn"), exceeded(1793534400), STOP])])
    assert events[-2:] == [Quota("5h", 1.0, 1793534400), Finished("stop")]
    paid = exceeded(1793534400, overageInUse=True, windows=WINDOWS)
    assert await read([stream([paid, *SAMPLE])]) == [Started(CHAT), *QUOTAS, *EVENTS[1:]]


async def test_an_error_that_is_a_limit() -> None:
    told = json.dumps({"type": "exceeded_limit", "resetsAt": time.time() + 60})
    for message, after_s in ((told, pytest.approx(60, abs=30)), ("slower", None)):
        said = {"type": "error", "error": {"type": "rate_limit_error", "message": message}}
        with pytest.raises(RateLimited) as caught:
            await read([stream([said])])
        assert (caught.value.refused, caught.value.retry_after_s) == (True, after_s)
        with pytest.raises(RateLimited) as caught:
            await read([stream([START, said])])
        assert not caught.value.refused


# reasoning, tools, citations


async def test_headlines_stand_in_for_reasoning_that_is_not_told() -> None:
    headline = [grows(0, "thinking_summary_delta", summary={"summary": word}) for word in ("Adding", "Checking")]
    hidden = [opens(0, "thinking"), *headline, closes(0), *says("4", 1)]
    assert await shown(hidden) == [Reasoning("Adding\nChecking\n"), Text("4")]
    told = [opens(0, "thinking"), headline[0], grows(0, "thinking_delta", thinking="2+2"), closes(0), *says("4", 1)]
    assert await shown(told) == [Reasoning("2+2"), Text("4")]


FOUND = [
    {"type": "knowledge", "title": "Sky", "url": "https://a.example/sky"},
    {"type": "knowledge", "title": None, "url": "http://b.example/x_(y)"},
    {"type": "knowledge", "title": "no page", "url": "javascript:alert(1)"},
]
SOURCES = Sources((Source("https://a.example/sky", "Sky", index=1), Source("http://b.example/x_%28y%29", index=2)))


def searches(found: Any, *, as_deltas: bool = False) -> list[Said]:
    query = [grows(0, "input_json_delta", partial_json=part) for part in ('{"query": "wh', 'y blue 天"}')]
    if as_deltas:
        result = [opens(1, "tool_result", content=[]), grows(1, "input_json_delta", partial_json=json.dumps(found))]
    else:
        result = [opens(1, "tool_result", content=found)]
    return [opens(0, "tool_use", name="web_search", input={}), *query, closes(0), *result, closes(1)]


@pytest.mark.parametrize("as_deltas", [False, True])
@pytest.mark.parametrize("found", [FOUND, {"results": FOUND}, [{"type": "result", "content": FOUND}]])
async def test_a_search(found: Any, as_deltas: bool) -> None:
    events = await shown([*searches(found, as_deltas=as_deltas), *says("So", 2)])
    assert events == [Search("why blue 天"), SOURCES, Text("So")]


async def test_signs_of_life_reset_the_idle_clock() -> None:
    told = grows(0, "tool_use_block_update_delta", message="Reading 3 pages")
    events = await read(
        [stream([START, opens(0, "tool_use", name="web_search"), told, closes(0), *says("So", 1), STOP])]
    )
    assert Progress("Reading 3 pages") in events


SKY = {"uuid": "k1", "title": "Sky", "url": "https://a.example/sky"}
NEW = {"uuid": "k2", "title": "New", "url": "https://c.example/"}


@pytest.mark.parametrize("end", [{"citation": SKY}, {"citation_uuid": "k1"}, {"citation": {"uuid": "k1"}}, {}, None])
async def test_citation_marks_become_links_where_they_stand(end: Said | None) -> None:
    marks = [grows(2, "citation_start_delta", citation=SKY), grows(2, "text_delta", text="blue")]
    closing = [grows(2, "citation_end_delta", **end), grows(2, "text_delta", text=".")] if end is not None else []
    block = [opens(2, "text"), grows(2, "text_delta", text="It is "), *marks, *closing, closes(2)]
    expected = "It is blue[1](https://a.example/sky)" + ("." if end is not None else "")
    assert text_of(await shown([*searches(FOUND), *block])) == expected


async def test_a_page_that_only_a_mark_names() -> None:
    mark = [grows(2, kind, citation=NEW) for kind in ("citation_start_delta", "citation_end_delta")]
    events = await shown([*searches(FOUND), opens(2, "text"), grows(2, "text_delta", text="So"), *mark, closes(2)])
    assert events[-3:] == [Text("So"), Sources((Source("https://c.example/", "New", index=3),)),
                           Text("[3](https://c.example/)")]  # fmt: skip


@pytest.mark.parametrize("citation", [None, 3, [], {}, {"url": 3}, {"url": "ftp://x"}, {"uuid": ["k"]}])
async def test_a_mark_that_names_nothing_says_nothing(citation: Any) -> None:
    marks = [grows(0, kind, citation=citation) for kind in ("citation_start_delta", "citation_end_delta")]
    assert await shown([opens(0, "text"), *marks, grows(0, "text_delta", text="So"), closes(0)]) == [Text("So")]


def makes(raw: str) -> list[Said]:
    return [opens(1, "tool_use", name="artifacts", input={}),
            *(grows(1, "input_json_delta", partial_json=raw[at : at + 5]) for at in range(0, len(raw), 5)),
            closes(1)]  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "fenced"),
    [
        (json.dumps({"title": "A  page", "language": "html", "content": "<p>天</p>"}),
         "**A page**\n\n```html\n<p>天</p>\n```\n"),
        (json.dumps({"content": "a\n```\nb\n"}), "````\na\n```\nb\n````\n"),
        (json.dumps({"content": "x", "language": "no `fence"}), "```\nx\n```\n"),
        ('{"command": "update", "old_str": "a"}', '```json\n{"command": "update", "old_str": "a"}\n```\n'),
        ('{"content": "cut', '```json\n{"content": "cut\n```\n'),
    ],
)  # fmt: skip
async def test_an_artifact_is_text(raw: str, fenced: str) -> None:
    assert text_of(await shown([*says("Here:"), *makes(raw), *says("Done", 2)])) == f"Here:\n\n{fenced}Done"
    assert text_of(await shown(makes(raw))) == fenced, "it is an answer by itself"
    ended = await read([stream([START, *makes(raw), ends("tool_use"), STOP])])
    assert ended[-1] == Finished("stop"), "nothing waits for an artifact"


# anything at all


@given(st.lists(st.integers(0, 3000), max_size=30))
def test_the_sample_in_any_cut(cuts: list[int]) -> None:
    data = stream(SAMPLE)
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    assert asyncio.run(read([data[a:b] for a, b in itertools.pairwise(places)])) == EVENTS


@given(st.binary(max_size=300))
def test_garbage_is_one_of_our_errors(data: bytes) -> None:
    with pytest.raises(RelayError):
        asyncio.run(read([data]))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["type", "delta", "citation", "url", "content", "uuid", "summary"]), inner)
    ),
    max_leaves=12,
)
KIND = st.sampled_from([
    "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta",
    "message_limit", "message_stop", "error", "ping",
])  # fmt: skip
FIELDS = st.sampled_from(["message", "index", "content_block", "delta", "message_limit", "error"])


@given(st.lists(st.builds(lambda kind, more: {**more, "type": kind}, KIND, st.dictionaries(FIELDS, ANYTHING))))
def test_hostile_events_are_one_of_our_errors(said: list[Said]) -> None:
    with pytest.raises(RelayError):
        asyncio.run(read([stream(said)]))


@given(st.text(max_size=400), ANYTHING)
def test_whatever_a_tool_was_given(raw: str, found: Any) -> None:
    blocks = [*makes(raw), opens(2, "tool_use", name="web_search", input=found), closes(2),
              opens(3, "tool_result", content=found), closes(3), *says("So", 4)]  # fmt: skip
    try:
        json.dumps(found, allow_nan=False)
    except ValueError:
        return  # no JSON
    assert text_of(asyncio.run(shown(blocks))).endswith("So")


async def test_a_huge_answer_is_exact() -> None:
    text = "天空散射短波 🌌 <b>&amp;\n" * 10_000
    pieces = [grows(0, "text_delta", text=text[at : at + 997]) for at in range(0, len(text), 997)]
    assert text_of(await shown([opens(0, "text"), *pieces, closes(0)])) == text


async def test_a_deep_nest_is_refused() -> None:
    with pytest.raises(SiteChanged):
        await read([b"data: " + b'{"type":' * 100_000 + b"\n\n"])
    deep: Any = FOUND
    for _ in range(200):
        deep = [deep]
    assert await shown([opens(0, "tool_result", content=deep), closes(0), *says("So", 1)]) == [Text("So")]
