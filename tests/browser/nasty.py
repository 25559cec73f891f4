"""A local site that does the nasty things: scripted answers, pieces, stalls, cuts, sockets; it notes what it sees.

`127.0.0.1` and `localhost` are two sites to Chromium, so one port serves two origins and an out-of-process frame.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import uvicorn

PAGES = Path(__file__).parent / "pages"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript"}
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass
class Seen:
    """One request as it came."""

    method: str
    headers: dict[str, str]
    query: str
    body: bytes


@dataclass
class Play:
    """A scripted answer. An Event among the pieces holds the answer until it is set."""

    pieces: Sequence[bytes | asyncio.Event] = ()
    status: int = 200
    headers: Sequence[tuple[str, str]] = (("content-type", "text/event-stream"),)
    gap_s: float = 0
    head: asyncio.Event | None = None
    """Holds even the head until it is set."""
    dies: bool = False
    """Whether the connection breaks after the last piece, without an end."""
    seen: list[Seen] = field(default_factory=list)
    sent: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the client has gone away before the end."""
    seen_one: asyncio.Event = field(default_factory=asyncio.Event)
    began: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def bytes(self) -> bytes:
        """The whole body."""
        return b"".join(piece for piece in self.pieces if isinstance(piece, bytes))

    async def run(self, send: Send) -> None:
        """Send the answer."""
        if self.head:
            await self.head.wait()
        head = [(name.encode(), value.encode()) for name, value in (("cache-control", "no-store"), *self.headers)]
        await send({"type": "http.response.start", "status": self.status, "headers": head})
        self.began.set()
        for piece in self.pieces:
            if isinstance(piece, asyncio.Event):
                await piece.wait()
                continue
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            self.sent += 1
            await asyncio.sleep(self.gap_s)
        if self.dies:
            raise ConnectionAbortedError("as the script says")
        await send({"type": "http.response.body"})
        self.ended.set()


class Nasty:
    """The site. `play` scripts an answer and gives its address."""

    def __init__(self) -> None:
        self.port = 0
        self.plays: dict[str, Play] = {}
        self._numbers = count()

    def url(self, path: str = "/page/blank.html", *, host: str = "127.0.0.1") -> str:
        """An address of the site."""
        return f"http://{host}:{self.port}{path}"

    def play(self, *pieces: bytes | asyncio.Event, **options: Any) -> tuple[str, Play]:
        """Script an answer; returns its path."""
        play = Play(pieces, **options)
        path = f"/play/{next(self._numbers)}"
        self.plays[path] = play
        return path, play

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._socket(receive, send)
        elif scope["path"].startswith("/page/"):
            await self._page(scope, send)
        elif scope["path"] == "/set-cookies":
            cookies = [(b"set-cookie", b"one=1; HttpOnly"), (b"set-cookie", b"two=2; Max-Age=3600")]
            await send(
                {"type": "http.response.start", "status": 200, "headers": [*cookies, (b"x-a", b"1"), (b"x-a", b"2")]}
            )
            await send({"type": "http.response.body", "body": b"ok"})
        elif scope["path"] in self.plays:
            await self._played(self.plays[scope["path"]], scope, receive, send)
        else:
            await send({"type": "http.response.start", "status": 404, "headers": []})
            await send({"type": "http.response.body"})

    async def _page(self, scope: dict[str, Any], send: Send) -> None:
        file = PAGES / Path(scope["path"]).name
        headers = [(b"content-type", TYPES[file.suffix].encode())]
        if "strict" in scope["query_string"].decode():
            headers.append(
                (
                    b"content-security-policy",
                    b"default-src 'none'; connect-src 'self'; sandbox allow-scripts allow-same-origin",
                )
            )
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": file.read_bytes()})

    async def _played(self, play: Play, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        play.seen.append(Seen(scope["method"], headers, scope["query_string"].decode(), body))
        play.seen_one.set()
        running = asyncio.ensure_future(play.run(send))
        leaving = asyncio.ensure_future(receive())
        try:
            await asyncio.wait((running, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                play.left.set()
                return
            await running
        finally:
            for task in (running, leaving):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionAbortedError):
                    await task

    async def _socket(self, receive: Receive, send: Send) -> None:
        """Echo; `bye` closes."""
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            said = message.get("text") or message.get("bytes")
            if said == "bye":
                await send({"type": "websocket.close"})
                return
            key = "text" if isinstance(said, str) else "bytes"
            await send({"type": "websocket.send", key: said})


@asynccontextmanager
async def serving() -> AsyncIterator[Nasty]:
    """The site, served by this loop on a free port of loopback."""
    nasty = Nasty()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        nasty.port = listener.getsockname()[1]
        config = uvicorn.Config(
            nasty, log_level="critical", lifespan="off", ws="websockets-sansio", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        task = asyncio.create_task(server.serve(sockets=[listener]))
        while not server.started:  # noqa: ASYNC110  (uvicorn has no event for it)
            await asyncio.sleep(0.01)
        yield nasty
        server.should_exit = True
        await task


BROTLI = (
    "ixeAZGF0YTogeyJuIjogMCwgInRleHQiOiAiR3LDtsOfZSDmvKLlrZcg8J+miSAifQoK",
    "iAGAXzomTIxMNiEJMnXAD7+QMQA=",
    "mAGAX0Img2iCkDiAtgE=",
    "qAGAX2Img2iCkDiAugE=",
    "uAGAX4Img2iCkDiAvgE=",
    "yAGAX6Img2jCkDiAvgE=",
    "Aw==",
)
"""An SSE answer compressed by Node's zlib and flushed after each event (base64)."""
BROTLI_TEXT = "".join(f'data: {{"n": {n}, "text": "Größe 漢字 🦉 {"ab" * n}"}}\n\n' for n in range(6))
