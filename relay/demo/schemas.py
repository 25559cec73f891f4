"""JSON schemas as the scripted model reads them: references followed, `allOf` folded, values checked.

Draft 2020-12, and draft 7 as far as it is the same. Nothing is ever fetched.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from jsonschema.exceptions import UnknownType
from referencing import Registry
from referencing.exceptions import Unresolvable

Schema = dict[str, Any]
_MOST_STEPS = 32
_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
_NO_SCHEMA = (
    UnknownType, Unresolvable, re.error, TypeError, ValueError, AttributeError, ArithmeticError,
)  # fmt: skip
"""What the validator meets with in a schema that is none."""
_KEYWORDS = {
    "object": ("properties", "required", "additionalProperties", "minProperties"),
    "array": ("items", "prefixItems", "minItems", "uniqueItems"),
    "string": ("pattern", "format", "minLength", "maxLength"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
"""What tells the type of a schema that does not say it."""


class Schemas:
    """One schema with all that its references lead to."""

    def __init__(self, root: Schema) -> None:
        self.root = root
        self._endless = False
        checker = Draft202012Validator.FORMAT_CHECKER
        self._validator = Draft202012Validator(root, registry=Registry(), format_checker=checker)

    def fits(self, value: Any, schema: Any) -> bool:
        """Whether a value fits a part of the schema. What is no schema forbids nothing."""
        if self._endless:
            return True
        try:
            return self._validator.evolve(schema=schema).is_valid(value)
        except RecursionError:  # once is enough: each takes long
            self._endless = True
        except _NO_SCHEMA:
            pass
        return True

    def resolved(self, schema: Any) -> Schema:
        """The same without `$ref` and `allOf` at its top."""
        found: Schema = schema if isinstance(schema, dict) else {}
        for _ in range(_MOST_STEPS):
            rest = dict(found)
            if isinstance(reference := rest.pop("$ref", None), str):
                found = merged(self._pointed(reference), rest)
            elif isinstance(several := rest.pop("allOf", None), list):
                found = reduce(merged, (part for part in several if isinstance(part, dict)), rest)
            else:
                return found
        return {key: value for key, value in found.items() if key not in ("$ref", "allOf")}

    def _pointed(self, reference: str) -> Schema:
        """RFC 6901, as a fragment."""
        found: Any = self.root
        for step in unquote(reference.partition("#")[2]).split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            else:
                found = found.get(key) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}


def merged(one: Schema, two: Schema) -> Schema:
    """A schema that holds what both ask for, as far as one can be written without `allOf`."""
    both = {**one, **two}
    for key in one.keys() & two.keys():
        both[key] = _joined(key, one[key], two[key])
    return both


def _joined(key: str, one: Any, two: Any) -> Any:
    if key in ("properties", "$defs", "definitions") and isinstance(one, dict) and isinstance(two, dict):
        return {**one, **{name: _part(one.get(name), part) for name, part in two.items()}}
    if key == "required":
        return [*strings_of(one), *(name for name in strings_of(two) if name not in strings_of(one))]
    if key == "allOf" and isinstance(one, list) and isinstance(two, list):
        return [*one, *two]
    if key == "enum" and isinstance(one, list) and isinstance(two, list):
        return [value for value in two if value in one] or two
    if key == "type":
        return _narrower(types(one), types(two)) or two
    if isinstance(one, int | float) and isinstance(two, int | float) and key in (*_LOWER, *_UPPER):
        return max(one, two) if key in _LOWER else min(one, two)
    return two


def _part(one: Any, two: Any) -> Any:
    return merged(one, two) if isinstance(one, dict) and isinstance(two, dict) else two


def _narrower(one: Sequence[str], two: Sequence[str]) -> list[str]:
    common = [kind for kind in one if kind in two]
    whole = "integer" in (*one, *two) and "number" in (*one, *two) and "integer" not in common
    return [*common, "integer"] if whole else common


def types(named: Any) -> list[str]:
    """What `type` allows, in its order."""
    return [named] if isinstance(named, str) else strings_of(named)


def kinds(schema: Schema) -> list[str]:
    """The types that a resolved schema allows, said or meant; a string where nothing tells."""
    said = types(schema.get("type"))
    meant = [kind for kind, keys in _KEYWORDS.items() if any(key in schema for key in keys)]
    return said or meant[:1] or ["string"]


def strings_of(value: Any) -> list[str]:
    """The strings of a list; none where it is no list."""
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def listed(schema: Schema, key: str) -> list[Any]:
    """A keyword's list; an empty one where it is none."""
    value = schema.get(key)
    return value if isinstance(value, list) else []


def number(schema: Schema, key: str, default: float | None = None) -> float | None:
    """A keyword's number, if it is one that a value can be made of."""
    value = schema.get(key)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    return value if usable else default


def count(schema: Schema, key: str, default: int, most: int) -> int:
    """A keyword's count, from 0 to `most`."""
    return max(0, min(int(number(schema, key, default) or 0), most))
