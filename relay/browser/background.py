"""Work that goes on when whoever asked for it leaves: the browser does not stop in the middle of a step."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from relay.errors import BrowserFault

T = TypeVar("T")
_background: set[asyncio.Task[Any]] = set()


def spawn(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task that nobody needs to hold."""
    task = asyncio.get_running_loop().create_task(work)
    _background.add(task)
    task.add_done_callback(_background.discard)
    return task


async def unless_left(opening: Coroutine[Any, Any, T], close: Callable[[T], Awaitable[None]]) -> T:
    """What `opening` returns or raises. Where the caller is cancelled, that goes on, and what it opens is closed."""
    task = spawn(opening)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        spawn(_closed(task, close))
        raise


async def _closed(task: asyncio.Task[T], close: Callable[[T], Awaitable[None]]) -> None:
    with suppress(BrowserFault):  # nothing was opened
        await close(await task)
