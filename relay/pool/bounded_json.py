"""JSON from a file that anybody may have made: bounded before it is parsed, and strict.

`json.loads` alone takes gigabytes for 256 MiB of `[[],[],…]`, a level of recursion per bracket, `NaN` for a number, and
the last of two equal keys. Nothing of the content appears in an error.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from relay.errors import BadRequest

MAX_DEPTH = 200
"""Levels of lists and objects. A value of IndexedDB has some three for each of its own."""
MAX_PARTS = 2_000_000
"""Lists, objects and their members: some 150 MiB at the worst."""
MAX_NUMBER_CHARS = 32
"""No program writes a double in more."""

# A string (one that is cut off ends with the text: so the scan stays linear), or a mark that makes the tree larger.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.|\\\Z)*+(?:"|\Z)|[\[\]{},]', re.DOTALL)


def parse_json(raw: bytes) -> Any:
    """The value of a UTF-8 JSON text. Raises BadRequest with the kind of the fault, and its place."""
    _measure(raw)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BadRequest(f"It is not UTF-8 text (line {line}, byte {error.start}).") from None
    try:
        return json.loads(text, object_pairs_hook=_object, parse_int=_int, parse_float=_float, parse_constant=_constant)
    except json.JSONDecodeError as error:  # its message tells what was expected, never what was found
        place = f"line {error.lineno}, column {error.colno}"
        raise BadRequest(f"It is not valid JSON, or cut off: {error.msg} ({place}).") from None
    except RecursionError:
        raise BadRequest("It is nested too deeply.") from None


def _measure(raw: bytes) -> None:
    depth = parts = 0
    for token in _TOKEN.finditer(raw):
        mark = token[0]
        if mark in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise BadRequest(f"It is nested too deeply: more than {MAX_DEPTH} levels.")
        elif mark in b"]}":
            depth -= 1
        elif mark != b",":
            continue
        parts += 1
        if parts > MAX_PARTS:
            raise BadRequest(f"It has too many parts: more than {MAX_PARTS}.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise BadRequest("One of its objects has the same key twice.")
    return made


def _int(text: str) -> int:
    if len(text) > MAX_NUMBER_CHARS:
        raise BadRequest("It holds a number that is too large.")
    return int(text)


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise BadRequest("It holds a number that is too large.")
    return number


def _constant(text: str) -> NoReturn:
    raise BadRequest(f"It holds {text}, which is no JSON.")
