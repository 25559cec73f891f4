"""What all tests of framings share: cutting bytes anywhere, and what a framing may do with garbage."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from hypothesis import strategies as st

from relay.errors import BadFrame, CutAnswer
from relay.wire.decoder import Decoder

R = TypeVar("R")

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


@st.composite
def cuts(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """`data` in chunks, some of them empty."""
    at = sorted(draw(st.lists(st.integers(0, len(data)), max_size=12)))
    return [data[start:end] for start, end in zip([0, *at], [*at, len(data)], strict=True)]


def decode(decoder: Decoder[R], chunks: Iterable[bytes]) -> list[R]:
    return [record for chunk in chunks for record in decoder.feed(chunk)] + decoder.close()


def outcome(decoder: Decoder[R], chunks: Iterable[bytes]) -> tuple[list[R], str]:
    """All records, and the name of the error that came after them. Any other exception fails the test."""
    records: list[R] = []
    try:
        for chunk in chunks:
            records += decoder.feed(chunk)
        records += decoder.close()
    except (BadFrame, CutAnswer) as error:
        return records, type(error).__name__
    return records, "end"


def same_however_cut(new: Callable[[], Decoder[R]], data: bytes, chunks: list[bytes]) -> None:
    whole = outcome(new(), [data])
    assert outcome(new(), chunks) == whole
    assert outcome(new(), (data[i : i + 1] for i in range(len(data)))) == whole
