"""The page's own traffic, read over CDP with nothing injected: fetch, XHR, EventSource, WebSockets, workers, frames.

Order pitfall: the reply to `Network.streamResourceContent` holds the bytes that came before it, yet later
`dataReceived` events may overtake it; they are held until the reply is in. An answer that finished before we
asked is read whole with `Network.getResponseBody`.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from loguru import logger

from relay.browser.answer import Answer
from relay.browser.cdp import CdpError, CdpSession
from relay.errors import CutAnswer, RelayError, SiteUnavailable


def glob(pattern: str) -> re.Pattern[str]:
    """An address glob: `*` stays within a path segment, `**` crosses them; a query is matched only if named."""
    parts = re.split(r"(\*\*|\*)", pattern)
    body = "".join({"**": ".*", "*": "[^/?]*"}.get(part, re.escape(part)) for part in parts)
    return re.compile(body + ("" if "?" in pattern else r"(?:[?#].*)?") + r"\Z", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SocketFrame:
    """One WebSocket message of the page. `data` is str for text frames."""

    url: str
    data: str | bytes
    sent: bool


class Exchange:
    """One request of the page and its answer."""

    def __init__(self, method: str, url: str, post_data: str, kind: str) -> None:
        self.method = method
        self.url = url
        self.post_data = post_data
        self.kind = kind
        self._head: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answer: Answer | None = None
        self._held: list[bytes] | None = []
        self._finished = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Exchange {self.method} {self.url} {self._answer or 'waiting'}>"

    async def answer(self) -> Answer:
        """The answer, once its head is here. Raises SiteUnavailable where the request failed."""
        return await asyncio.shield(self._head)

    def failed(self, error: RelayError) -> None:
        """The request or its answer broke off."""
        self._finished.set()
        if self._answer is not None:
            self._answer.finish(error)
        elif not self._head.done():
            self._head.set_exception(error)
            self._head.exception()  # nobody may be waiting

    def began(self, response: dict[str, Any]) -> Answer:
        """The answer's head came."""
        self._answer = Answer(int(response["status"]), response.get("headers", {}), response["url"])
        if not self._head.done():
            self._head.set_result(self._answer)
        return self._answer

    def data(self, data: bytes) -> None:
        """Bytes came by event."""
        if self._held is not None:
            self._held.append(data)
        elif self._answer is not None:
            self._answer.push(data)

    def finished(self) -> None:
        """The answer is whole (its last bytes may still be held)."""
        self._finished.set()
        if self._held is None and self._answer is not None:
            self._answer.finish()

    async def follow(self, session: CdpSession, request_id: str) -> None:
        """Ask for the bytes; run once per answer."""
        answer = self._answer
        assert answer is not None
        try:
            reply = await session.send("Network.streamResourceContent", {"requestId": request_id})
            self._release(answer, base64.b64decode(reply.get("bufferedData", "")))
        except CdpError:
            await self._whole(answer, session, request_id)
        except RelayError as error:
            self.failed(error)

    def _release(self, answer: Answer, first: bytes) -> None:
        held, self._held = self._held or [], None
        for data in (first, *held):
            if data:
                answer.push(data)
        if self._finished.is_set():
            answer.finish()

    async def _whole(self, answer: Answer, session: CdpSession, request_id: str) -> None:
        await self._finished.wait()
        try:
            reply = await session.send("Network.getResponseBody", {"requestId": request_id})
        except (CdpError, RelayError) as error:
            answer.finish(CutAnswer(f"The page's answer could not be read any more ({error})."))
            return
        body = reply.get("body", "")
        self._release(answer, base64.b64decode(body) if reply.get("base64Encoded") else body.encode())


class Traffic:
    """What one watcher sees, in order."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._patterns = [glob(pattern) for pattern in patterns]
        self._exchanges: asyncio.Queue[Exchange | RelayError] = asyncio.Queue()
        self._frames: asyncio.Queue[SocketFrame | RelayError | None] = asyncio.Queue()

    def __repr__(self) -> str:
        return f"<Traffic {[p.pattern for p in self._patterns]} waiting={self._exchanges.qsize()}>"

    def wants(self, url: str) -> bool:
        """Whether an address is watched."""
        return any(pattern.match(url) for pattern in self._patterns)

    def add(self, exchange: Exchange) -> None:
        """A request was sent."""
        self._exchanges.put_nowait(exchange)

    def add_frame(self, frame: SocketFrame | None) -> None:
        """A socket message passed; None: the socket closed."""
        self._frames.put_nowait(frame)

    def fail(self, error: RelayError) -> None:
        """The page is dead."""
        self._exchanges.put_nowait(error)
        self._frames.put_nowait(error)

    async def next(self) -> Exchange:
        """The next watched request of the page, as soon as it is sent."""
        item = await self._exchanges.get()
        if isinstance(item, RelayError):
            raise item
        return item

    async def frames(self) -> AsyncIterator[SocketFrame]:
        """Messages of the watched WebSockets, until one closes."""
        while (frame := await self._frames.get()) is not None:
            if isinstance(frame, RelayError):
                raise frame
            yield frame


class TrafficTap:
    """A tab's tap: switched on once, on the page and on every worker and frame under it."""

    def __init__(self, session: CdpSession) -> None:
        self.watchers: list[Traffic] = []
        self._session = session
        self._enabled: asyncio.Task[None] | None = None
        self._open: dict[tuple[int, str], Exchange] = {}
        self._sockets: dict[tuple[int, str], str] = {}
        self._following: set[asyncio.Task[None]] = set()

    async def enable(self) -> None:
        """Switch the tap on."""
        if self._enabled is None:
            self._enabled = asyncio.create_task(self._enable())
        await asyncio.shield(self._enabled)

    async def _enable(self) -> None:
        self._hook(self._session)
        await self._session.send("Network.enable")
        await self._session.send("Target.setAutoAttach", _ATTACH)

    def fail(self, error: RelayError) -> None:
        """The page is dead: all that is open fails."""
        self.interrupt(error)
        for watcher in self.watchers:
            watcher.fail(error)

    def interrupt(self, error: RelayError) -> None:
        """The page navigated away: what was open breaks off."""
        for exchange in self._open.values():
            exchange.failed(error)
        self._open.clear()
        self._sockets.clear()

    def _hook(self, session: CdpSession) -> None:
        key = id(session)

        def on(event: str, listener: Any) -> None:
            session.on(event, lambda params: listener((key, params.get("requestId", "")), params))

        on("Network.requestWillBeSent", self._sent)
        on("Network.responseReceived", lambda at, params: self._head(session, at, params))
        on("Network.dataReceived", self._data)
        on("Network.loadingFinished", self._done)
        on("Network.loadingFailed", self._failed)
        on("Network.webSocketCreated", lambda at, params: self._sockets.__setitem__(at, params["url"]))
        on("Network.webSocketFrameReceived", lambda at, params: self._frame(at, params, sent=False))
        on("Network.webSocketFrameSent", lambda at, params: self._frame(at, params, sent=True))
        on("Network.webSocketClosed", self._socket_closed)
        session.on("Target.attachedToTarget", lambda params: self._attached(session, params))

    def _attached(self, parent: CdpSession, params: dict[str, Any]) -> None:
        # Nothing is awaited here: a paused worker answers only after it was resumed.
        child = parent.child(params["sessionId"])
        self._hook(child)
        child.post("Network.enable")
        if params["targetInfo"]["type"] in ("iframe", "page"):
            child.post("Target.setAutoAttach", _ATTACH)
        child.post("Runtime.runIfWaitingForDebugger")

    def _sent(self, at: tuple[int, str], params: dict[str, Any]) -> None:
        request = params["request"]
        url = request["url"] + request.get("urlFragment", "")
        if at in self._open:  # a redirect keeps its id
            self._open[at].url = url
            return
        watchers = [watcher for watcher in self.watchers if watcher.wants(url)]
        if watchers and params.get("type") != "Preflight" and request["method"] != "OPTIONS":
            exchange = Exchange(request["method"], url, request.get("postData", ""), params.get("type", ""))
            self._open[at] = exchange
            for watcher in watchers:
                watcher.add(exchange)

    def _head(self, session: CdpSession, at: tuple[int, str], params: dict[str, Any]) -> None:
        if (exchange := self._open.get(at)) is not None:
            exchange.began(params["response"])
            task = asyncio.get_running_loop().create_task(exchange.follow(session, at[1]))
            self._following.add(task)
            task.add_done_callback(self._following.discard)

    def _data(self, at: tuple[int, str], params: dict[str, Any]) -> None:
        if (exchange := self._open.get(at)) is not None and params.get("data"):
            exchange.data(base64.b64decode(params["data"]))

    def _done(self, at: tuple[int, str], params: dict[str, Any]) -> None:
        if (exchange := self._open.pop(at, None)) is not None:
            exchange.finished()

    def _failed(self, at: tuple[int, str], params: dict[str, Any]) -> None:
        if (exchange := self._open.pop(at, None)) is None:
            return
        why = params.get("errorText", "no reason given")
        logger.debug("the page's request failed: {} {}", exchange, why)
        if params.get("canceled"):
            exchange.failed(CutAnswer("The page stopped the answer itself."))
        elif why in _NEVER_SENT:
            exchange.failed(SiteUnavailable(f"The site could not be reached ({why}).", refused=True))
        else:
            exchange.failed(CutAnswer(f"The site's answer broke off ({why}). Send the request again."))

    def _frame(self, at: tuple[int, str], params: dict[str, Any], *, sent: bool) -> None:
        url = self._sockets.get(at, "")
        frame = params["response"]
        data = frame["payloadData"] if frame["opcode"] == 1 else base64.b64decode(frame["payloadData"])
        for watcher in self.watchers:
            if url and watcher.wants(url):
                watcher.add_frame(SocketFrame(url, data, sent))

    def _socket_closed(self, at: tuple[int, str], params: dict[str, Any]) -> None:
        url = self._sockets.pop(at, "")
        for watcher in self.watchers:
            if url and watcher.wants(url):
                watcher.add_frame(None)


_ATTACH = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": False}
_NEVER_SENT = ("net::ERR_CONNECTION_REFUSED", "net::ERR_NAME_NOT_RESOLVED", "net::ERR_INTERNET_DISCONNECTED")
