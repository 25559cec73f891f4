"""The three clocks of an answer: first byte, idle, total. A heartbeat is no event, so it resets none of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from relay.chat.events import Event
from relay.errors import FirstByteTimeout, IdleTimeout, TotalTimeout
from relay.settings import Clocks


async def clocked(events: AsyncGenerator[Event, None], clocks: Clocks) -> AsyncGenerator[Event, None]:
    """Pass events on under the clocks; closes `events` when left. Raises one of the three time-outs."""
    loop = asyncio.get_running_loop()
    end = loop.time() + clocks.total_s
    wait_s = clocks.first_byte_s
    first = True
    try:
        while True:
            deadline = loop.time() + wait_s
            try:
                async with asyncio.timeout_at(min(deadline, end)) as clock:
                    event = await anext(events)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if not clock.expired():
                    raise  # not one of ours
                if loop.time() >= end:
                    raise TotalTimeout(
                        f"The answer took longer than {clocks.total_s:g} s (RELAY_CLOCKS__TOTAL_S)."
                    ) from None
                if first:
                    raise FirstByteTimeout(
                        f"The site sent nothing for {wait_s:g} s (RELAY_CLOCKS__FIRST_BYTE_S). "
                        "The prompt may have been accepted, so it was not sent again."
                    ) from None
                raise IdleTimeout(f"The answer stalled for {wait_s:g} s (RELAY_CLOCKS__IDLE_S).") from None
            first = False
            wait_s = clocks.idle_s
            yield event
    finally:
        await events.aclose()
