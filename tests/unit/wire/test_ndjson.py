from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import BadFrame, CutAnswer
from relay.wire.ndjson import NdjsonDecoder
from tests.unit.wire.cutting import cuts, decode, json_values, same_however_cut


def test_the_huggingchat_sample() -> None:
    body = (
        b'{"type":"status","status":"started"}\n'
        b'{"type":"stream","token":"Hello\\u0000\\u0000"}\n\n'
        b'{"type":"finalAnswer","text":"Hello","interrupted":false}\n' + b" " * 4096
    )
    assert decode(NdjsonDecoder(), [body]) == [
        {"type": "status", "status": "started"},
        {"type": "stream", "token": "Hello\0\0"},
        {"type": "finalAnswer", "text": "Hello", "interrupted": False},
    ]


def test_last_line_blank_lines_and_crlf() -> None:
    assert decode(NdjsonDecoder(), [b'\n \t\r\n{"a":1}\r\n\n[2]']) == [{"a": 1}, [2]]


def test_nul_padding_is_an_option() -> None:
    body = b'\0\0{"a":1}\0\0\n\0\0\0\n2\0'
    assert decode(NdjsonDecoder(nul_padding=True), [body]) == [{"a": 1}, 2]
    with pytest.raises(BadFrame):
        NdjsonDecoder().feed(body)


@pytest.mark.parametrize("garbage", [b"<", b"  <!doctype html>", b"a: 1", b"\xff", b"\0"])
def test_what_cannot_be_json_fails_before_its_line_ends(garbage: bytes) -> None:
    decoder = NdjsonDecoder()
    assert decoder.feed(b"  ") == []
    with pytest.raises(BadFrame):
        decoder.feed(garbage)


@pytest.mark.parametrize(
    "line",
    [
        b"{'a':1}",
        b"NaN",
        b"[Infinity]",
        b"1 2",
        b'"\xff"',
        b"[" * 100_000,
        b"9" * 5000,
        b"\xef\xbb\xbf1",
        b'{"a":1}{"b":2}',
    ],
    ids=range(9),
)
def test_a_line_that_is_not_json(line: bytes) -> None:
    with pytest.raises(BadFrame):
        NdjsonDecoder().feed(line + b"\n")


def test_a_cut_last_line() -> None:
    decoder = NdjsonDecoder()
    assert decoder.feed(b'1\n{"a":') == [1]
    with pytest.raises(CutAnswer):
        decoder.close()


def test_good_lines_before_a_bad_one_are_delivered_first() -> None:
    decoder = NdjsonDecoder()
    assert decoder.feed(b"1\n2\n<html>\n3\n") == [1, 2]
    with pytest.raises(BadFrame):
        decoder.close()


@given(st.lists(json_values), st.booleans(), st.data())
def test_round_trip(values: list[Any], ends: bool, data: st.DataObject) -> None:
    body = "\n".join(json.dumps(v, ensure_ascii=False) for v in values) + "\n" * ends
    assert decode(NdjsonDecoder(), data.draw(cuts(body.encode()))) == values


@given(st.data(), st.booleans())
def test_any_cutting_gives_the_same(data: st.DataObject, nul: bool) -> None:
    pieces = st.sampled_from(
        [b'{"a":1}', b"\n", b"1", b" ", b"\0", b"[", b"]", b'"', b"\xc3", b"\xa9", b"\r", b"<", b"tru", b"e"]
    )
    body = data.draw(st.lists(pieces, max_size=25).map(b"".join) | st.binary(max_size=60))
    same_however_cut(lambda: NdjsonDecoder(nul_padding=nul), body, data.draw(cuts(body)))
    same_however_cut(lambda: NdjsonDecoder(nul_padding=nul, limit=5), body, data.draw(cuts(body)))


def test_limit() -> None:
    decoder = NdjsonDecoder(limit=10)
    assert decoder.feed(b'"12345678"\n') == ["12345678"]
    with pytest.raises(BadFrame):
        decoder.feed(b'"123456789"')


@pytest.mark.parametrize("filler", [b"x", b" "])
def test_one_huge_line_in_small_chunks_is_linear(filler: bytes) -> None:
    decoder = NdjsonDecoder()
    decoder.feed(b'["' if filler == b"x" else b"[")
    for _ in range(60_000):
        assert decoder.feed(filler * 83) == []
    assert len(decoder.feed(b'"]\n' if filler == b"x" else b"]\n")) == 1
