"""A web server on loopback that gives files, badly where a test wants that."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path

Answer = bytes | Callable[[BufferedIOBase], None]
"""The whole answer, status line and all, or what writes it."""


class AddressServer:
    """`answers` by path; `asked` has each request's path and headers."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.left = threading.Event()
        """Set once a client has left an answer that was still being written."""

    def put(self, path: str, body: bytes, *headers: str, status: str = "200 OK") -> str:
        """Give `body` at `path`; its address."""
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
        self.answers[path] = "\r\n".join([*lines, "", ""]).encode() + body
        return self.url + path

    def redirect(self, path: str, to: str) -> str:
        """Redirect `path`; its address."""
        return self.put(path, b"", f"Location: {to}", status="302 Found")


@contextmanager
def address_server(certificate: tuple[Path, Path] | None = None) -> Iterator[AddressServer]:
    """With a certificate (and its key) it speaks TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            answer = made.answers[self.path.partition("?")[0]]
            try:
                self.wfile.write(answer) if isinstance(answer, bytes) else answer(self.wfile)
            except OSError:
                made.left.set()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    made = AddressServer(server.server_port)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
