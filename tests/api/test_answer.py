"""Composing answers: stop sequences, limits and media, for any cutting of the text."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st

from relay.api.answer import Composer, Limits, held_back, media_markdown
from relay.api.sse import json_text, keep_alive
from relay.chat.events import Event, Finished, Media, Reasoning, Search, Text, ToolCall

ALPHABET = "ab你\n"
TEXT = st.text(ALPHABET, max_size=40)
STOPS = st.lists(st.text(ALPHABET, min_size=1, max_size=4), max_size=3).map(tuple)


def pieces(text: str, cuts: list[int]) -> list[str]:
    places = sorted({cut % (len(text) + 1) for cut in cuts})
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


def compose(events: list[Event], limits: Limits, *, at_once: bool) -> tuple[str, Composer]:
    composer = Composer(limits)
    batches = [events] if at_once else [[event] for event in events]
    shown = "".join(piece.text for batch in batches for piece in composer.feed(batch) if piece.kind == "content")
    assert shown == composer.content
    return shown, composer


@given(TEXT, st.lists(st.integers(0, 100), max_size=10), STOPS, st.booleans())
def test_stop_sequences(text: str, cuts: list[int], stops: tuple[str, ...], at_once: bool) -> None:
    events: list[Event] = [*map(Text, pieces(text, cuts)), Finished("stop")]
    shown, composer = compose(events, Limits(stop=stops), at_once=at_once)
    if not any(stop in text for stop in stops):
        assert (shown, composer.cut) == (text, False)
        return
    assert composer.finish == "stop" and composer.cut
    assert text.startswith(shown)
    assert not any(stop in shown for stop in stops)
    assert any(text[len(shown) :].startswith(stop) for stop in stops)


@given(TEXT, st.lists(st.integers(0, 100), max_size=10), st.integers(1, 20))
def test_token_limit(text: str, cuts: list[int], limit: int) -> None:
    events: list[Event] = [*map(Text, pieces(text, cuts)), Finished("stop")]
    shown, composer = compose(events, Limits(max_tokens=limit), at_once=False)
    assert text.startswith(shown)
    assert len(shown.encode()) <= limit * 4
    if len(text.encode()) <= limit * 4:
        assert (shown, composer.finish) == (text, "stop")
    else:
        assert composer.finish == "length" and composer.cut
        assert len(shown.encode()) > limit * 4 - 3, "cut no earlier than one character needs"


@given(st.text(ALPHABET, max_size=10), st.lists(st.text(ALPHABET, min_size=1, max_size=4), min_size=1, max_size=3))
def test_only_what_could_begin_a_stop_is_held_back(text: str, stops: list[str]) -> None:
    assume(not any(stop in text for stop in stops))  # else it is cut before this is asked
    kept = held_back(text, stops)
    tail = text[len(text) - kept :]
    assert kept == 0 or any(stop.startswith(tail) for stop in stops)


def test_nothing_after_the_end() -> None:
    composer = Composer()
    composer.feed([Text("a"), Finished("length"), Text("b"), Reasoning("c")])
    assert (composer.content, composer.reasoning, composer.finish) == ("a", "", "length")


def test_search_gets_a_line_of_its_own() -> None:
    composer = Composer()
    composer.feed([Reasoning("hm"), Search("x"), Search("y"), Reasoning("so")])
    assert composer.reasoning == "hm\nSearching: x\nSearching: y\nso"


def test_media() -> None:
    composer = Composer()
    composer.feed([Text("see\n"), Media("image", url="https://e.example/a b.png"), Text("that"), Finished()])
    assert composer.content == "see\n\n![image](https://e.example/a%20b.png)\n\nthat"
    assert media_markdown(Media("file", data=b"hi", mime="text/plain", name="a[1].txt")) == (
        "[a 1 .txt](data:text/plain;base64,aGk=)"
    )
    assert media_markdown(Media("image", url="https://e.example/?a=%20&b=1#c")) == (
        "![image](https://e.example/?a=%20&b=1#c)"
    )


def test_usage_counts_reasoning_and_calls_as_completion() -> None:
    composer = Composer()
    composer.feed([Reasoning("12345678"), Text("1234"), ToolCall("f", "{}"), Finished("tool_calls")])
    usage = composer.usage(7)
    assert (usage.prompt, usage.completion, usage.reasoning, usage.total) == (7, 4, 2, 11)
    assert composer.finish == "tool_calls"


def test_bytes_of_odd_text() -> None:
    assert json_text('a"\n\u2028你\ud800') == '"a\\"\\n\u2028你?"'.encode()
    assert keep_alive("two\nlines\r\n\r\ndata: x") == b": keep-alive two lines data: x\n\n"
    assert keep_alive("") == b": keep-alive\n\n"
