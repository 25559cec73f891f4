"""Values made from a JSON schema and the words of a request, as a model would fill in a form. Pure.

Enumerations, constants, defaults and examples come first; numbers are those of the request, in their order; names of
places and the like are its capitalised words; texts are what it quotes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_DEPTH = 8
_QUOTED = re.compile(r"`([^`\n]+)`|\"([^\"\n]+)\"|“([^”\n]+)”|'([^'\n]{2,})'")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w]|\.\d)")
_CALLED = re.compile(r"\b(?:named|called)\s+[`\"'“]([^`\"'”\n]+)")
_PLACE = re.compile(r"\b(?:in|at|for|of|to|from|is)\s+((?:[A-Z][\w'-]*)(?:\s[A-Z][\w'-]*)*)")
_CAPITALISED = re.compile(r"(?<![.!?]\s)(?<!\A)\b([A-Z][\w'-]+)\b")
_FIRST_NAME = re.compile(r"\b([A-Z][a-z]+)\b(?=\s+(?:is|was|has|'s)\b)")
_PATH = re.compile(r"(?<![\w/])(?:[\w.-]+/)*[\w-]+\.\w{1,5}\b")
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "hostname": "example.com",
}
_NAMES = ("name", "city", "location", "place", "country", "person", "who", "town")
_COMMANDS = ("command", "cmd", "script", "shell")
_PATHS = ("path", "file", "filename", "file_path", "filepath")


@dataclass
class Words:
    """What a request offers to fill in; numbers are used up one after the other, and then begin anew."""

    text: str
    numbers: list[float] = field(default_factory=list)
    _used: int = 0

    def __post_init__(self) -> None:
        self.numbers = [float(found) for found in _NUMBER.findall(self.text)]

    def number(self) -> float | None:
        """The next number."""
        if not self.numbers:
            return None
        self._used += 1
        return self.numbers[(self._used - 1) % len(self.numbers)]

    def quoted(self) -> str:
        """The first quotation; empty without one."""
        found = _QUOTED.search(self.text)
        return next(filter(None, found.groups()), "") if found else ""

    def named(self) -> str:
        """Who or what the request is about: what it says is called so, else by its capital letters."""
        for pattern in (_CALLED, _PLACE, _FIRST_NAME, _CAPITALISED):
            if found := pattern.search(self.text):
                return found[1]
        return ""


def value(schema: Any, words: Words, *, name: str = "", root: Any = None, depth: int = 0) -> Any:
    """A value that fits `schema`, as far as it can be made; `name` is the property that it is for."""
    root = schema if root is None else root
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return None if schema is False else "demo"
    schema = _resolved(schema, root)
    for key in ("const", "default"):
        if key in schema and (key == "const" or schema[key] is not None):
            return schema[key]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return _chosen(schema["enum"], words)
    if isinstance(schema.get("examples"), list) and schema["examples"]:
        return schema["examples"][0]
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list) and schema[key]:
            options = [one for one in schema[key] if not (isinstance(one, Mapping) and one.get("type") == "null")]
            rest = {kept: part for kept, part in schema.items() if kept not in ("anyOf", "oneOf")}
            return value(
                {**rest, **_mapping((options or schema[key])[0])}, words, name=name, root=root, depth=depth + 1
            )
    match _kind(schema):
        case "object":
            return _object(schema, words, root, depth)
        case "array":
            return _array(schema, words, name, root, depth)
        case "integer":
            return int(_number(schema, words, whole=True))
        case "number":
            return _number(schema, words, whole=False)
        case "boolean":
            return True
        case "null":
            return None
    return _text(schema, words, name)


def _mapping(schema: Any) -> Mapping[str, Any]:
    return schema if isinstance(schema, Mapping) else {}


def _resolved(schema: Mapping[str, Any], root: Any) -> Mapping[str, Any]:
    """Without `$ref` and `allOf`."""
    for _ in range(MAX_DEPTH):
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#"):
            break
        found = root
        for step in reference.lstrip("#/").split("/"):
            if step:
                found = _mapping(found).get(step.replace("~1", "/").replace("~0", "~"))
        schema = {**{key: part for key, part in schema.items() if key != "$ref"}, **_mapping(found)}
    parts = schema.get("allOf")
    if isinstance(parts, list):
        merged: dict[str, Any] = {key: part for key, part in schema.items() if key != "allOf"}
        for part in parts:
            one = _resolved(_mapping(part), root)
            fields = {**_mapping(merged.get("properties")), **_mapping(one.get("properties"))}
            needed = [*merged.get("required", ()), *one.get("required", ())]
            merged = {**merged, **one}
            merged |= ({"properties": fields} if fields else {}) | ({"required": needed} if needed else {})
        schema = merged
    return schema


def _kind(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "required" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else "string"


def _chosen(options: list[Any], words: Words) -> Any:
    """The one that the request names, else the first."""
    said = words.text.casefold()
    return next((one for one in options if isinstance(one, str) and one and one.casefold() in said), options[0])


def _object(schema: Mapping[str, Any], words: Words, root: Any, depth: int) -> dict[str, Any]:
    fields = _mapping(schema.get("properties"))
    needed = [name for name in schema.get("required", ()) if isinstance(name, str)]
    said = words.text.casefold()
    wanted = [name for name in fields if name in needed or name.casefold().replace("_", " ") in said]
    wanted += [name for name in needed if name not in fields]
    made = {name: value(fields.get(name, {}), words, name=name, root=root, depth=depth + 1) for name in wanted}
    for number in range(len(made), int(schema.get("minProperties", 0))):
        made[f"key{number}"] = value(schema.get("additionalProperties", {}), words, root=root, depth=depth + 1)
    return made


def _array(schema: Mapping[str, Any], words: Words, name: str, root: Any, depth: int) -> list[Any]:
    if isinstance(schema.get("prefixItems"), list):
        return [value(one, words, name=name, root=root, depth=depth + 1) for one in schema["prefixItems"]]
    items = schema.get("items", {})
    free = _mapping(items).keys() <= {"type", "title", "description"}
    if name.casefold() in _COMMANDS and free and _kind(_mapping(items)) == "string":
        return ["bash", "-lc", _command(words)]
    count = max(int(schema.get("minItems", 1)), 1 if schema.get("maxItems", 1) else 0)
    made = [value(items, words, name=name, root=root, depth=depth + 1) for _ in range(count)]
    if schema.get("uniqueItems") and len({json.dumps(one, sort_keys=True) for one in made}) < len(made):
        made = [_changed(one, number) for number, one in enumerate(made)]
    return made


def _changed(one: Any, number: int) -> Any:
    """Another value of the same kind for each number."""
    if isinstance(one, bool) or not isinstance(one, int | float | str):
        return one if not isinstance(one, bool) else bool(number % 2)
    return f"{one}{number}" if isinstance(one, str) else one + number


def _number(schema: Mapping[str, Any], words: Words, *, whole: bool) -> float:
    """The request's next number, moved to where the schema lets it be."""
    found = words.number()
    number = 1.0 if found is None else found
    step = float(schema.get("multipleOf") or (1 if whole else 0))
    low = schema.get("minimum", -math.inf)
    high = schema.get("maximum", math.inf)
    if isinstance(schema.get("exclusiveMinimum"), int | float):
        low = max(low, schema["exclusiveMinimum"] + (step or 1e-6))
    if isinstance(schema.get("exclusiveMaximum"), int | float):
        high = min(high, schema["exclusiveMaximum"] - (step or 1e-6))
    number = min(max(number, low), high)
    if step:
        number = round(number / step) * step
        number = number + step if number < low else number - step if number > high else number
    return int(number) if number == int(number) else number


def _text(schema: Mapping[str, Any], words: Words, name: str) -> str:
    least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    made = _said(words, name.casefold())
    pattern = schema.get("pattern")
    if isinstance(pattern, str):
        made = _matching(
            pattern, [made, name, "demo", "a", "A", "1", "a1", "A1", "abc", "ABC", "2026-01-31", "0" * 4], made
        )
    if len(made) < least:
        made += "x" * (least - len(made))
    return made if most is None else made[: int(most)]


def _said(words: Words, name: str) -> str:
    """What the request says that could stand under a property of that name."""
    if name in _COMMANDS:
        return _command(words)
    if name in _PATHS:
        found = _PATH.search(words.text)
        return found[0] if found else "demo.txt"
    if any(part in name for part in _NAMES):
        return words.named() or words.quoted() or "Oslo"
    return words.quoted() or words.named() or "demo"


def _command(words: Words) -> str:
    return words.quoted() or "echo hello"


def _matching(pattern: str, candidates: list[str], otherwise: str) -> str:
    try:
        found = re.compile(pattern)
    except re.error:
        return otherwise
    return next((one for one in candidates if found.search(one)), otherwise)
