"""Whatever comes in place of DeepSeek's answer: one of our errors, in bounded time and memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.chat.events import Finished, Retracted
from relay.errors import BadFrame, RelayError
from tests.unit.sites.deepseek_streams import END, read, reasoning, said, snapshot, stream, text
from tests.unit.wire.cutting import json_values

PATHS = [
    "response",
    "response/fragments",
    "response/fragments/-1/content",
    "response/status",
    "response/content",
    "x",
    "",
]


@given(st.binary(max_size=300))
def test_garbage_is_one_of_our_errors(data: bytes) -> None:
    with pytest.raises(RelayError):
        asyncio.run(read([data]))


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "p": st.sampled_from(PATHS),
                "o": st.sampled_from(["APPEND", "SET", "BATCH", "x"]),
                "v": json_values | st.sampled_from(["FINISHED", [said("A")], [{"p": "fragments", "v": [said("B")]}]]),
            },
        ),
        max_size=12,
    )
)
def test_hostile_patches_are_an_answer_or_one_of_our_errors(patches: list[dict[str, Any]]) -> None:
    try:
        events = asyncio.run(read([stream([snapshot(said("A")), *patches, END])]))
    except RelayError:
        return
    assert isinstance(events[-1], Finished | Retracted)
    assert not any("\ud800" <= character <= "\udfff" for character in text(events) + reasoning(events))


@given(json_values)
def test_a_hostile_snapshot_is_one_of_our_errors(value: Any) -> None:
    for frame in ({"v": {"response": value}}, {"v": value}, {"choices": value}, {"code": value}, ("ready", value)):
        with pytest.raises(RelayError):
            asyncio.run(read([stream([frame])]))


async def test_huge_input_is_refused() -> None:
    with pytest.raises(BadFrame):
        await read([b"data: " + b"x" * (17 << 20)])
    with pytest.raises(BadFrame):
        await read([stream(["data: " + "[" * 100_000 + "\n\n"])])
    nested: Any = "A"
    for _ in range(200):
        nested = [nested]
    with pytest.raises(BadFrame):
        await read([stream([snapshot(said("A", references=nested))])])
