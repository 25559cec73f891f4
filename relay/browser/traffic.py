"""The page's own traffic, read over CDP with nothing injected: fetch, XHR, EventSource, WebSockets, workers, frames.

Order pitfall: the reply to `Network.streamResourceContent` holds the bytes that came before it, yet later
`dataReceived` events may overtake it; they are held until the reply is in. An answer that finished before we
asked is read whole with `Network.getResponseBody`.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from loguru import logger

from relay.browser.answer import Answer
from relay.browser.cdp import GONE, CdpError, CdpSession
from relay.errors import CutAnswer, RelayError, SiteUnavailable

BUSY_S = 300.0


def glob(pattern: str) -> re.Pattern[str]:
    """An address glob: `*` stays within a path segment, `**` crosses them; both cross a query that is named.

    A query that is not named may be anything, and what it contains never matches.
    """
    path, named, query = pattern.partition("?")
    body = _stars(path, {"**": "[^?#]*", "*": "[^/?#]*"})
    tail = r"\?" + _stars(query, {"**": ".*", "*": ".*"}) if named else r"(?:[?#].*)?"
    return re.compile(body + tail + r"\Z", re.DOTALL)


def _stars(text: str, stars: dict[str, str]) -> str:
    return "".join(stars.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*)", text))


@dataclass(frozen=True, slots=True)
class SocketFrame:
    """One WebSocket message of the page. `data` is str for text frames."""

    url: str
    data: str | bytes
    sent: bool


class Exchange:
    """One request of the page and its answer, as one watcher sees it."""

    def __init__(self, method: str, url: str, post_data: str, kind: str) -> None:
        self.method = method
        self.url = url
        self.post_data = post_data
        self.kind = kind
        self._head: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answer: Answer | None = None

    def __repr__(self) -> str:
        return f"<Exchange {self.method} {self.url} {self._answer or 'waiting'}>"

    async def answer(self) -> Answer:
        """The answer, once its head is here. Raises SiteUnavailable where the request failed."""
        return await asyncio.shield(self._head)

    def began(self, response: dict[str, Any]) -> None:
        """The answer's head came."""
        headers = {name: value.replace("\n", ", ") for name, value in response.get("headers", {}).items()}
        self._answer = Answer(int(response["status"]), headers, response["url"])
        if not self._head.done():
            self._head.set_result(self._answer)

    def push(self, data: bytes) -> None:
        """Bytes of the answer, in order."""
        if self._answer is not None:
            self._answer.push(data)

    def finish(self, error: RelayError | None) -> None:
        """The answer is whole, or the request or its answer broke off."""
        if self._answer is not None:
            self._answer.finish(error)
        elif not self._head.done():
            self._head.set_exception(error or SiteUnavailable("The page's request ended without an answer."))
            self._head.exception()  # nobody may be waiting


class _Request:
    """A request on the wire, and the exchanges that show it to the watchers, each with all of its bytes."""

    def __init__(self, exchanges: list[Exchange], document: bool) -> None:
        self.exchanges = exchanges
        self.document = document
        self.redirect: dict[str, Any] | None = None
        """The answer that sent it on to another address."""
        self._held: list[bytes] | None = []
        self._ended = asyncio.Event()
        self._error: RelayError | None = None
        self._response: dict[str, Any] = {}
        self._headed = asyncio.Event()
        """The head is here, or will never be."""

    async def follow(self, session: CdpSession, request_id: str) -> None:
        """Ask for the bytes; runs once. Asked at the request already, an answer is hardly ever over before us."""
        try:
            first = await self._streamed(session, request_id)
            if first is None:
                await self._headed.wait()
                first = await self._streamed(session, request_id)
            if first is None:
                first = await self._whole(session, request_id)
        except RelayError as error:
            first = b""
            self.end(error)
        held, self._held = self._held or [], None
        for data in (first, *held):
            self.data(data)
        if self._ended.is_set():
            self._finish()

    async def _streamed(self, session: CdpSession, request_id: str) -> bytes | None:
        try:
            # A page that draws a long answer keeps this waiting; the chat's own clocks bound it.
            reply = await session.send("Network.streamResourceContent", {"requestId": request_id}, timeout_s=BUSY_S)
        except CdpError as error:
            logger.trace("not streamed: {}", error)
            return None
        return base64.b64decode(reply.get("bufferedData", ""))

    async def _whole(self, session: CdpSession, request_id: str) -> bytes:
        """The body of an answer that had finished before we asked."""
        await self._ended.wait()
        self._held = []
        if self._error is not None:
            return b""
        try:
            reply = await session.send("Network.getResponseBody", {"requestId": request_id})
        except CdpError as error:
            self._error = CutAnswer(f"The page's answer could not be read any more ({error}).")
            return b""
        body: str = reply.get("body", "")
        return base64.b64decode(body) if reply.get("base64Encoded") else undecoded(body, self._response)

    @property
    def answered(self) -> bool:
        """Whether a head came."""
        return bool(self._response)

    def began(self, response: dict[str, Any]) -> None:
        """The answer's head came."""
        self._response = response
        self._headed.set()
        for exchange in self.exchanges:
            exchange.began(response)

    def data(self, data: bytes) -> None:
        """Bytes came; they wait while earlier ones are being asked for."""
        if self._held is not None:
            self._held.append(data)
        elif data:
            for exchange in self.exchanges:
                exchange.push(data)

    def end(self, error: RelayError | None = None) -> None:
        """The answer is whole or broke off; what is held still goes out first."""
        if not self._ended.is_set():
            self._error = error
            self._ended.set()
            if self._held is None or not self._headed.is_set():
                self._finish()
            self._headed.set()

    def _finish(self) -> None:
        for exchange in self.exchanges:
            exchange.finish(self._error)


_FROM_1252 = {ord(bytes([b]).decode("cp1252")): b for b in range(0x80, 0xA0) if b not in b"\x81\x8d\x8f\x90\x9d"}


def undecoded(body: str, response: dict[str, Any]) -> bytes:
    """The bytes of a body that Chromium handed out as text, by the rule by which it had decoded them.

    Without a charset, text/* (event streams too) is windows-1252 to it, JSON, HTML and XML are UTF-8. What does not
    decode it hands out as base64, so nothing is lost but a byte order mark.
    """
    mime, charset = str(response.get("mimeType", "")), str(response.get("charset", ""))
    marked_up = mime in ("text/html", "text/javascript") or mime.endswith(("json", "xml"))
    try:
        if not charset and mime.startswith("text/") and not marked_up:
            return body.translate(_FROM_1252).encode("latin-1")
        return body.encode(charset or "utf-8")
    except (LookupError, UnicodeEncodeError):  # a byte order mark said UTF-8
        return body.encode()


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

    def cut_frames(self, error: RelayError) -> None:
        """A watched socket went away with its page."""
        self._frames.put_nowait(error)

    def fail(self, error: RelayError) -> None:
        """The page is dead."""
        self._exchanges.put_nowait(error)
        self._frames.put_nowait(error)

    async def next(self) -> Exchange:
        """The next watched request of the page, as soon as it is sent."""
        item = await self._exchanges.get()
        if isinstance(item, RelayError):
            self._exchanges.put_nowait(item)  # a dead page stays dead
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
        self._open: dict[At, _Request] = {}
        self._sockets: dict[At, str] = {}
        self._following: set[asyncio.Task[None]] = set()
        self._hook(session)

    async def enable(self) -> None:
        """Switch the tap on. Raises BrowserFault."""
        if self._enabled is None or (self._enabled.done() and self._enabled.exception()):
            self._enabled = asyncio.create_task(self._enable())
        await asyncio.shield(self._enabled)

    async def _enable(self) -> None:
        await self._session.send("Network.enable")
        await self._session.send("Target.setAutoAttach", _ATTACH)

    def fail(self, error: RelayError) -> None:
        """The page is dead: all that is open fails."""
        self.interrupt(error)
        for watcher in self.watchers:
            watcher.fail(error)

    def interrupt(self, error: RelayError, session: CdpSession | None = None) -> None:
        """The page navigated away, or the worker or frame of `session` ended: what was open there breaks off."""
        for at, request in tuple(self._open.items()):
            if (session is None and not request.document) or session is at[0]:
                del self._open[at]
                request.end(error)
        for at, url in tuple(self._sockets.items()):
            if session in (None, at[0]):
                del self._sockets[at]
                for watcher in self._wanting(url):
                    watcher.cut_frames(error)

    def _wanting(self, url: str) -> list[Traffic]:
        return [watcher for watcher in self.watchers if watcher.wants(url)]

    def _hook(self, session: CdpSession) -> None:
        def on(event: str, listener: Callable[[At, dict[str, Any]], None]) -> None:
            session.on(event, lambda params: listener((session, params.get("requestId", "")), params))

        on("Network.requestWillBeSent", self._sent)
        on("Network.responseReceived", self._head)
        on("Network.dataReceived", self._data)
        on("Network.loadingFinished", self._done)
        on("Network.loadingFailed", self._failed)
        on("Network.webSocketCreated", lambda at, params: self._sockets.__setitem__(at, params["url"]))
        on("Network.webSocketFrameReceived", lambda at, params: self._frame(at, params, sent=False))
        on("Network.webSocketFrameSent", lambda at, params: self._frame(at, params, sent=True))
        on("Network.webSocketClosed", self._socket_closed)
        session.on("Target.attachedToTarget", lambda params: self._attached(session, params))

    def _attached(self, parent: CdpSession, params: dict[str, Any]) -> None:
        task = asyncio.get_running_loop().create_task(self._adopt(parent, params))
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    async def _adopt(self, parent: CdpSession, params: dict[str, Any]) -> None:
        try:
            child = await parent.adopt(params)
            self._hook(child)
            child.on(GONE, lambda _: self.interrupt(child.fault or CutAnswer("It ended."), child))
            # No answer is awaited here: a paused worker need not give one.
            ready = [child.post("Network.enable")]
            if params["targetInfo"]["type"] in ("iframe", "page"):
                ready.append(child.post("Target.setAutoAttach", _ATTACH))
            await parent.release(child, params, ready)
        except (CdpError, RelayError) as error:
            logger.debug("a worker or frame was gone before it was watched: {}", error)

    def _sent(self, at: At, params: dict[str, Any]) -> None:
        request, kind = params["request"], params.get("type", "")
        url = request["url"] + request.get("urlFragment", "")
        if at in self._open:  # a redirect keeps its id
            self._open[at].redirect = params.get("redirectResponse")
            for exchange in self._open[at].exchanges:
                exchange.url = url
            return
        watchers = self._wanting(url)
        if watchers and kind != "Preflight" and request["method"] != "OPTIONS":
            exchanges = []
            for watcher in watchers:
                exchange = Exchange(request["method"], url, request.get("postData", ""), kind)
                watcher.add(exchange)
                exchanges.append(exchange)
            self._open[at] = _Request(exchanges, document=kind == "Document")
            task = asyncio.get_running_loop().create_task(self._open[at].follow(*at))
            self._following.add(task)
            task.add_done_callback(self._following.discard)

    def _head(self, at: At, params: dict[str, Any]) -> None:
        if (request := self._open.get(at)) is not None:
            request.began(params["response"])

    def _data(self, at: At, params: dict[str, Any]) -> None:
        if (request := self._open.get(at)) is not None and params.get("data"):
            request.data(base64.b64decode(params["data"]))

    def _done(self, at: At, params: dict[str, Any]) -> None:
        if (request := self._open.pop(at, None)) is not None:
            request.end()

    def _failed(self, at: At, params: dict[str, Any]) -> None:
        if (request := self._open.pop(at, None)) is None:
            return
        if request.redirect is not None and not request.answered:
            request.began(request.redirect)  # led where the page may not read, it is the only answer there was
        why = params.get("errorText", "no reason given")
        logger.debug("the page's request failed: {} {}", request.exchanges[0], why)
        if params.get("canceled"):
            # So end an answer that the page aborts and, as well, any that it has read to its end with a reader
            # (Chromium 156). Which of the two it was, the answer's own end mark tells.
            request.end()
        elif why in _NEVER_SENT:
            request.end(SiteUnavailable(f"The site could not be reached ({why}).", refused=True))
        else:
            request.end(CutAnswer(f"The site's answer broke off ({why}). Send the request again."))

    def _frame(self, at: At, params: dict[str, Any], *, sent: bool) -> None:
        if at in self._sockets:
            url, frame = self._sockets[at], params["response"]
            data = frame["payloadData"] if frame["opcode"] == 1 else base64.b64decode(frame["payloadData"])
            for watcher in self._wanting(url):
                watcher.add_frame(SocketFrame(url, data, sent))

    def _socket_closed(self, at: At, params: dict[str, Any]) -> None:
        for watcher in self._wanting(self._sockets.pop(at, "")):
            watcher.add_frame(None)


At = tuple[CdpSession, str]
"""Where a request or socket lives: its session, and its id there."""
_ATTACH = {"autoAttach": True, "waitForDebuggerOnStart": True, "flatten": True}
_NEVER_SENT = ("net::ERR_CONNECTION_REFUSED", "net::ERR_NAME_NOT_RESOLVED", "net::ERR_INTERNET_DISCONNECTED")
