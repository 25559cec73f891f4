"""An answer as an ASGI response: a stream of events, or one JSON body; what its bytes are, a `Renderer` says.

Both wait for the pool inside the response, where the client's leaving can be seen. Until the status line is sent
(a stream commits at its first content, or after `commit_after_s`), errors are raised and get a status of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loguru import logger
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from relay.api import sse
from relay.api.answer import Composer, Limits
from relay.api.feed import ClientGone, Feed
from relay.api.kept_media import MediaKeeper
from relay.api.key_usage import Meter
from relay.api.rendering import Renderer
from relay.chat.events import CONTENT, Event
from relay.chat.usage import Usage
from relay.errors import RelayError
from relay.pool.face import Chat

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the request asks of its answer."""

    limits: Limits
    prompt_tokens: int
    meter: Meter
    ignored: tuple[str, ...] = ()
    keeper: MediaKeeper | None = None
    """Where the bytes of pictures and files go; None = into the answer."""


class Answer(Response):
    """One chat as an HTTP answer."""

    def __init__(self, chat: Chat, renderer: Renderer, wanted: Wanted) -> None:
        super().__init__()
        self._chat = chat
        self._renderer = renderer
        self._wanted = wanted
        self._composer = Composer(wanted.limits)
        self._counted: Usage | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._chat.id} {self._composer}>"

    @property
    def is_complete(self) -> bool:
        """Whether it came to its end."""
        return self._composer.finish is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the chat to its end, or until the client leaves."""
        feed = Feed(self._chat, receive)
        failed = True
        try:
            async with feed:
                await self._answer(feed, send)
        except ClientGone:
            failed = False
            return
        finally:
            self._wanted.meter.end(self._usage(), failed=failed)
        usage = self._usage()
        logger.info(
            "chat {} by {}: queued {:.0f} ms, {}, about {} + {} tokens",
            self._chat.site,
            self._chat.driver or "-",
            self._chat.queue_ms,
            self._composer.finish or "failed",
            usage.prompt,
            usage.completion,
        )

    async def _answer(self, feed: Feed, send: Send) -> None:
        raise NotImplementedError

    async def _take(self, feed: Feed, timeout_s: float | None = None) -> list[Event]:
        """What came, as it may be shown."""
        events = await feed.take(timeout_s)
        return await self._wanted.keeper.kept(events) if self._wanted.keeper is not None else events

    def _deliver(self) -> None:
        """Tell the pool what the client got, before it can ask on: by it the next request is known to continue.

        Its key has room for that request then, whatever the chat has still to tidy up.
        """
        self._wanted.meter.end(self._usage(), failed=False)
        if not self._composer.cut:
            self._chat.delivered(self._composer.content, tuple(self._composer.tool_calls))

    def _usage(self) -> Usage:
        """Of what there is of the answer; counted once when it is complete."""
        if self._counted is None or not self.is_complete:
            self._counted = self._composer.usage(self._wanted.prompt_tokens)
        return self._counted

    def _relay_headers(self) -> list[Header]:
        told = {
            b"x-relay-site": self._chat.site,
            b"x-relay-driver": self._chat.driver,
            b"x-relay-queue-ms": str(round(self._chat.queue_ms)),
            b"x-relay-ignored": ", ".join(self._wanted.ignored),
        }
        return [(name, value.encode("ascii", "replace")) for name, value in told.items() if value]


class WholeAnswer(Answer):
    """`stream: false`."""

    async def _answer(self, feed: Feed, send: Send) -> None:
        composer = self._composer
        while composer.finish is None:
            composer.feed(await self._take(feed))
        self._deliver()
        body = self._renderer.whole(composer, self._usage())
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            *self._relay_headers(),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class StreamedAnswer(Answer):
    """`stream: true`."""

    def __init__(
        self, chat: Chat, renderer: Renderer, wanted: Wanted, *, commit_after_s: float, keep_alive_s: float
    ) -> None:
        super().__init__(chat, renderer, wanted)
        self._commit_after_s = commit_after_s
        self._keep_alive_s = keep_alive_s

    async def _answer(self, feed: Feed, send: Send) -> None:
        events = await self._first(feed)
        first = self._composer.feed(events)  # what fails here still has a status of its own
        await send({"type": "http.response.start", "status": 200, "headers": [*sse.HEADERS, *self._relay_headers()]})
        await send(_body(self._renderer.opening() + self._renderer.pieces(first)))
        try:
            await self._go_on(feed, send)
        except ClientGone:
            raise
        except Exception as error:
            await send(_body(self._failure(error), more=False))
        else:
            self._deliver()
            await send(_body(self._renderer.closing(self._composer, self._usage()), more=False))

    async def _first(self, feed: Feed) -> Sequence[Event]:
        """Events up to the first content, or those of the first `commit_after_s`."""
        now_s = asyncio.get_running_loop().time
        deadline_s = now_s() + self._commit_after_s
        events: list[Event] = []
        while not any(isinstance(event, CONTENT) for event in events):
            left_s = deadline_s - now_s()
            if left_s <= 0:
                break
            events += await self._take(feed, left_s)
        return events

    async def _go_on(self, feed: Feed, send: Send) -> None:
        """The rest of the answer; a sign of life after each `keep_alive_s` in which nothing could be shown."""
        now_s = asyncio.get_running_loop().time
        quiet_until_s = now_s() + self._keep_alive_s
        while self._composer.finish is None:
            events = await self._take(feed, max(quiet_until_s - now_s(), 0.0))
            written = self._render(events)
            if not written and now_s() >= quiet_until_s and self._composer.finish is None:
                written = self._renderer.keep_alive(self._chat.note())
            if written:
                quiet_until_s = now_s() + self._keep_alive_s
                await send(_body(written))

    def _render(self, events: Iterable[Event]) -> bytes:
        pieces = self._composer.feed(events)
        return self._renderer.pieces(pieces) if pieces else b""

    def _failure(self, error: Exception) -> bytes:
        """The rest of the text, then the error in place of a finish_reason."""
        if not isinstance(error, RelayError):
            logger.opt(exception=error).error("the chat failed unexpectedly")
            error = RelayError("relay failed unexpectedly; its log says more under this request id.")
        self._wanted.meter.end(self._usage(), failed=True)
        logger.info("chat {} failed: {}", self._chat.site, error.code)
        return self._renderer.pieces(self._composer.release()) + self._renderer.failure(error)


def _body(data: bytes, *, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": data, "more_body": more}
