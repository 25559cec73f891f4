"""Files made to hurt: cut off, changed anywhere, of any bytes; nothing but a clear refusal comes of them."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.errors import BadRequest
from tests.unit.pool.logins import (
    COOKIE,
    EXTENSION,
    NETSCAPE,
    ORIGIN,
    SECRET,
    STATE,
    read,
)


def harmless(raw: bytes) -> None:
    """Whatever it is, it is read or refused, and a state that is read can be written and read again."""
    try:
        found = read(raw)
    except BadRequest as error:
        assert SECRET not in error.message
        assert len(error.message) < 600
        return
    assert found["cookies"] or found["origins"]
    assert read(json.dumps(found, allow_nan=False).encode()) == found


WHOLE = [
    json.dumps(STATE).encode(),
    json.dumps(EXTENSION).encode(),
    NETSCAPE.encode(),
    gzip.compress(NETSCAPE.encode()),
]


@pytest.mark.parametrize("whole", WHOLE, ids=["playwright", "extension", "netscape", "gzip"])
def test_cut_off_at_every_length(whole: bytes) -> None:
    for length in range(len(whole)):
        harmless(whole[:length])


@settings(deadline=None)
@given(st.sampled_from(WHOLE), st.data())
def test_bytes_changed_anywhere(whole: bytes, data: st.DataObject) -> None:
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(changed) - 1))
        changed[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    harmless(bytes(changed))


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(lambda text: text.encode("utf-8", "replace"))))
@example(b'"' * 1000)
@example(b'["' + b"\\" * 999)
@example(b"[" + b'"\\' * 999)
def test_any_bytes(raw: bytes) -> None:
    harmless(raw)


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just(SECRET))
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=10), inner, max_size=4)),
    max_leaves=10,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            name: st.one_of(JSON, st.just(value))
            for name, value in {**COOKIE, "hostOnly": True, "session": True, "partitionKey": "https://kimi.com"}.items()
        },
    )
)
@example({"domain": SECRET})
def test_any_kind_in_any_field_of_a_cookie(fields: dict[str, Any]) -> None:
    harmless(json.dumps([fields]).encode())


@given(st.sampled_from([*ORIGIN, "more"]), JSON)
def test_any_kind_in_any_field_of_an_origin(name: str, value: object) -> None:
    harmless(json.dumps({"origins": [{**ORIGIN, name: value}]}).encode())


@given(st.lists(st.text(max_size=8), min_size=7, max_size=7))
def test_any_text_in_the_fields_of_a_netscape_line(texts: list[str]) -> None:
    line = ["www.kimi.com", "FALSE", "/", "TRUE", "0", "a", SECRET]
    for place, text in enumerate(texts):
        if text:
            line[place] = text
    harmless("\t".join(line).encode("utf-8", "replace"))
