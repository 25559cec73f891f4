from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import BadFrame, CutAnswer
from relay.wire.text import Utf8Decoder, WholeCharacters, decode_utf8
from tests.unit.wire.cutting import cuts, decode, outcome


@given(st.text(), st.data())
def test_text_cut_anywhere_comes_back_whole(text: str, data: st.DataObject) -> None:
    assert "".join(decode(Utf8Decoder(), data.draw(cuts(text.encode())))) == text


@given(st.data())
def test_garbage_gives_the_same_text_and_error_however_cut(data: st.DataObject) -> None:
    body = data.draw(
        st.binary(max_size=40) | st.lists(st.sampled_from([b"a", "😀".encode(), b"\xf0\x9f", b"\xff"])).map(b"".join)
    )
    pieces, end = outcome(Utf8Decoder(), data.draw(cuts(body)))
    whole, whole_end = outcome(Utf8Decoder(), [body])
    assert ("".join(pieces), end) == ("".join(whole), whole_end)


def test_a_character_cut_by_the_end() -> None:
    decoder = Utf8Decoder()
    assert decoder.feed(b"a\xf0\x9f\x98") == ["a"]
    with pytest.raises(CutAnswer):
        decoder.close()


def test_whole_pieces_are_strict() -> None:
    assert decode_utf8("é".encode(), "a name") == "é"
    with pytest.raises(BadFrame):
        decode_utf8(b"\xc3", "a name")


def test_halves_of_a_pair_in_two_deltas_become_one_character() -> None:
    text = WholeCharacters()
    assert [text.feed("a\ud83d"), text.feed(""), text.feed("\ude00b"), text.close()] == ["a", "", "😀b", ""]


def test_a_lonely_half_becomes_the_replacement_character() -> None:
    text = WholeCharacters()
    assert [text.feed("\ude00a\ud83d"), text.feed("b\ud83d"), text.close(), text.close()] == [
        "\ufffda",
        "\ufffdb",
        "\ufffd",
        "",
    ]


@given(st.text(), st.data())
def test_text_cut_at_utf16_units_comes_back_whole(text: str, data: st.DataObject) -> None:
    units = text.encode("utf-16-le")
    at = sorted(data.draw(st.lists(st.integers(0, len(units) // 2), max_size=6)))
    pieces = [
        units[2 * a : 2 * b].decode("utf-16-le", "surrogatepass")
        for a, b in zip([0, *at], [*at, len(units) // 2], strict=True)
    ]
    joiner = WholeCharacters()
    assert "".join([joiner.feed(piece) for piece in pieces]) + joiner.close() == text
