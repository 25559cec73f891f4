"""Values made from schemas: what fits is judged by `jsonschema`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from relay.demo.made import made
from relay.demo.words import Words, parts

MESSAGES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.sampled_from(
        [
            "",
            "Weather in Oslo, Paris and San Francisco, CA on 2026-02-03: 3.5 of -4 and 12",
            "Jane is 54 years old; mail jane@example.org, see https://example.org/a?b=c",
            "write 'hello' to src/notes.txt with size=7, alpha: true, beta \"b\", run `ls -la`",
            "北京和上海的天气怎么样？",
        ]
    ),
)
NAMES = st.sampled_from(["alpha", "beta", "city", "path", "command", "age", "names", "size", "query", "ünï", "x"])
PATTERNS = st.sampled_from([r"^[a-z]+$", r"^\d{4}$", r"^[A-Z]{2}-\d{2}$", r"^demo-v1$", r"^#[0-9a-f]{6}$"])
FORMATS = st.sampled_from(["date", "date-time", "uri", "email", "uuid", "ipv4", "ipv6", "time"])


def bounds(kind: str, low: str, high: str, most: int) -> st.SearchStrategy[dict[str, Any]]:
    """A schema of the type with none, one or both of the bounds."""

    def schema(least: int, more: int, has: list[str]) -> dict[str, Any]:
        named = {low: least, high: least + more}
        return {"type": kind, **{key: value for key, value in named.items() if key in has}}

    return st.builds(schema, st.integers(0, most), st.integers(0, most), st.lists(st.sampled_from([low, high])))


SCALARS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    bounds("string", "minLength", "maxLength", 40),
    bounds("integer", "minimum", "maximum", 1000),
    bounds("number", "minimum", "maximum", 1000),
    st.integers(-99, 99).map(lambda low: {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + 1}),
    st.builds(
        lambda step, low: {"type": "integer", "multipleOf": step, "minimum": low},
        st.integers(1, 9),
        st.integers(-50, 50),
    ),
    st.builds(lambda form: {"type": "string", "format": form}, FORMATS),
    st.builds(lambda pattern: {"type": "string", "pattern": pattern}, PATTERNS),
    st.builds(lambda choices: {"enum": choices}, st.lists(st.one_of(st.text(), st.integers()), min_size=1)),
    st.builds(lambda one: {"const": one}, st.one_of(st.text(), st.integers(), st.none(), st.booleans())),
    st.builds(lambda one: {"type": "integer", "default": one, "examples": [one]}, st.one_of(st.text(), st.integers())),
    st.sampled_from(["boolean", "null", "string", "integer", "number", "object", "array"]).map(lambda k: {"type": k}),
    st.sampled_from([{"type": ["string", "null"]}, {"type": ["null", "integer"]}, {}, {"title": "anything"}]),
    st.sampled_from([{"$ref": "#/$defs/Node"}, {"$ref": "#/definitions/Colour"}, {"$ref": "#/$defs/Maybe"}]),
)  # fmt: skip
DEFINITIONS = {
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            },
            "required": ["value", "next", "children"],
            "additionalProperties": False,
        },
        "Maybe": {"oneOf": [{"type": "null"}, {"$ref": "#/definitions/Colour"}]},
    },
    "definitions": {"Colour": {"type": "string", "enum": ["red", "green"]}},
}


def objects(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def schema(known: dict[str, Any], required: list[str], least: int, other: Any) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": known,
            "required": [name for name in dict.fromkeys(required) if name in known or other is not False],
            "additionalProperties": other,
            "minProperties": min(least, len(known)) if other is False else least,
        }

    others = st.one_of(st.booleans(), inner)
    return st.builds(schema, st.dictionaries(NAMES, inner, max_size=5), st.lists(NAMES), st.integers(0, 4), others)


def arrays(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    def schema(items: dict[str, Any], least: int, more: int) -> dict[str, Any]:
        return {"type": "array", "items": items, "minItems": least, "maxItems": least + more}

    tuples = st.lists(inner, min_size=1, max_size=3).map(
        lambda parts: {"type": "array", "prefixItems": parts, "items": False, "minItems": len(parts)}
    )
    distinct = st.integers(0, 4).map(
        lambda least: {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "minItems": least}
    )
    return st.one_of(st.builds(schema, inner, st.integers(0, 3), st.integers(0, 3)), tuples, distinct)


def combined(inner: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    some = st.lists(inner, min_size=1, max_size=3)
    # The types of oneOf's branches differ, so that a value of one fits no other.
    tagged = [
        {"type": "object", "properties": {"kind": {"const": kind}}, "required": ["kind"]} for kind in ("cat", "dog")
    ]
    return st.one_of(
        some.map(lambda branches: {"anyOf": branches}),
        inner.map(lambda one: {"allOf": [one, {"title": "both"}]}),
        inner.map(lambda one: {"allOf": [{"description": "first"}], **one}),
        st.just({"oneOf": [*tagged, {"type": "integer"}]}),
        st.just({"properties": {"a": {}, "b": {}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}),
    )


SCHEMAS = st.recursive(
    SCALARS, lambda inner: st.one_of(objects(inner), arrays(inner), combined(inner)), max_leaves=10
).map(lambda schema: {**schema, **DEFINITIONS})


@given(SCHEMAS, MESSAGES)
@example({"type": "object", "properties": {"alpha": {"type": "string", "format": "date"}}}, "ALPHA:0")
def test_what_is_made_fits(schema: dict[str, Any], message: str) -> None:
    Draft202012Validator.check_schema(schema)
    value = made(schema, Words(message))
    judge = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    assert [error.message for error in judge.iter_errors(value)] == []
    json.dumps(value, allow_nan=False)


ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=10,
)
KEYWORDS = st.sampled_from(
    [
        "type", "properties", "required", "items", "prefixItems", "enum", "const", "default", "examples", "anyOf",
        "oneOf", "allOf", "$ref", "$defs", "minimum", "maximum", "multipleOf", "minItems", "maxItems",
        "uniqueItems", "minLength", "maxLength", "pattern", "format", "additionalProperties", "minProperties",
    ]
)  # fmt: skip


@given(st.dictionaries(KEYWORDS, st.one_of(ANYTHING, st.dictionaries(KEYWORDS, ANYTHING))), MESSAGES)
def test_what_is_no_schema_makes_something_all_the_same(schema: dict[str, Any], message: str) -> None:
    json.dumps(made(schema, Words(message)))


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}]},
        {"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 3},
        {"type": "array", "minItems": 10**12, "items": {"type": "string", "minLength": 10**12}},
        {"type": "object", "minProperties": 10**12},
        {"anyOf": [{"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, {"$ref": "#"}], "type": "string", "pattern": "^$."},
    ],
)
def test_a_schema_without_end_comes_to_an_end(schema: dict[str, Any]) -> None:
    assert len(json.dumps(made(schema, Words("")))) < 2_000_000


STRING, INTEGER = {"type": "string"}, {"type": "integer"}


@pytest.mark.parametrize(
    ("message", "properties", "expected"),
    [
        ("What is the weather in San Francisco, CA?", {"location": STRING}, {"location": "San Francisco, CA"}),
        ("from Oslo to Paris", {"origin": STRING, "destination": STRING}, {"origin": "Oslo", "destination": "Paris"}),
        ("查一下北京的天气", {"city": STRING}, {"city": "北京"}),
        ("magic_function(3)", {"input": INTEGER}, {"input": 3}),
        ("What is 3 + 4.5 - 2?", {"a": INTEGER, "b": INTEGER}, {"a": 3, "b": 2}),
        ("Take 500 or 7", {"n": {"type": "integer", "maximum": 10}}, {"n": 7}),
        ("Jane is 54 years old", {"name": STRING, "age": INTEGER}, {"name": "Jane", "age": 54}),
        ("Create a customer named '你好啊集团' now", {"customer_name": STRING}, {"customer_name": "你好啊集团"}),
        ("Run `ls -la | wc`", {"command": STRING}, {"command": "ls -la | wc"}),
        ("Run it", {"cmd": STRING}, {"cmd": "echo hello"}),
        ("Run `ls`", {"command": {"type": "array", "items": STRING}}, {"command": ["bash", "-lc", "ls"]}),
        ("Read src/main.py, please.", {"file_path": STRING}, {"file_path": "src/main.py"}),
        ("Read it, e.g. now", {"path": STRING}, {"path": "demo.txt"}),
        ('Write "hi" to a.txt', {"path": STRING, "content": STRING}, {"path": "a.txt", "content": "hi"}),
        ("on 2026-02-03", {"day": {"type": "string", "format": "date"}}, {"day": "2026-02-03"}),
        ("b=2, a: 1", {"a": INTEGER, "b": INTEGER}, {"a": 1, "b": 2}),
        ("in Fahrenheit", {"unit": {"enum": ["celsius", "fahrenheit"]}}, {"unit": "fahrenheit"}),
        ("Sum 1, 2 and 3", {"numbers": {"type": "array", "items": INTEGER}}, {"numbers": [1, 2, 3]}),
        ("in Oslo and Rome", {"cities": {"type": "array", "items": STRING}}, {"cities": ["Oslo", "Rome"]}),
        ("Search for relays", {"query": STRING}, {"query": "Search for relays"}),
        ("x", {"on": {"type": "boolean"}}, {"on": True}),
        ("verbose=false", {"verbose": {"type": "boolean"}}, {"verbose": False}),
    ],
)  # fmt: skip
def test_the_message_is_used(message: str, properties: dict[str, Any], expected: dict[str, Any]) -> None:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    assert made(schema, Words(message)) == expected


def test_optional_properties_come_where_the_message_names_them() -> None:
    schema = {
        "type": "object",
        "properties": {"city": STRING, "maxDays": {"type": "integer", "default": 9}, "unit": STRING},
        "required": ["city"],
    }
    assert made(schema, Words("in Oslo")) == {"city": "Oslo"}
    assert made(schema, Words("in Oslo, max days 5")) == {"city": "Oslo", "maxDays": 5}
    assert made(schema, Words("in Oslo, with max days")) == {"city": "Oslo", "maxDays": 9}


def test_words_of_identifiers() -> None:
    assert parts("get_weather") == ["get", "weather"]
    assert parts("getHTTPStatus2") == ["get", "http", "status", "2"]
    assert parts("list-cities") == ["list", "city"]
