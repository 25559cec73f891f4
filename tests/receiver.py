"""A real HTTP receiver of notices, in a thread: it notes what it gets and answers as told."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

LONG_S = 30.0


@dataclass
class Got:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """Its body."""
        return json.loads(self.body)


@dataclass
class Script:
    """What is answered: the statuses in turn, then 200."""

    statuses: list[int] = field(default_factory=list)
    location: str = ""
    """Of a redirect."""
    silent: bool = False
    """Takes the request and never answers."""
    drips: bool = False
    """Sends a byte of the head now and then, for ever."""


class HttpReceiver:
    """A context manager; `url` and `port` are its address on loopback."""

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.got: list[Got] = []
        self._changed = threading.Condition()
        self._ended = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._take(self)

            do_GET = do_PUT = do_POST

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def __repr__(self) -> str:
        return f"<HttpReceiver {self.url} got={len(self.got)}>"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def await_requests(self, count: int, timeout_s: float = LONG_S) -> list[Got]:
        """What it got, once that is so many. Raises AssertionError."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.got) >= count, timeout_s), f"{len(self.got)} of {count}"
            return list(self.got)

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self._changed:
            status = self.script.statuses.pop(0) if self.script.statuses else 200
            self.got.append(Got(handler.command, handler.path, headers, body))
            self._changed.notify_all()
        try:
            if self.script.silent:
                self._ended.wait(LONG_S)
                return
            if self.script.drips:
                handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
                while not self._ended.wait(0.05):
                    handler.wfile.write(b"a")
                return
            handler.send_response(status)
            if self.script.location:
                handler.send_header("location", self.script.location)
            handler.send_header("content-length", "2")
            handler.end_headers()
            handler.wfile.write(b"{}")
        except OSError:
            pass  # the client has left, as it should
