"""One submitted request: a queue of events between the task that runs it and the route that sends it."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

from relay.chat.events import Event
from relay.chat.request import ChatRequest
from relay.errors import RelayError
from relay.pool.assign import Waiting


class PooledChat:
    """The pool's Chat. `put` and `end` are for the dispatcher, iterating and `cancel` for the route."""

    def __init__(self, request: ChatRequest, accounts: tuple[str, ...], model: str) -> None:
        self.request = request
        self.id = request.id
        self.site = request.choice.site
        self.model = model
        self.account = ""
        self.driver = ""
        self.waiting = Waiting(secrets.token_hex(8), request.caller, accounts)  # clients may repeat a request id
        self.place: Callable[[], int] = lambda: 0
        self.stop: Callable[[], None] = lambda: None
        self.task: asyncio.Task[None] | None = None
        self.expiry: asyncio.TimerHandle | None = None
        self._submitted = time.perf_counter()
        self._leased: float | None = None
        self._events: deque[Event] = deque()
        self._end: RelayError | bool = False
        self._wake: asyncio.Future[None] | None = None
        self._progress = ""

    def __repr__(self) -> str:
        return f"<Chat {self.id} {self.site} {self.account or 'waiting'} {self.driver} ended={bool(self._end)}>"

    @property
    def queue_ms(self) -> float:
        """Milliseconds waited for a tab."""
        return ((self._leased or time.perf_counter()) - self._submitted) * 1000

    @property
    def ended(self) -> bool:
        """Whether no more events will come."""
        return bool(self._end)

    def lease(self, account: str) -> None:
        """An account was assigned."""
        self.account = account
        self._leased = time.perf_counter()
        if self.expiry is not None:
            self.expiry.cancel()

    def put(self, event: Event) -> None:
        """Add an event."""
        self._events.append(event)
        self._notify()

    def progress(self, note: str) -> None:
        """What is being done, for keep-alives."""
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
        """Position in the queue, or what is being done."""
        return self._progress if self.account else f"waiting, position {self.place()}"

    async def cancel(self) -> None:
        """Leave the queue, or stop the answer and free the tab."""
        self.stop()
        if self.task is not None:
            await asyncio.wait([self.task], timeout=5)
