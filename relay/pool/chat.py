"""One submitted request: a queue of events between the task that runs it and the route that sends it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from relay.chat.events import CONTENT, Event, Finished, Retracted, Text, ToolCall
from relay.chat.request import ChatRequest
from relay.errors import RelayError
from relay.pool.assign import Waiting
from relay.pool.brought import Brought
from relay.pool.hold import Hold
from relay.pool.measures import Timeline


class PooledChat:
    """The pool's Chat. `put` and `end` are for the dispatcher, iterating, `delivered` and `cancel` for the route."""

    def __init__(self, request: ChatRequest, waiting: Waiting, hold: Hold, brought: Brought | None = None) -> None:
        self.request = request
        self.id = request.id
        self.site = request.choice.site
        self.model = request.choice.model
        self.hold = hold
        """The conversation on the site that is continued, or will be opened."""
        self.brought = brought
        """The site tokens that the caller brought."""
        self.account = ""
        self.driver = ""
        self.waiting = waiting
        self.steps = Timeline()
        self.shown = False
        """Whether anything of an answer was seen: from then on nothing is tried again."""
        self.refused: RelayError | None = None
        """What an account refused it with."""
        self.failure: RelayError | None = None
        """What its newest try failed with."""
        self.settled = False
        self.describe: Callable[[], str] = lambda: "waiting"
        self.stop: Callable[[], None] = lambda: None
        self.task: asyncio.Task[None] | None = None
        self.expiry: asyncio.TimerHandle | None = None
        self._events: deque[Event] = deque()
        self._end: RelayError | bool = False
        self._wake: asyncio.Future[None] | None = None
        self._progress = ""

    def __repr__(self) -> str:
        return f"<Chat {self.id} {self.site} {self.account or 'waiting'} {self.driver} ended={bool(self._end)}>"

    @property
    def queue_ms(self) -> float:
        """Milliseconds waited for a page."""
        return ((self.steps.leased or time.perf_counter()) - self.steps.submitted) * 1000

    @property
    def ended(self) -> bool:
        """Whether no more events will come."""
        return bool(self._end)

    @property
    def error(self) -> RelayError | None:
        """What it ended with, if that was an error."""
        return self._end if isinstance(self._end, RelayError) else None

    def lease(self, account: str) -> None:
        """An account was assigned."""
        self.account = account
        self.steps.mark("leased")
        if self.expiry is not None:
            self.expiry.cancel()

    def requeue(self, error: RelayError, avoid: frozenset[str]) -> None:
        """The account refused it: it waits for another, with its whole history."""
        self.account = self.driver = ""
        self.task = None
        self.hold.leave()
        self.refused = error
        self.waiting = replace(self.waiting, avoid=avoid, prefers="", patience=0)

    def put(self, event: Event) -> None:
        """Add an event."""
        if not self.shown:
            self.steps.mark("first_byte")
            if isinstance(event, CONTENT):
                self.shown = True
                self.steps.mark("first_token")
        if isinstance(event, Text):
            self.steps.characters += len(event.text)
            self.steps.last_token = time.perf_counter()
        elif isinstance(event, Finished | Retracted):
            self.steps.mark("end")
        self._events.append(event)
        self._notify()

    def progress(self, note: str) -> None:
        """What is being done; shown in keep-alive comments."""
        self._progress = note

    def end(self, error: RelayError | None = None) -> None:
        """No more events; the first call counts."""
        if not self._end:
            self._end = error or True
            if self.expiry is not None:
                self.expiry.cancel()
            self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            while self._events:
                yield self._events.popleft()
            if self._end:
                if isinstance(self._end, RelayError):
                    raise self._end
                return
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

    def note(self) -> str:
        """Position in the queue and why it waits, or what is being done."""
        return self._progress if self.account else self.describe()

    @property
    def heard(self) -> str:
        """The key of the history before the answer."""
        return self.hold.heard

    def delivered(self, text: str, calls: tuple[ToolCall, ...] = ()) -> None:
        """The whole answer as the client got it: what it will send back as history."""
        self.hold.answered(text, calls)

    async def cancel(self) -> None:
        """Leave the queue, or stop the answer and free the page."""
        self.stop()
        if self.task is not None:
            await asyncio.wait([self.task], timeout=5)
