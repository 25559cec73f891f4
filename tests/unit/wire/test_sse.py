from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import BadFrame
from relay.wire.sse import SseDecoder, SseEvent
from tests.unit.wire.cutting import cuts, decode, same_however_cut

# Pieces that meet all the corners of the grammar far more often than random bytes do.
streams = st.lists(
    st.sampled_from(
        [b"data", b"event", b"id", b"retry", b":", b": ", b"\r", b"\n", b"\r\n", b"\n\n", b" ", b"7", b"\0", b"x",
         "é😀".encode(), b"\xff", b"\xef\xbb\xbf", b"data: a\n\n", b"data\n", b"id: 1\n"]
    ),
    max_size=30,
).map(b"".join)  # fmt: skip


def events(data: bytes) -> list[SseEvent]:
    return decode(SseDecoder(), [data])


def test_the_examples_of_the_standard() -> None:
    assert events(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [SseEvent("message", "YHOO\n+2\n10")]
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    assert events(stream) == [
        SseEvent("message", "first event", "1"),
        SseEvent("message", "second event", ""),
        SseEvent("message", " third event", ""),
    ]
    assert [e.data for e in events(b"data\n\ndata\ndata\n\ndata:")] == ["", "\n"]
    assert [e.data for e in events(b"data:test\n\ndata: test\n\n")] == ["test", "test"]


def test_names_ids_and_retry() -> None:
    assert events(b"event: delta\ndata: 1\n\ndata: 2\n\n") == [SseEvent("delta", "1"), SseEvent("message", "2")]
    assert [e.id for e in events(b"id: a\ndata: 1\n\ndata: 2\n\nid: b\0\ndata: 3\n\nid\ndata: 4\n\n")] == [
        "a",
        "a",
        "a",
        "",
    ]
    values = [b"1500", b"15s", b"", b"-1", "٣".encode(), b"9" * 5000]
    stream = b"".join(b"retry: " + value + b"\ndata\n\n" for value in values)
    assert [e.retry for e in events(stream)] == [1500, None, None, None, None, None]


def test_an_event_without_data_is_not_dispatched_and_leaves_no_name_behind() -> None:
    assert events(b"event: close\n\ndata: x\n\n") == [SseEvent("message", "x")]
    assert events(b"id: 7\n\ndata: x\n\n") == [SseEvent("message", "x", "7")]


def test_line_ends_and_byte_order_mark() -> None:
    for end in (b"\n", b"\r", b"\r\n"):
        assert events(b"\xef\xbb\xbfdata: a" + end + b"data: b" + end + end) == [SseEvent("message", "a\nb")]
    assert events(b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n") == []
    assert events(b"data: a\n\n\xef\xbb\xbfdata: b\n\n") == [SseEvent("message", "a")]


def test_a_cr_dispatches_at_once_and_its_lf_is_no_second_end() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\r\n\r") == [SseEvent("message", "a")]
    assert decoder.feed(b"\ndata: b\r") == []
    assert decoder.feed(b"") == []
    assert decoder.feed(b"\ndata: c\r\n\r\n") == [SseEvent("message", "b\nc")]


def test_invalid_utf8_becomes_the_replacement_character() -> None:
    assert events(b"data: a\xffb\xe2\x82\n\n") == [SseEvent("message", "a\ufffdb\ufffd")]


def test_an_event_without_its_blank_line_is_discarded() -> None:
    assert events(b"data: a\n\ndata: b\n") == [SseEvent("message", "a")]
    assert events(b"data: a\n\ndata: b") == [SseEvent("message", "a")]


@given(st.data())
def test_any_cutting_gives_the_same(data: st.DataObject) -> None:
    stream = data.draw(streams | st.binary(max_size=60))
    same_however_cut(SseDecoder, stream, data.draw(cuts(stream)))
    same_however_cut(lambda: SseDecoder(limit=8), stream, data.draw(cuts(stream)))


names = st.from_regex(r"[a-z_]+", fullmatch=True)
texts = st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]))


@given(st.lists(st.tuples(names, texts)), st.data())
def test_round_trip(pairs: list[tuple[str, str]], data: st.DataObject) -> None:
    lines = "".join(f"event: {n}\n" + "".join(f"data: {x}\n" for x in d.split("\n")) + "\n" for n, d in pairs)
    chunks = data.draw(cuts(lines.encode()))
    assert decode(SseDecoder(), chunks) == [SseEvent(n, d) for n, d in pairs]


def test_limits() -> None:
    decoder = SseDecoder(limit=100)
    assert decoder.feed(b"data: " + b"x" * 94 + b"\n\n") == [SseEvent("message", "x" * 94)]
    assert decoder.feed(b": keep-alive\n" * 1000) == []  # comments are not stored
    with pytest.raises(BadFrame):
        decoder.feed(b"x" * 101)
    with pytest.raises(BadFrame):
        SseDecoder(limit=100).feed(b"data: 123456789\n" * 10)


def test_good_events_before_a_bad_one_are_delivered_first() -> None:
    decoder = SseDecoder(limit=20)
    assert decoder.feed(b"data: a\n\n" + b"x" * 50) == [SseEvent("message", "a")]
    for _ in range(2):
        with pytest.raises(BadFrame):
            decoder.feed(b"data: b\n\n")
    with pytest.raises(BadFrame):
        decoder.close()


@pytest.mark.parametrize(("size", "chunk"), [(300_000, 1), (5_000_000, 61), (5_000_000, 65_536)])
def test_one_huge_line_in_small_chunks_is_linear(size: int, chunk: int) -> None:
    """Quadratic work would be 10^10 bytes and more: the suite's time-out."""
    line = b"data: " + b"x" * size + b"\n\n"
    (event,) = decode(SseDecoder(), (line[i : i + chunk] for i in range(0, len(line), chunk)))
    assert len(event.data) == size
