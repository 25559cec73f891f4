"""A chat's events for one HTTP answer: in batches as they come, while watching whether the client is still there."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType

from loguru import logger
from starlette.types import Receive

from relay.chat.events import Event, Finished, Retracted
from relay.errors import CutAnswer
from relay.pool.face import Chat

_MAX_WAITING = 1024
"""Events held for a client that reads slowly; then the chat waits too."""
_WIND_UP_S = 10


class ClientGone(Exception):
    """The client closed its connection."""


class Feed:
    """`async with Feed(chat, receive) as feed: batch = await feed.take(5)`. Leaving it early cancels the chat."""

    def __init__(self, chat: Chat, receive: Receive) -> None:
        self._chat = chat
        self._receive = receive
        self._events: list[Event] = []
        self._end: Exception | None = None
        self._finished = False
        self._gone = False
        self._wake: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Feed {self._chat.id} waiting={len(self._events)} finished={self._finished} gone={self._gone}>"

    async def take(self, timeout_s: float | None = None) -> list[Event]:
        """Every event that is here, at least one; none after `timeout_s`.

        Raises ClientGone; and, after the last event, what ended the chat: its error, or CutAnswer.
        """
        if not self._events and self._end is None and not self._gone:
            await self._wait(timeout_s)
        if self._gone:
            raise ClientGone
        if self._events:
            batch, self._events = self._events, []
            _resolve(self._room)
            return batch
        if self._end is not None:
            raise self._end
        return []

    async def _wait(self, timeout_s: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        timer = loop.call_later(timeout_s, _resolve, self._wake) if timeout_s is not None else None
        try:
            await self._wake
        finally:
            self._wake = None
            if timer is not None:
                timer.cancel()

    async def _pump(self) -> None:
        try:
            async for event in self._chat:
                self._events.append(event)
                self._finished = self._finished or isinstance(event, Finished | Retracted)
                _resolve(self._wake)
                if len(self._events) >= _MAX_WAITING and not self._finished:
                    self._room = asyncio.get_running_loop().create_future()
                    await self._room
            self._end = CutAnswer("The answer ended without its end mark. Send the request again.")
        except Exception as error:
            self._end = error  # `take` raises it, after the events before it
        finally:
            _resolve(self._wake)

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        _resolve(self._wake)

    async def __aenter__(self) -> Feed:
        self._pumping = asyncio.create_task(self._pump(), name=f"chat {self._chat.id}")
        self._watching = asyncio.create_task(self._watch(), name=f"client of {self._chat.id}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watching.cancel()
        try:
            if self._finished:
                # What the chat does after its end mark (freeing its tab) is its own; the client has its answer.
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._pumping, _WIND_UP_S)
            elif self._end is None:
                if isinstance(error, ClientGone):
                    logger.info("the client left; stopping the chat")
                await self._chat.cancel()
        finally:
            self._pumping.cancel()
            await asyncio.gather(self._pumping, self._watching, return_exceptions=True)


def _resolve(future: asyncio.Future[None] | None) -> None:
    if future is not None and not future.done():
        future.set_result(None)
