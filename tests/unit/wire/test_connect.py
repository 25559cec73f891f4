from __future__ import annotations

import gzip
import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import BadFrame, CutAnswer
from relay.wire.connect import COMPRESSED, END_STREAM, TRAILER, ConnectDecoder, Envelope, envelope, is_end
from tests.unit.wire.cutting import cuts, decode, json_values, same_however_cut


def test_the_kimi_sample() -> None:
    delta: dict[str, object] = {"op": "append", "mask": "block.text.content", "block": {"text": {"content": "因为 {"}}}
    body = envelope({"heartbeat": {}}) + envelope(delta) + envelope({}, END_STREAM)
    frames = decode(ConnectDecoder(), [body])
    assert [frame.json() for frame in frames] == [{"heartbeat": {}}, delta, {}]
    assert [is_end(frame) for frame in frames] == [False, False, True]


def test_the_bytes_of_an_envelope() -> None:
    assert envelope({"chat_id": "é"}) == b"\x00\x00\x00\x00\x10" + '{"chat_id":"é"}'.encode()
    assert envelope(b"{}", END_STREAM) == b"\x02\x00\x00\x00\x02{}"
    half = envelope({"a": "\ud83d"})  # half of a pair has no UTF-8; JSON can still carry it
    assert json.loads(half[5:]) == {"a": "\ud83d"}


def test_both_end_marks() -> None:
    assert is_end(Envelope(END_STREAM, b"{}")) and is_end(Envelope(TRAILER, b"")) and not is_end(Envelope(0, b"{}"))


@pytest.mark.parametrize("page", [b"<", b"{", b"<!doctype html>", b'{"error":1}', b"\x04", b"\x10\0\0\0\0", b" "])
def test_a_page_in_the_place_of_an_answer_fails_at_its_first_byte(page: bytes) -> None:
    with pytest.raises(BadFrame):
        ConnectDecoder().feed(page[:1])
    with pytest.raises(BadFrame):
        ConnectDecoder().feed(page)


def test_a_length_over_the_limit_fails_with_the_head() -> None:
    assert ConnectDecoder(limit=10).feed(envelope(b"x" * 10)) == [Envelope(0, b"x" * 10)]
    with pytest.raises(BadFrame):
        ConnectDecoder(limit=10).feed(b"\0" + struct.pack(">I", 11))
    with pytest.raises(BadFrame):
        ConnectDecoder().feed(b"\0\xff\xff\xff\xff")


@pytest.mark.parametrize("cut", [1, 4, 5, 6])
def test_the_end_inside_an_envelope(cut: int) -> None:
    decoder = ConnectDecoder()
    assert len(decoder.feed(envelope({}) + envelope({})[:cut])) == 1
    with pytest.raises(CutAnswer):
        decoder.close()


def test_gzip_only_where_declared() -> None:
    packed = envelope(gzip.compress(b'{"a":1}'), COMPRESSED | END_STREAM)
    assert decode(ConnectDecoder(compression="gzip"), [packed]) == [Envelope(END_STREAM, b'{"a":1}')]
    assert decode(ConnectDecoder(compression="gzip"), [envelope(b"", COMPRESSED)]) == [Envelope(0, b"")]
    with pytest.raises(BadFrame):
        ConnectDecoder().feed(packed)


@pytest.mark.parametrize(
    "message",
    [
        b"not gzip",
        gzip.compress(b"abc")[:-1],
        gzip.compress(b"abc") + b"x",
        gzip.compress(bytes(10_000_000)),
        gzip.compress(b"x" * 100_001),
    ],
    ids=["other", "cut", "tail", "bomb", "over"],
)
def test_bad_gzip_and_bombs(message: bytes) -> None:
    with pytest.raises(BadFrame):
        ConnectDecoder(compression="gzip", limit=100_000).feed(envelope(message, COMPRESSED))


def test_a_message_that_is_not_json() -> None:
    for data in (b"", b"\xff", b"{", b"nan"):
        with pytest.raises(BadFrame):
            Envelope(0, data).json()


@given(st.lists(st.dictionaries(st.text(), json_values, max_size=3), max_size=5), st.booleans(), st.data())
def test_round_trip(payloads: list[dict[str, object]], packed: bool, data: st.DataObject) -> None:
    if packed:
        body = b"".join(envelope(gzip.compress(envelope(p)[5:], 1), COMPRESSED) for p in payloads)
    else:
        body = b"".join(envelope(p) for p in payloads)
    frames = decode(ConnectDecoder(compression="gzip"), data.draw(cuts(body)))
    assert [frame.json() for frame in frames] == payloads
    assert all(frame.flags == 0 for frame in frames)


@given(st.data())
def test_any_cutting_gives_the_same(data: st.DataObject) -> None:
    good = st.builds(envelope, st.binary(max_size=12), st.sampled_from([0, 1, 2, 0x80, 4, 0xFF]))
    body = data.draw(st.lists(good | st.binary(max_size=8), max_size=6).map(b"".join))
    same_however_cut(lambda: ConnectDecoder(compression="gzip", limit=10), body, data.draw(cuts(body)))


def test_one_huge_envelope_and_many_tiny_ones_are_linear() -> None:
    huge = envelope(b"x" * 5_000_000)
    (frame,) = decode(ConnectDecoder(), (huge[i : i + 61] for i in range(0, len(huge), 61)))
    assert len(frame.data) == 5_000_000
    assert len(ConnectDecoder().feed(envelope(b"") * 200_000)) == 200_000
