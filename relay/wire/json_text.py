"""JSON as it may stand on the wire: strict on the way in, UTF-8 on the way out."""

from __future__ import annotations

import json
from typing import NoReturn

from relay.errors import BadFrame


def parse_json(text: str, expected: str) -> object:
    """The value of one JSON text (RFC 8259: no NaN, no Infinity). `expected` names it in the BadFrame."""
    try:
        value: object = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        # from None: a JSONDecodeError would keep the whole text alive.
        raise BadFrame(expected, f"{type(error).__name__} in {text[:200]!r}") from None
    return value


def dump_json(value: object) -> str:
    """Compact JSON that always encodes to UTF-8.

    Characters stand as themselves, except when a string holds half of a surrogate pair: UTF-8 has no
    bytes for it, so then everything non-ASCII is escaped.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
