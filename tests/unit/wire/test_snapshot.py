from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import BadFrame
from relay.wire.snapshot import Revised, SnapshotDelta


def test_growth_is_emitted_once() -> None:
    delta = SnapshotDelta()
    assert [delta.feed(s) for s in ("", "Hel", "Hel", "Hello", "Hello you")] == ["", "Hel", "", "lo", " you"]
    assert delta.close() == "" and not delta.revised and delta.emitted == "Hello you"


def test_a_held_tail_may_change() -> None:
    delta = SnapshotDelta(hold=3)
    assert [delta.feed(s) for s in ("ab", "abc **", "abc de", "abc def")] == ["", "abc", "", " "]
    assert not delta.revised
    assert delta.close() == "def"


def test_the_final_text_replaces_the_held_tail() -> None:
    delta = SnapshotDelta(hold=2)
    assert delta.feed("answer▌") == "answe"
    assert delta.close("answer.") == "r."


def test_a_passing_contradiction_emits_nothing_and_heals() -> None:
    delta = SnapshotDelta()
    assert delta.feed("1 * 2") == "1 * 2"
    assert delta.feed("1 × 2 is") == "" and delta.revised
    assert delta.feed("1 * 2 is 2") == " is 2" and not delta.revised
    assert delta.close() == ""


@pytest.mark.parametrize("last", ["No.", "Yes", ""])
def test_a_final_contradiction_raises(last: str) -> None:
    delta = SnapshotDelta()
    delta.feed("Yes, of course")
    assert delta.feed(last) == "" and delta.revised
    with pytest.raises(Revised) as caught:
        delta.close()
    assert (caught.value.emitted, caught.value.final) == ("Yes, of course", last)
    assert isinstance(caught.value, BadFrame)


def test_a_final_text_that_contradicts_raises() -> None:
    delta = SnapshotDelta()
    delta.feed("abc")
    with pytest.raises(Revised, match="character 2"):
        delta.close("abX")


def test_half_an_emoji_at_the_tail_waits() -> None:
    delta = SnapshotDelta()
    assert [delta.feed("a\ud83d"), delta.feed("a😀b")] == ["a", "😀b"]
    assert delta.feed("a😀b\ud83d") == "" and delta.close() == "\ufffd"


@given(
    st.lists(st.text("ab\ud83d😀", max_size=6), max_size=8), st.integers(0, 4), st.none() | st.text("ab", max_size=6)
)
def test_what_is_emitted_is_always_a_prefix_of_the_last_word(
    snapshots: list[str], hold: int, final: str | None
) -> None:
    delta, out = SnapshotDelta(hold=hold), ""
    for snapshot in snapshots:
        piece = delta.feed(snapshot)
        assert not (piece and delta.revised)
        out += piece
        assert out == delta.emitted
        assert delta.revised != snapshot.startswith(out)
    try:
        out += delta.close(final)
    except Revised as error:
        assert not error.final.startswith(out)
    else:
        last = final if final is not None else (snapshots or [""])[-1]
        assert out == (last[:-1] + "\ufffd" if last.endswith("\ud83d") else last)


@given(st.text(max_size=40), st.lists(st.integers(0, 40)), st.integers(0, 5))
def test_growing_prefixes_give_the_text(text: str, ends: list[int], hold: int) -> None:
    delta = SnapshotDelta(hold=hold)
    out = "".join([delta.feed(text[:end]) for end in sorted(ends)])
    assert out + delta.close(text) == text


def test_many_snapshots_of_a_long_text() -> None:
    delta, text = SnapshotDelta(hold=8), "0123456789" * 20_000
    assert "".join([delta.feed(text[:end]) for end in range(0, len(text), 50)]) + delta.close(text) == text
