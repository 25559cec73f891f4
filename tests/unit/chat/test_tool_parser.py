"""Calls in answers: every dialect, cut anywhere; text that is none comes out as it was."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from relay.chat.events import ToolCall
from relay.chat.request import Message
from relay.chat.tool_dialects import decoded, without_commas
from relay.chat.tool_parser import Parsed, ToolParser
from relay.chat.tool_prompt import rendered
from tests.unit.chat.dialects import CALLS, CUT, NAMES, OSLO, TEXTS, block, line

MIB = 1024 * 1024


def read(pieces: Iterable[str]) -> tuple[str, Parsed]:
    """The text that passed, in all, and the end."""
    parser = ToolParser(NAMES)
    shown = "".join([parser.feed(piece) for piece in pieces])
    parsed = parser.close()
    return shown + parsed.text, replace(parsed, text="")


def called(parsed: Parsed) -> list[tuple[str, Any]]:
    return [(call.name, json.loads(call.arguments)) for call in parsed.calls]


def cuts(text: str) -> Iterable[list[str]]:
    """Whole, in two at every place, and one by one."""
    yield [text]
    yield list(text)
    for at in range(1, len(text)):
        yield [text[:at], text[at:]]


def test_there_are_many() -> None:
    assert len(CALLS) >= 50
    assert len({name for name, _, _ in CALLS}) == len(CALLS)


@pytest.mark.parametrize(("text", "calls"), [case[1:] for case in CALLS], ids=[case[0] for case in CALLS])
def test_dialects(text: str, calls: list[tuple[str, Any]]) -> None:
    for pieces in cuts(text):
        shown, parsed = read(pieces)
        assert (called(parsed), parsed.fault, shown) == (calls, "", ""), pieces


# Bare JSON is a call only where it is the whole answer.
AFTER_TEXT = [case for case in CALLS if case[1].lstrip()[0] not in "{[" or case[1].startswith("[TOOL")]


@pytest.mark.parametrize(("text", "calls"), [case[1:] for case in AFTER_TEXT], ids=[case[0] for case in AFTER_TEXT])
def test_text_before_them(text: str, calls: list[tuple[str, Any]]) -> None:
    for pieces in cuts(f"Let me look <that> up.\n\n{text}"):
        shown, parsed = read(pieces)
        assert (called(parsed), parsed.fault, shown) == (calls, "", "Let me look <that> up."), pieces


@pytest.mark.parametrize("text", TEXTS)
def test_text_stays(text: str) -> None:
    for pieces in cuts(text):
        shown, parsed = read(pieces)
        assert (shown, parsed.calls, parsed.fault) == (text, (), ""), pieces


@pytest.mark.parametrize("text", CUT)
def test_half_a_call_is_a_fault(text: str) -> None:
    for pieces in cuts(f"So: {text}" if text.startswith("<") else f"So:\n{text}"):
        shown, parsed = read(pieces)
        assert (shown, parsed.calls) == ("So:", ()), pieces
        assert parsed.fault, pieces


def test_bare_json_that_ends_too_early_is_a_fault() -> None:
    for text in ('{"name": "shell", "arguments": {"command": "se', line(OSLO)[:-1], f"[{line(OSLO)}, "):
        for pieces in cuts(text):
            shown, parsed = read(pieces)
            assert (shown, parsed.calls) == ("", ()), pieces
            assert parsed.fault, pieces


@pytest.mark.parametrize(("text", "calls"), [case[1:] for case in CALLS], ids=[case[0] for case in CALLS])
def test_an_answer_that_ends_anywhere_has_no_half_arguments(text: str, calls: list[tuple[str, Any]]) -> None:
    for end in range(len(text)):
        _, parsed = read([text[:end]])
        assert all(call in calls for call in called(parsed)), end
        assert all(call.arguments.encode() for call in parsed.calls), "half a character cannot be sent"


def test_a_tool_that_there_is_not() -> None:
    _, parsed = read([block(line(("teleport", {})))])
    assert called(parsed) == [("teleport", {})], "a block of calls is told what is wrong with it"
    shown, parsed = read(['<tool_call>{"name": "teleport", "arguments": {}}</tool_call>'])
    assert (shown[:11], parsed.calls) == ("<tool_call>", ()), "another dialect may be an example"


TEXT = st.text(st.sampled_from("ab <>`{}[]\"':,\n\\|｜/=_-json1")) | st.text()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.text(max_size=8), JSON | TEXT, max_size=4)


@given(st.lists(st.tuples(st.sampled_from(NAMES), OBJECTS), min_size=1, max_size=3), st.integers())
@example([("shell", {"command": "```\n```call-7f3a\n{}\n```"})], 0)
def test_calls_come_back_as_they_were_rendered(calls: list[tuple[str, Any]], seed: int) -> None:
    made = tuple(ToolCall(name, json.dumps(arguments)) for name, arguments in calls)
    text = rendered(Message("assistant", "", calls=made), "7f3a")
    _, parsed = read(pieces_of(text, seed))
    assert called(parsed) == calls
    assert parsed.fault == ""


@given(st.lists(st.sampled_from([*TEXTS, *CUT, *(case[1] for case in CALLS)]) | TEXT, max_size=5), st.integers())
def test_any_cut_reads_the_same(parts: list[str], seed: int) -> None:
    text = "\n".join(parts)
    assert read(pieces_of(text, seed)) == read([text])


@given(TEXT, st.integers())
def test_what_holds_no_opener_is_text(text: str, seed: int) -> None:
    if any(mark in text for mark in ("`", "<", "[", "{")):
        text = text.translate(str.maketrans("`<[{", "____"))
    shown, parsed = read(pieces_of(text, seed))
    assert (shown, parsed.calls, parsed.fault) == (text, (), "")


def pieces_of(text: str, seed: int) -> list[str]:
    dice = random.Random(seed)
    places = sorted(dice.randrange(len(text) + 1) for _ in range(dice.randrange(8)))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]


HOSTILE = {
    "letters": "a",
    "blanks": " ",
    "line breaks": "\n",
    "ticks": "`",
    "fences": "```\n",
    "json fences": '```json\n{"a": 1}\n```\n',
    "tags": "<tool_call>",
    "invokes": '<invoke name="x">',
    "a call": '{"name": "shell", "arguments": {}}\n',
    "many calls": "<tool_call>{}</tool_call>",
    "brackets": "[",
    "braces": '{"a":',
    "less than": "<",
    "code": "```py\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_megabyte_of_anything(name: str) -> None:
    """Looked at again and again it would take hours."""
    text = HOSTILE[name]
    text *= MIB // len(text)
    for head in ("", "```json\n", "```call-7f3a\n", '<invoke name="shell">'):
        shown, parsed = read([head, *(text[at : at + 65536] for at in range(0, len(text), 65536))])
        assert len(shown) <= len(head) + len(text)
        assert shown or parsed.calls or parsed.fault
    quarter = text[: MIB // 4]
    assert read(quarter) == read([quarter])


def test_a_megabyte_of_arguments() -> None:
    call = ("shell", {"command": "x" * MIB + "\n```\n" * 1000})
    for pieces in ([block(line(call))], list(block(line(call), info="json"))):
        assert called(read(pieces)[1]) == [call]


@given(OBJECTS)
def test_commas_are_taken_out_of_json_only(value: dict[str, Any]) -> None:
    assert without_commas(json.dumps(value)) == (json.dumps(value), len(json.dumps(value)))
    assert decoded(json.dumps(value) + " rest") == (value, len(json.dumps(value)))
