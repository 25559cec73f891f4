"""What one answer sends, kept while it comes, so that any number of readers may follow it, from any event on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from relay.api.delivery import Answer
from relay.errors import BadRequest, CutAnswer

_SSE = b"text/event-stream"
_BLOCK_BYTES = 64
"""What Python keeps beside the bytes of each block."""


class Recording:
    """An answer that runs by itself. Without a reader it goes on for `linger_s`, then it is stopped.

    The events of a stream are numbered as they come: each gets a line `id: <n>`, from 1 on (comments get none).
    """

    def __init__(self, answer: Answer, scope: Scope, *, linger_s: float, ended: Callable[[Recording], None]) -> None:
        """Runs it at once; `ended` is told when it is over."""
        self._answer = answer
        self._linger_s = linger_s
        self._tell_end = ended
        self._abandoned = asyncio.Event()
        self._wakes: set[asyncio.Event] = set()
        self._is_stream = False
        self._rest = b""
        self._ids: list[int] = []
        """Of each event, the place behind it in `blocks`."""
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.blocks: list[bytes] = []
        self.size_bytes = 0
        self.error: Exception | None = None
        """What ended it in place of an answer."""
        self.ended = False
        self._linger: asyncio.TimerHandle | None = None
        """Runs from when the last reader has left."""
        self._task = asyncio.create_task(self._run(scope), name=f"recording of {answer!r}")

    def __repr__(self) -> str:
        state = "ended" if self.ended else "running"
        return f"<Recording {self.status or '-'} {state}, {self.size_bytes} bytes, {len(self._wakes)} readers>"

    @property
    def abandoned(self) -> bool:
        """Whether it was stopped because nobody read it."""
        return self._abandoned.is_set()

    @property
    def whole(self) -> bool:
        """Whether it is, or may still become, an answer from its beginning to its end."""
        return not self.ended or (self.error is None and self.status == 200 and self._answer.is_complete)

    def place_after(self, event: str) -> int:
        """Where in `blocks` the event after the one of this id begins. Raises BadRequest for an id that none has."""
        number = int(event) if event.isascii() and event.isdigit() and len(event) <= 9 else 0
        if not 0 < number <= len(self._ids):
            raise BadRequest(
                f"Last-Event-ID: this answer has no event {event[:20]!r}. Its last one so far is {len(self._ids)}."
            )
        return self._ids[number - 1]

    @contextmanager
    def reader(self, wake: asyncio.Event) -> Iterator[None]:
        """While somebody reads: `wake` is set whenever there is more."""
        self._wakes.add(wake)
        if self._linger is not None:
            self._linger.cancel()
        try:
            yield
        finally:
            self._wakes.discard(wake)
            if not self._wakes and not self.ended:
                self._wait_for_readers()

    def _wait_for_readers(self) -> None:
        self._linger = asyncio.get_running_loop().call_later(self._linger_s, self._abandoned.set)

    async def _run(self, scope: Scope) -> None:
        try:
            await self._answer(scope, self._receive, self._send)
        except Exception as error:
            self.error = error
        except asyncio.CancelledError:
            self.error = CutAnswer("The server is stopping. Send the request again.")
            raise
        finally:
            if self._rest:
                self._keep(self._rest)
            if not self.status and self.error is None:
                self.error = CutAnswer("The answer was stopped before it began. Send the request again.")
            self.ended = True
            if self._linger is not None:
                self._linger.cancel()
            self._tell_end(self)
            self._wake_all()

    async def _receive(self) -> Message:
        """What the answer sees of its client: that nobody is there any more."""
        await self._abandoned.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", ()))
            self._is_stream = any(
                name.lower() == b"content-type" and value.startswith(_SSE) for name, value in self.headers
            )
        elif body := message.get("body", b""):
            if self._is_stream:
                self._number(body)
            else:
                self._keep(body)
        self._wake_all()

    def _number(self, body: bytes) -> None:
        *events, self._rest = (self._rest + body).split(b"\n\n")
        for event in events:
            if event.startswith(b":"):
                self._keep(event + b"\n\n")
                continue
            self._keep(b"id: %d\n%b\n\n" % (len(self._ids) + 1, event))
            self._ids.append(len(self.blocks))

    def _keep(self, block: bytes) -> None:
        self.blocks.append(block)
        self.size_bytes += len(block) + _BLOCK_BYTES

    def _wake_all(self) -> None:
        for wake in self._wakes:
            wake.set()


class Followed(Response):
    """A recording as the answer to one request: all that came so far, then the rest as it comes."""

    def __init__(self, recording: Recording, place: int = 0) -> None:
        """From `place` in its blocks on."""
        super().__init__()
        self._recording = recording
        self._place = place
        self._wake = asyncio.Event()
        self._gone = False

    def __repr__(self) -> str:
        return f"<Followed {self._recording!r} at {self._place}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Follow it to its end, or until the client leaves. Raises what ended it before it had a status."""
        with self._recording.reader(self._wake):
            watching = asyncio.create_task(self._watch(receive), name=f"client of {self!r}")
            try:
                await self._follow(send)
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    async def _follow(self, send: Send) -> None:
        recording = self._recording
        while not (recording.status or recording.ended) and await self._more():
            pass
        if self._gone:
            return
        if not recording.status:
            assert recording.error is not None
            raise recording.error
        await send({"type": "http.response.start", "status": recording.status, "headers": [*recording.headers]})
        while not self._gone:
            ended, place = recording.ended, len(recording.blocks)
            if ended or place > self._place:
                body = b"".join(recording.blocks[self._place : place])
                self._place = place
                if ended and recording.error is not None:
                    raise recording.error  # the connection breaks: what is cut must not look whole
                await send({"type": "http.response.body", "body": body, "more_body": not ended})
            if ended:
                return
            await self._more()

    async def _more(self) -> bool:
        """Wait until there is more; whether the client is still there."""
        await self._wake.wait()
        self._wake.clear()
        return not self._gone

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._wake.set()
