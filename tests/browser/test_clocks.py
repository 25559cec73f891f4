"""The three clocks of an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from relay.browser.clocks import clocked
from relay.chat.events import Event, Finished, Text
from relay.errors import FirstByteTimeout, IdleTimeout, TotalTimeout
from relay.settings import Clocks

CLOCKS = Clocks(first_byte_s=30, idle_s=30, total_s=30)
SOON = 0.03


class Script:
    """Events with pauses between; a None waits for ever."""

    def __init__(self, *steps: Event | float | None) -> None:
        self.steps = steps
        self.closed = False

    async def __call__(self) -> AsyncGenerator[Event, None]:
        try:
            for step in self.steps:
                if step is None:
                    await asyncio.Event().wait()
                elif isinstance(step, float):
                    await asyncio.sleep(step)
                else:
                    yield step
        finally:
            self.closed = True


async def test_nothing_comes() -> None:
    script = Script(None)
    with pytest.raises(FirstByteTimeout, match="FIRST_BYTE_S"):
        await anext(clocked(script(), CLOCKS.model_copy(update={"first_byte_s": SOON})))
    assert script.closed


async def test_it_stalls() -> None:
    script = Script(Text("a"), None)
    events = clocked(script(), CLOCKS.model_copy(update={"idle_s": SOON}))
    assert await anext(events) == Text("a")
    with pytest.raises(IdleTimeout, match="IDLE_S"):
        await anext(events)
    assert script.closed


async def test_it_never_ends() -> None:
    steps: list[Event | float | None] = [Text("a"), 0.01]
    script = Script(*steps * 1000)
    with pytest.raises(TotalTimeout, match="TOTAL_S"):
        async for _ in clocked(script(), CLOCKS.model_copy(update={"total_s": 5 * SOON})):
            pass
    assert script.closed


async def test_the_total_runs_before_the_first_byte_too() -> None:
    with pytest.raises(TotalTimeout):
        await anext(clocked(Script(None)(), CLOCKS.model_copy(update={"total_s": SOON})))


async def test_whoever_reads_slowly_is_not_timed() -> None:
    script = Script(Text("a"), Text("b"), Finished())
    got = []
    async for event in clocked(script(), CLOCKS.model_copy(update={"idle_s": SOON})):
        got.append(event)
        await asyncio.sleep(2 * SOON)
    assert got == [Text("a"), Text("b"), Finished()]


async def test_leaving_closes_the_source() -> None:
    script = Script(Text("a"), None)
    events = clocked(script(), CLOCKS)
    await anext(events)
    await events.aclose()
    assert script.closed


async def test_a_time_out_of_the_source_is_its_own() -> None:
    async def source() -> AsyncGenerator[Event, None]:
        yield Text("a")
        raise TimeoutError("another clock")

    events = clocked(source(), CLOCKS)
    await anext(events)
    with pytest.raises(TimeoutError, match="another clock"):
        await anext(events)
