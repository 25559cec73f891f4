"""What is being opened for somebody who leaves meanwhile: it opens all the same, and nobody would close it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from relay.errors import BrowserFault

T = TypeVar("T")
_background: set[asyncio.Task[Any]] = set()


async def unless_left(opening: Coroutine[Any, Any, T], close: Callable[[T], Awaitable[None]]) -> T:
    """What `opening` returns or raises. Where the caller is cancelled, that goes on, and what it opens is closed."""
    task = _kept(opening)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        _kept(_closed(task, close))
        raise


async def _closed(task: asyncio.Task[T], close: Callable[[T], Awaitable[None]]) -> None:
    with suppress(BrowserFault):  # nothing was opened
        await close(await task)


def _kept(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    task = asyncio.get_running_loop().create_task(work)
    _background.add(task)
    task.add_done_callback(_background.discard)
    return task
