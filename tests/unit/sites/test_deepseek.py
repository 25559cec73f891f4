"""The reader of DeepSeek's answers, with bytes alone (fact sheet sections 5 and 9)."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.chat.events import Finished, Reasoning, Retracted, Search, Source, Sources, Text, Turned
from relay.errors import (
    BadFrame,
    ContentRefused,
    ContextTooLong,
    CutAnswer,
    LoginNeeded,
    RateLimited,
    RelayError,
    SiteChanged,
    SiteError,
    SiteUnavailable,
)
from relay.sites.deepseek.stream import DeepSeekReader
from tests.unit.sites.deepseek_streams import (
    END,
    PAGE,
    READY,
    REASONING,
    SAMPLE,
    SOURCE,
    TEXT,
    answer_of,
    more,
    read,
    reasoning,
    said,
    snapshot,
    sources,
    status,
    stream,
    text,
)

SEARCHED = said(
    "", "TOOL_SEARCH", queries=[{"query": "tea"}], results=[PAGE, {**PAGE, "url": "https://b/", "cite_index": 2}]
)


async def test_the_sheets_sample() -> None:
    events = await read([stream(SAMPLE)])
    assert [event for event in events if not isinstance(event, Text | Reasoning)] == [
        Turned("s-1", "4"),
        Search("green tea"),
        Sources((SOURCE,)),
        Finished("stop"),
    ]
    assert (text(events), reasoning(events)) == (TEXT, REASONING)


def test_the_sheets_sample_cut_at_every_byte() -> None:
    data = stream(SAMPLE)
    whole = asyncio.run(read([data]))
    for at in range(len(data)):
        assert asyncio.run(read([data[:at], data[at:]])) == whole
    assert asyncio.run(read([data[at : at + 1] for at in range(len(data))])) == whole


@given(st.lists(st.integers(0, 4000), max_size=30))
def test_the_sheets_sample_in_any_cut(cuts: list[int]) -> None:
    data = stream(SAMPLE)
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    events = asyncio.run(read([data[a:b] for a, b in itertools.pairwise(places)]))
    assert (text(events), reasoning(events)) == (TEXT, REASONING)


@pytest.mark.parametrize("upto", range(len(SAMPLE) - 4))
async def test_no_part_of_the_sample_is_an_answer(upto: int) -> None:
    endings: list[list[Any]] = [[], [("close", {"click_behavior": "none", "auto_resume": False})], [("finish", {})]]
    for ending in endings:
        if upto == len(SAMPLE) - 5 and ending == [("finish", {})]:
            continue  # the site has said `quasi_status`, and that it is over
        with pytest.raises(CutAnswer):
            await read([stream([*SAMPLE[:upto], *ending])])


async def test_finish_is_an_end_mark_where_all_but_the_status_said_so() -> None:
    events = await read([stream([*SAMPLE[:16], ("finish", {})])])
    assert (text(events), events[-1]) == (TEXT, Finished("stop"))


async def test_nothing_after_the_end_mark_counts() -> None:
    frames: list[Any] = [snapshot(said("All.")), END, more("No."), ("close", {})]
    assert text(await read([stream(frames)])) == "All."


# text


async def test_text_is_exact() -> None:
    whole = ' \n\t短波 🌌 👩🏽‍🔬 \r\n```py\nprint("[reference:0]")\n```\u2028 end\n\n'
    for size in (1, 3, 1000):
        pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
        frames = [snapshot(said(pieces[0])), more(""), *({"v": piece} for piece in pieces[1:]), END]
        assert text(await read([stream(frames)])) == whole


async def test_an_emoji_cut_in_two_by_the_site_is_whole() -> None:
    first, second = "\ud83c", "\udf0c"
    events = await read([stream([snapshot(said("a" + first)), more(second), {"v": first}, {"v": second + "b"}, END])])
    assert text(events) == "a🌌🌌b"
    assert text(await read([stream([snapshot(said("a")), more(first), END])])) == "a\ufffd"


async def test_bare_text_belongs_to_the_current_fragment_whatever_was_patched_last() -> None:
    frames = [
        snapshot(said("Hm", "THINK")),
        {"v": "m"},
        {"p": "response/fragments/-1/elapsed_secs", "o": "SET", "v": 2},
        {"v": "."},
        {"p": "response/fragments", "v": [said("A")]},
        {"v": "B"},
        {"p": "response", "o": "BATCH", "v": [{"p": "accumulated_token_usage", "v": 9}]},
        {"v": "C"},
        {"p": "response/fragments/-1/content", "v": "D"},
        {"v": "E"},
        END,
    ]
    events = await read([stream(frames)])
    assert (text(events), reasoning(events)) == ("ABCDE", "Hmm.")


async def test_a_status_is_never_text() -> None:
    frames = [snapshot(said("A")), status("WIP"), {"v": "WIP"}, {"v": "FINISHED"}]
    events = await read([stream(frames)])
    assert (text(events), events[-1]) == ("A", Finished("stop"))


async def test_what_is_no_answer_is_not_told() -> None:
    kinds = ("TIP", "SEARCH", "TOOL_SEARCH", "TOOL_OPEN", "SOMETHING_NEW")
    frames: list[Any] = [snapshot(said("A"))]
    for kind in kinds:
        frames += [{"p": "response/fragments", "o": "APPEND", "v": [said("not this", kind)]}, more("nor this")]
    frames += [{"p": "response/fragments", "o": "APPEND", "v": [said("B")]}, END]
    assert text(await read([stream(frames)])) == "AB"


async def test_a_long_answer_is_linear() -> None:
    """A look at the whole text for each of 60,000 pieces would be 60 GB: the suite's time-out."""
    piece = "thirty characters of an answer"
    frames = [snapshot(SEARCHED, said("")), more(""), *([{"v": piece}] * 60_000), END]
    assert text(await read([stream(frames)])) == piece * 60_000


# search and citations


async def test_each_page_is_told_once() -> None:
    second = {**PAGE, "url": "https://tea.example/b", "cite_index": 2}
    frames = [
        snapshot(said("", "SEARCH", queries=[{"query": "a"}], results=[])),
        {"p": "response/fragments/-1/results", "o": "SET", "v": [PAGE]},
        {"p": "response/fragments/-1/results", "o": "SET", "v": [PAGE, second]},
        {"p": "response/fragments/-1/queries", "o": "APPEND", "v": [{"query": "b"}]},
        {"p": "response/fragments", "o": "APPEND", "v": [
            {"id": 5, "type": "TOOL_OPEN", "result": {"url": "https://tea.example/c", "title": None}}, said("A")]},
        END,
    ]  # fmt: skip
    events = await read([stream(frames)])
    assert sources(events) == [
        SOURCE,
        Source("https://tea.example/b", "Tea", "…", 2),
        Source("https://tea.example/c"),
    ]
    assert [event for event in events if isinstance(event, Search)] == [Search("a"), Search("b")]


@pytest.mark.parametrize("size", [1, 2, 5, 100])
@pytest.mark.parametrize(
    ("written", "linked"),
    [
        ("a[citation:1]b", "a[1](https://tea.example/a)b"),
        ("[citation:2][citation:1]", "[2](https://b/)[1](https://tea.example/a)"),
        ("[citation:3] [citation:x] [citations] [c] [", "[citation:3] [citation:x] [citations] [c] ["),
        ("x[[citation:1]] [citation:1", "x[[1](https://tea.example/a)] [citation:1"),
        ("a[0] = b[cit]; [1](https://c/)", "a[0] = b[cit]; [1](https://c/)"),
    ],
)
async def test_citation_marks_become_links_however_they_are_cut(written: str, linked: str, size: int) -> None:
    pieces = [written[at : at + size] for at in range(0, len(written), size)]
    frames = [snapshot(SEARCHED, said("")), more(""), *({"v": piece} for piece in pieces), END]
    assert text(await read([stream(frames)])) == linked


async def test_what_a_reference_means() -> None:
    one = said("", "TOOL_OPEN", id=7, result={"url": "https://one/(x)", "title": "One"})
    two = said("", "TOOL_SEARCH", id=8, results=[PAGE, {**PAGE, "url": "https://b/", "cite_index": 2}])
    frames = [
        snapshot(one, two, said("", references=[{"id": 8}, {"id": 8}, {"id": 7}, {"id": 99}])),
        more("[reference:0][reference:1][reference:2][reference:3][reference:4]"),
        END,
    ]
    # The third is a page that was opened and has no number of its own: it is the first of all pages.
    assert text(await read([stream(frames)])) == (
        "[1](https://tea.example/a)[2](https://b/)[1](https://one/%28x%29)[reference:3][reference:4]"
    )


async def test_marks_without_pages_are_text_at_once() -> None:
    reader = DeepSeekReader("s")
    events = await read([stream([snapshot(said("see ")), more("[cit"), {"v": "ation:1]"}, END])], reader)
    assert [event.text for event in events if isinstance(event, Text)] == ["see ", "[cit", "ation:1]"]


# older shapes


async def test_the_second_half_of_2025() -> None:
    frames = [
        READY,
        {"v": {"response": {"message_id": 4, "status": "WIP", "content": "", "thinking_content": None}}},
        {"p": "response/search_status", "v": "SEARCHING"},
        {"p": "response/search_results", "v": [{"url": "https://a/"}, {"url": "https://b/"}]},
        {"p": "response/search_results", "o": "BATCH", "v": [
            {"p": "0/cite_index", "v": 1}, {"p": "1/cite_index", "v": 2}]},
        {"p": "response/thinking_content", "v": "Hm"},
        {"v": "m."},
        {"p": "response/content", "v": "As [cita"},
        {"v": "tion:2] says."},
        END,
    ]  # fmt: skip
    events = await read([stream(frames)])
    assert (text(events), reasoning(events)) == ("As [2](https://b/) says.", "Hmm.")
    assert [source.url for source in sources(events)] == ["https://a/", "https://b/"]


async def test_the_first_half_of_2025() -> None:
    def chunk(kind: str, content: str | None, **fields: Any) -> dict[str, Any]:
        return {"choices": [{"index": 0, "delta": {"type": kind, "content": content, **fields}}], "model": ""}

    frames = [
        chunk("search_result", None, search_results=[{"url": "https://a/", "title": "A", "cite_index": 1}]),
        chunk("search_index", None),
        chunk("thinking", "Hm"),
        chunk("text", "As [citation:1]"),
        chunk("text", " says."),
        "data: [DONE]\n\n",
    ]
    events = await read([stream(frames)])
    assert (text(events), reasoning(events)) == ("As [1](https://a/) says.", "Hm")
    with pytest.raises(CutAnswer):
        await read([stream(frames[:-1])])


# how answers end


async def test_an_incomplete_answer_goes_on_and_says_nothing_twice() -> None:
    reader = DeepSeekReader("s")
    first = [READY, snapshot(said("Hm", "THINK"), said("One [tw")), more("o] "), status("INCOMPLETE"), ("close", {})]
    events = await read([stream(first)], reader)
    assert (events[-1], reader.incomplete, reader.over) == (Finished("length"), True, True)
    then = [READY, snapshot(said("Hm", "THINK"), said("One [two] th")), {"v": "ree"}, END]
    answer_events = [event async for event in reader.read_part(answer_of([stream(then)]))]
    assert text(answer_events) == "three"
    assert text(events) + text(answer_events) == "One [two] three"
    assert (answer_events[-1], reader.incomplete) == (Finished("stop"), False)
    assert not any(isinstance(event, Turned | Reasoning) for event in answer_events), "they were told before"


async def test_an_answer_that_begins_again_with_other_words_is_no_answer() -> None:
    with pytest.raises(BadFrame):
        await read([stream([snapshot(said("One two")), snapshot(said("One three")), END])])
    with pytest.raises(SiteChanged):
        await read([stream([snapshot(said("Hm", "THINK"), said("A")), snapshot(said("Hm", "THINK")), END])])


TEMPLATE = {"id": 6, "type": "TEMPLATE_RESPONSE", "content": "你好，这个问题我暂时无法回答。"}
TAKEN_BACK = [{"p": "ban_regenerate", "v": True}, {"p": "fragments", "v": [TEMPLATE]}]
REFUSAL = {"o": "BATCH", "v": [{"p": "status", "v": "CONTENT_FILTER"}, *TAKEN_BACK]}


@pytest.mark.parametrize(
    "frames",
    [
        [REFUSAL],
        [{"p": "response", "o": "BATCH", "v": REFUSAL["v"]}],
        [{"o": "BATCH", "v": TAKEN_BACK}, status("CONTENT_FILTER")],
        [{"o": "BATCH", "v": TAKEN_BACK}, ("finish", {})],
        [{"o": "BATCH", "v": TAKEN_BACK}, ("close", {})],
        [{"o": "BATCH", "v": TAKEN_BACK}],
        [{"p": "response/fragments", "o": "APPEND", "v": [TEMPLATE]}, END],
        # A batch about the fragment came before: that one without a path is about the response all the same.
        [{"p": "response/fragments/-1", "o": "BATCH", "v": [{"p": "references", "v": []}]}, REFUSAL],
    ],
)
async def test_a_refusal(frames: list[Any]) -> None:
    events = await read([stream([snapshot(said("I can ")), more("help"), *frames])])
    assert events[-1] == Retracted("你好，这个问题我暂时无法回答。")
    with pytest.raises(ContentRefused, match="你好") as caught:
        await read([stream([snapshot(said("")), *frames])])
    assert caught.value.quotes
    assert not caught.value.refused, "no other account would be told more"


async def test_a_refusal_of_2025() -> None:
    """The sheet knows only its status; the words in the answer's place are no part of the answer."""
    frames = [
        {"v": {"response": {"message_id": 4, "status": "WIP", "content": ""}}},
        {"p": "response/content", "o": "APPEND", "v": "I can"},
        {"p": "response/content", "o": "SET", "v": "No."},
        {"v": "No!"},
        status("CONTENT_FILTER"),
    ]
    events = await read([stream(frames)])
    assert (text(events), events[-1]) == ("I can", Retracted(""))
    with pytest.raises(BadFrame):
        await read([stream([*frames[:-1], END])])


async def test_a_refusal_without_a_word() -> None:
    assert (await read([stream([snapshot(said("I")), status("CONTENT_FILTER")])]))[-1] == Retracted("")


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        ([snapshot(said("")), END], SiteError),
        ([snapshot(said("Hm", "THINK")), END], SiteError),
        ([READY, status("CONTEXT_LENGTH_EXCEEDED")], ContextTooLong),
        ([{"code": 40003, "msg": "INVALID_TOKEN", "data": None}], LoginNeeded),
        ([{"code": 0, "data": {"biz_code": 9, "biz_msg": "消息发送过于频繁，请稍后重试"}}], RateLimited),
        ([{"code": 0, "data": {"biz_code": 9, "biz_msg": "服务器繁忙，请稍后重试"}}], SiteUnavailable),
        ([{"code": 0, "data": {"biz_code": 9, "biz_msg": "?"}}], SiteError),
        ([{"code": 0, "data": {}}], SiteChanged),
        ([("ready", {"request_message_id": 1})], SiteChanged),
        ([("ready", "x")], SiteChanged),
        ([[]], BadFrame),
        ([{"v": {"response": 3}}], SiteChanged),
        ([{"v": {"response": {"fragments": [{"content": 3}]}}}], SiteChanged),
        ([{"v": "text for no fragment"}], BadFrame),
        (["data: <html>\n\n"], BadFrame),
        (['data: {"v": NaN}\n\n'], BadFrame),
        ([": keep-alive\n\n"], CutAnswer),
        ([], CutAnswer),
    ],
)
async def test_what_ends_an_answer_badly(frames: list[Any], error: type[RelayError]) -> None:
    with pytest.raises(error) as caught:
        await read([stream(frames)])
    if isinstance(caught.value, LoginNeeded | RateLimited):
        assert caught.value.refused, "nothing was shown, so another account may be tried"


async def test_a_full_conversation_cuts_the_answer() -> None:
    events = await read([stream([snapshot(said("A")), status("CONTEXT_LENGTH_EXCEEDED")])])
    assert (text(events), events[-1]) == ("A", Finished("length"))


async def test_an_error_after_text_is_never_retried() -> None:
    with pytest.raises(RateLimited) as caught:
        await read([stream([snapshot(said("A")), {"code": 1, "msg": "消息发送过于频繁，请稍后重试"}])])
    assert not caught.value.refused
