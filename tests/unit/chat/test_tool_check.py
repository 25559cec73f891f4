"""Calls and JSON answers against what was asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.chat.events import ToolCall
from relay.chat.tool_check import checked, json_answer, missing, repair, repair_form
from relay.chat.tools import AnswerForm, Tool, ToolUse

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 1},
        "hot": {"type": ["boolean", "null"]},
        "at": {"type": "array", "items": {"type": "number"}},
        "perhaps": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "named": {"$ref": "#/$defs/number"},
        "note": {"type": "string"},
        "text_or_number": {"type": ["string", "number"]},
    },
    "$defs": {"number": {"type": "number"}},
    "required": ["city"],
    "additionalProperties": False,
}


def use(**fields: Any) -> ToolUse:
    return ToolUse((Tool("get_weather", "", WEATHER), Tool("ping")), "7f3a", **fields)


def call(name: str = "get_weather", **arguments: Any) -> ToolCall:
    return ToolCall(name, json.dumps(arguments))


def test_what_fits_passes_as_it_was_written() -> None:
    written = ToolCall("get_weather", '{ "city" : "Oslo" }')
    assert checked([written, call("ping")], use()) == ((written, call("ping")), ())
    assert checked([call("ping", anything=1)], use())[1] == ()


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ({"days": "3"}, {"days": 3}),
        ({"days": " 3 "}, {"days": 3}),
        ({"hot": "True"}, {"hot": True}),
        ({"hot": "null"}, {"hot": None}),
        ({"at": ["1.5", 2]}, {"at": [1.5, 2]}),
        ({"text_or_number": "3"}, {"text_or_number": "3"}),
        ({"perhaps": "3"}, {"perhaps": 3}),
        ({"perhaps": "null"}, {"perhaps": None}),
        ({"named": "-1.5e2"}, {"named": -150.0}),
        ({"at": "[1, 2]"}, {"at": [1, 2]}),
        ({"at": '["1", 2]'}, {"at": [1, 2]}),
        ({"note": '{"a": 1}'}, {"note": '{"a": 1}'}),
        ({"note": "5"}, {"note": "5"}),
    ],
)
def test_strings_become_what_the_schema_wants(given: dict[str, Any], taken: dict[str, Any]) -> None:
    calls, faults = checked([call(city="Oslo", **given)], use())
    assert faults == ()
    assert json.loads(calls[0].arguments) == {"city": "Oslo", **taken}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (call(), "city"),
        (call(city="Oslo", days="soon"), "days"),
        (call(city="Oslo", days=0), "days"),
        (call(city="Oslo", days=1.5), "days"),
        (call(city="Oslo", days="1.5"), "days"),
        (call(city="Oslo", days="1e999"), "days"),
        (call(city="Oslo", perhaps="soon"), "perhaps"),
        (call(city="Oslo", at='{"a": 1}'), "at"),
        (call(city="Oslo", at="[1"), "at"),
        (call(city=7), "city"),
        (call(city="Oslo", more=1), "more"),
        (call("teleport"), "teleport"),
    ],
)
def test_what_does_not_fit_is_told(wrong: ToolCall, says: str) -> None:
    calls, [fault] = checked([wrong, call("ping")], use())
    assert calls == (call("ping"),)
    assert says in fault
    asked = repair([fault], use())
    assert says in asked
    assert "call-7f3a" in asked


def test_only_those_that_may_be_called() -> None:
    calls, [fault] = checked([call("ping"), call(city="Oslo")], use(names=("get_weather",), choice="required"))
    assert calls == (call(city="Oslo"),)
    assert "get_weather" in fault
    assert len(checked([call("ping"), call("ping")], use(parallel=False))[0]) == 1


def test_a_call_that_had_to_be_made() -> None:
    assert missing([], use()) == ""
    assert missing([call("ping")], use(choice="required")) == ""
    assert missing([], use(choice="required"))
    assert "ping" in missing([], use(choice="required", names=("ping",)))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "no such type"},
        {"properties": 7},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "#/nowhere"},
        {"properties": {"city": {"pattern": "("}}},
        {"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    ],
)
def test_a_broken_schema_forbids_nothing(schema: dict[str, Any]) -> None:
    broken = ToolUse((Tool("f", "", schema),), "7f3a")
    assert checked([call("f", city="Oslo")], broken) == ((call("f", city="Oslo"),), ())


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a|a)*$", "^(a*)*b", r"(.*)\1x", ".*.*.*.*.*.*b", "(?=a+)+b"])
def test_patterns_that_could_take_for_ever_forbid_nothing(pattern: str) -> None:
    texts = {"type": "object", "properties": {"city": {"type": "string", "pattern": pattern}}}
    names = {"type": "object", "patternProperties": {pattern: {"type": "integer"}}, "additionalProperties": False}
    for schema, arguments in ((texts, {"city": "a" * 50_000 + "!"}), (names, {"a" * 50_000 + "!": "x"})):
        calls, faults = checked([call("f", **arguments)], ToolUse((Tool("f", "", schema),), "7f3a"))
        assert len(calls) == 1
        assert faults == ()


def test_other_patterns_count() -> None:
    schema = {"type": "object", "properties": {"id": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]+$"}}}
    use = ToolUse((Tool("f", "", schema),), "7f3a")
    assert checked([call("f", id="AB-12")], use)[1] == ()
    assert "does not match" in checked([call("f", id="ab")], use)[1][0]


PERSON = AnswerForm({"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}, "person")


@pytest.mark.parametrize(
    "text",
    [
        '{"age": 54}',
        '\ufeff {"age": 54}\n',
        '```json\n{"age": 54}\n```',
        '```\n{"age": 54}\n```\n',
        '````JSON\n{"age": 54}\n````',
        'Here it is:\n\n```json\n{"age": 54}\n```\nAnything else?',
        'The answer is {"age": 54}.',
        '{"age": 54,}',
        '```json\n{\n  "age": 54\n}',
        'json\n{"age": 54}',
    ],
)
def test_json_is_found(text: str) -> None:
    for form in (PERSON, AnswerForm()):
        found, fault = json_answer(text, form)
        assert (json.loads(found), fault) == ({"age": 54}, "")


@pytest.mark.parametrize(
    "text", ["", "no", "{", '{"age": "x"}', '{"age"', "[1]", "54", "```json\n```", "{{}}", "[" * 100_000]
)
def test_what_is_none_is_told(text: str) -> None:
    found, fault = json_answer(text, PERSON)
    assert found == text
    assert fault
    assert fault[:60] in repair_form(fault, PERSON)


def test_any_object_is_an_object() -> None:
    assert json_answer("[1]", AnswerForm())[1]
    assert json_answer('{"a": [1]}', AnswerForm()) == ('{"a": [1]}', "")
    assert json_answer("[1]", AnswerForm({"type": "array"})) == ("[1]", "")


@given(st.text())
def test_anything_is_read_or_refused(text: str) -> None:
    found, fault = json_answer(text, PERSON)
    assert fault or json.loads(found)
