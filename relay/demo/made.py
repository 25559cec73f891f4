"""Values made from a JSON schema: what the schema itself names, then what the message holds, then something that fits.

No solver: where nothing that comes to mind fits (an odd pattern, a schema that allows nothing), the value has the type
that is asked for and no more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

from relay.demo.schemas import Schema, Schemas, count, kinds, listed, merged, number, strings_of
from relay.demo.strings import Strings, is_command
from relay.demo.words import Words, parts

_DEEP = 4
"""Deeper than this, only what must be there is made."""
_DEEPEST = 24
_MOST_VALUES = 500
_MOST_ITEMS = 100
_MOST_FROM_MESSAGE = 20


def made(schema: Any, words: Words) -> Any:
    """A value for the schema. What it takes from the message is taken out of `words`."""
    return Maker(schema if isinstance(schema, dict) else {}, words).value(schema)


def fits(value: Any, schema: Any) -> bool:
    """Whether a value fits a schema; what is no schema forbids nothing."""
    return Schemas(schema).fits(value, schema) if isinstance(schema, dict) else True


class Maker:
    """Makes the values of one schema; `words` gives them out once each."""

    def __init__(self, root: Schema, words: Words) -> None:
        self.schemas = Schemas(root)
        self.words = words
        self.strings = Strings(words)
        self.left = _MOST_VALUES

    def __repr__(self) -> str:
        return f"<Maker {self.left} values left, {self.words!r}>"

    def value(self, schema: Any, name: str = "", depth: int = 0) -> Any:
        """One value; `name` is the property's that it is for."""
        self.left -= 1
        if depth > _DEEPEST or self.left < -_MOST_VALUES:
            return None
        schema = self.schemas.resolved(schema)
        for candidate in self._named(schema, name):
            if self.schemas.fits(candidate, schema):
                return candidate
        for key in ("anyOf", "oneOf"):
            if branches := [part for part in listed(schema, key) if isinstance(part, dict)]:
                rest = {other: part for other, part in schema.items() if other != key}
                return self._branch(schema, rest, branches, name, depth)
        allowed = kinds(schema)
        solid = [kind for kind in allowed if kind != "null"]
        match "null" if not solid or (len(solid) < len(allowed) and self._sparing(depth)) else solid[0]:
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "integer" | "number" as kind:
                return self._number(schema, whole=kind == "integer")
            case "boolean":
                return next((choice for choice in (True, False) if self.schemas.fits(choice, schema)), True)
            case "null":
                return None
        return self.strings.made(schema, name, lambda text: self.schemas.fits(text, schema))

    def _sparing(self, depth: int) -> bool:
        return depth > _DEEP or self.left < 0

    def _named(self, schema: Schema, name: str) -> Iterator[Any]:
        """What the schema names itself, and what the message says of the property."""
        if "const" in schema:
            yield schema["const"]
        yield from self.words.said(name)
        choices = listed(schema, "enum")
        yield from (choice for choice in choices if isinstance(choice, str) and self.words.mentions(choice))
        if schema.get("default") is not None:
            yield schema["default"]
        yield from choices
        yield from listed(schema, "examples")

    def _branch(self, schema: Schema, rest: Schema, branches: list[Schema], name: str, depth: int) -> Any:
        """By the first branch that makes a fitting value; null is the last resort, and the first where it is deep."""
        sparing = self._sparing(depth)

        def rank(branch: Schema) -> int:
            kind = kinds(self.schemas.resolved(branch))[0]
            if not sparing:
                return kind == "null"
            return 0 if kind == "null" else 2 if kind in ("object", "array") else 1

        values: list[Any] = []
        for branch in sorted(branches, key=rank):
            value = self.value(merged(rest, branch), name, depth + 1)
            if self.schemas.fits(value, schema):
                return value
            values.append(value)
            if self.left < -_MOST_VALUES:
                break
        return values[0]

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        known = schema.get("properties")
        properties = known if isinstance(known, dict) else {}
        required = strings_of(schema.get("required"))
        wanted = [
            name for name in properties if name in required or (not self._sparing(depth) and self.words.mentions(name))
        ]
        wanted += [name for name in required if name not in properties]
        least = count(schema, "minProperties", 0, _MOST_ITEMS)
        wanted += [name for name in properties if name not in wanted][: max(0, least - len(wanted))]
        wanted += [f"key{index}" for index in range(1, least - len(wanted) + 1)]
        other = schema.get("additionalProperties", True)
        return {name: self.value(properties.get(name, other), name, depth + 1) for name in wanted}

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        items = schema.get("items", True)
        if is_command(name) and self.words.code and "prefixItems" not in schema:
            command = ["bash", "-lc", self.words.code[0]]
            if self.schemas.fits(command, schema):
                return command
        lists = listed(schema, "prefixItems")
        least = count(schema, "minItems", 0, _MOST_ITEMS)
        most = count(schema, "maxItems", _MOST_ITEMS, _MOST_ITEMS)
        size = least if self._sparing(depth) else max(least, len(lists), self._worth(items, name))
        if items is False:
            size = min(size, len(lists))
        array: list[Any] = []
        for index in range(min(size, max(most, least))):
            if self.left < 0 and index >= least:
                break
            item = self.value(lists[index] if index < len(lists) else items, name, depth + 1)
            if schema.get("uniqueItems") is True:
                item = self._other_than(array, item, lists[index] if index < len(lists) else items)
            array.append(item)
        return array

    def _worth(self, items: Any, name: str) -> int:
        """How many items the message is good for; one where it has none."""
        kind = kinds(self.schemas.resolved(items))[0]
        found = len(self.words.numbers) if kind in ("integer", "number") else 1
        if kind == "string":
            found = self.strings.worth(name)
        return max(1, min(found, _MOST_FROM_MESSAGE))

    def _other_than(self, taken: list[Any], value: Any, schema: Any) -> Any:
        """A value of the schema that is not among those taken, if there is one near."""
        told = {json.dumps(one, sort_keys=True, default=str) for one in taken}
        for candidate in (value, *self._varied(value, self.schemas.resolved(schema), len(taken) + 1)):
            if json.dumps(candidate, sort_keys=True, default=str) not in told and self.schemas.fits(candidate, schema):
                return candidate
        return value

    def _varied(self, value: Any, schema: Schema, index: int) -> Iterable[Any]:
        yield from listed(schema, "enum")
        for key in ("anyOf", "oneOf"):
            for branch in listed(schema, key):
                yield from self._varied(value, self.schemas.resolved(branch), index)
        match value:
            case bool():
                yield not value
            case int() | float():
                step = number(schema, "multipleOf") or 1
                yield from (value + step * nth for nth in range(1, index + 2))
                yield from (value - step * nth for nth in range(1, index + 2))
            case str():
                yield from (f"{value} {index}", f"{value}{index}", f"{value[: -len(str(index))]}{index}")
            case dict():
                known = schema.get("properties")
                for name in value:
                    part = self.schemas.resolved(known.get(name) if isinstance(known, dict) else {})
                    yield from ({**value, name: other} for other in self._varied(value[name], part, index))
            case list():
                part = self.schemas.resolved(schema.get("items"))
                yield from ([other, *value[1:]] for other in self._varied(value[0], part, index) if value)

    def _number(self, schema: Schema, *, whole: bool) -> float:
        for said in self.words.numbers:
            candidate = int(said) if whole and float(said).is_integer() else said
            if self.schemas.fits(candidate, schema):
                self.words.numbers.remove(said)
                return candidate
        near = (self._plain(candidate, whole=whole) for candidate in _near(schema))
        return next((candidate for candidate in near if self.schemas.fits(candidate, schema)), 1)

    @staticmethod
    def _plain(value: float, *, whole: bool) -> float:
        return int(value) if whole and float(value).is_integer() else value


def is_place(name: str) -> bool:
    """Whether a property is one that names places."""
    return Strings.is_place(parts(name))


def _near(schema: Schema) -> Iterator[float]:
    """Numbers that may fit, the plainest first."""
    step = abs(number(schema, "multipleOf") or 1)
    lows = [low for key in ("minimum", "exclusiveMinimum") if (low := number(schema, key)) is not None]
    highs = [high for key in ("maximum", "exclusiveMaximum") if (high := number(schema, key)) is not None]
    yield from (step, 0, 1)
    for low in lows:
        yield low
        yield from ((math.ceil(low / step) + nth) * step for nth in range(12))
    for high in highs:
        yield high
        yield from ((math.floor(high / step) - nth) * step for nth in range(12))
    yield from ((low + high) / 2 for low in lows for high in highs)
    yield from (low + 0.5 for low in lows)
    yield from (high - 0.5 for high in highs)
