"""What every request passes first: id, Host, Origin and CORS, the body's limit. Plain ASGI: streams stay streams."""

from __future__ import annotations

import ipaddress
import re
import time
import uuid
from collections.abc import Iterable, Mapping

from loguru import logger
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay.api import auth, errors
from relay.errors import Forbidden, RelayError, TooLarge
from relay.settings import Settings

EXPOSED = "x-request-id, request-id, retry-after, retry-after-ms, x-should-retry, " + ", ".join(
    f"x-relay-{name}" for name in ("site", "driver", "queue-ms", "ignored")
)
_SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
_SECRET_PATH = re.compile(r"^(/+login/+)(?!static/)[^/]+")
_LOCAL_NAMES = {"localhost", "host.docker.internal"}
_SOCKET_NAME = "relay"
"""What commands call the server by on the owner's socket."""
_OURS_ALONE = re.compile(r"/(admin|login)(/.*)?", re.DOTALL)
"""Paths that no page of another origin ever uses."""
_UPLOADS = "/v1/files"
"""The path whose bodies are files."""
_CLIENT_GONE = 499
"""Logged where the client left before the answer's status, as nginx does."""


class Gate:
    """ASGI middleware; the outermost."""

    def __init__(self, app: ASGIApp, settings: Settings, *, keys: auth.Keys) -> None:
        self._app = app
        self._keys = keys
        self._public_url = settings.public_url
        self._limit = _Limit(settings.max_body_mib, "RELAY_MAX_BODY_MIB")
        self._upload_limit = _Limit(settings.files.max_file_mib, "RELAY_FILES__MAX_FILE_MIB", around_bytes=64 * 1024)
        self._hosts = _LOCAL_NAMES | {settings.host.lower()} | {name.lower() for name in settings.allowed_hosts or ()}
        self._any_host = "*" in self._hosts or (settings.allowed_hosts is None and not settings.is_loopback)
        given = settings.cors_origins
        self._given_origins = None if given is None else {origin.rstrip("/").lower() for origin in given}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it here."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
        request_id = headers.get("x-request-id", "")
        if not _SANE_ID.fullmatch(request_id):
            request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        visit = _Visit(send, request_id)
        with logger.contextualize(request_id=request_id):
            try:
                await self._pass(scope, headers, receive, visit)
            except ClientDisconnect:
                logger.debug("the client left before its request was whole")
            except Exception as error:
                logger.opt(exception=error).error("{} {} failed", _method(scope), shown_path(scope["path"]))
                if not visit.status:
                    await errors.crash_response(scope)(scope, receive, visit)
            finally:
                visit.log(scope)

    async def _pass(self, scope: Scope, headers: Mapping[str, str], receive: Receive, visit: _Visit) -> None:
        try:
            self._check_host(headers.get("host", ""), by_socket=scope.get(auth.OWNER) is True)
            if scope["type"] == "websocket":
                self._check_socket_origin(headers)
            else:
                visit.extra += self._cors(headers, scope["path"])
                limit = self._upload_limit if scope["path"] == _UPLOADS else self._limit
                limit.check(headers.get("content-length", ""))
        except RelayError as error:
            await errors.response_of(error, scope)(scope, receive, visit)
            return
        if scope["type"] == "websocket":  # its server limits the messages
            await self._app(scope, receive, visit)
            return
        if scope["method"] == "OPTIONS" and "origin" in headers and "access-control-request-method" in headers:
            await _preflight(headers)(scope, receive, visit)
            return
        await self._app(scope, limit.applied(receive), visit)

    def _check_host(self, host: str, *, by_socket: bool) -> None:
        """A page of another name that resolves to us (DNS rebinding) is refused: names are known, addresses safe."""
        match = _HOST.fullmatch(host)
        name = match[1].lower().rstrip(".") if match else ""
        if by_socket and name == _SOCKET_NAME:
            return
        if not name or not (self._any_host or name in self._hosts or name.endswith(".localhost") or _is_address(name)):
            raise Forbidden(
                f"The Host {host[:100]!r} is not one that this server answers to. RELAY_ALLOWED_HOSTS adds names."
            )

    def _cors(self, headers: Mapping[str, str], path: str) -> list[tuple[bytes, bytes]]:
        """The headers for a page of another origin. Raises Forbidden without keys: pages could use the accounts."""
        origin = headers.get("origin", "").lower()
        if _OURS_ALONE.fullmatch(path):
            if "access-control-request-method" in headers or (
                origin and not auth.is_own_page(origin, headers.get("host", ""), self._public_url)
            ):
                raise Forbidden("A page of another origin may not use the admin and login pages.")
            return []
        if not origin or origin.partition("://")[2] == headers.get("host", "").lower():
            return []
        origins = self._origins()
        if "*" in origins or origin in origins:
            return [
                (b"access-control-allow-origin", b"*" if "*" in origins else origin.encode("latin-1")),
                (b"access-control-expose-headers", EXPOSED.encode()),
                (b"vary", b"origin"),
            ]
        if not self._keys:
            raise Forbidden(
                f"A page of {origin[:100]} may not use this server. RELAY_CORS_ORIGINS lists the origins that may; "
                "with RELAY_API_KEYS set, any may that has a key."
            )
        return []

    def _origins(self) -> set[str]:
        """Whose pages may use the API: as set, else with keys all, without none."""
        if self._given_origins is not None:
            return self._given_origins
        return {"*"} if self._keys else set()

    def _check_socket_origin(self, headers: Mapping[str, str]) -> None:
        """Browsers hold no page back from opening sockets, with cookies: only our own pages may."""
        origin = headers.get("origin", "").lower()
        if origin and not auth.is_own_page(origin, headers.get("host", ""), self._public_url):
            raise Forbidden(
                f"A page of {origin[:100]} may not open a WebSocket here. Where a proxy stands before this server, it "
                "must pass the Host on, or RELAY_PUBLIC_URL must say how people reach it."
            )


class _Limit:
    """How large a body may be, and which setting says so. `around_bytes` come with a file in a form."""

    def __init__(self, mib: int, setting: str, *, around_bytes: int = 0) -> None:
        self._bytes = mib * 1024 * 1024 + around_bytes
        self._fault = f"The request body is larger than {mib} MiB ({setting})."

    def check(self, length: str) -> None:
        """Raises TooLarge where a Content-Length is over it."""
        if length.isdigit() and int(length) > self._bytes:
            raise TooLarge(self._fault)

    def applied(self, receive: Receive) -> Receive:
        """`receive` that raises TooLarge once more has come than may; the server drops the rest unread."""
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._bytes:
                raise TooLarge(self._fault)
            return message

        return counted


class _Visit:
    """`send` for one request: adds its headers, and remembers what was answered when."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._began_s = time.monotonic()
        self.status = 0
        self.extra: list[tuple[bytes, bytes]] = [
            (b"x-request-id", request_id.encode()),
            (b"request-id", request_id.encode()),
        ]

    async def __call__(self, message: Message) -> None:
        if message["type"] == "websocket.accept":
            self.status = 101
        elif message["type"] == "websocket.close":
            self.status = self.status or 403  # what servers make of a refusal before the handshake
        elif message["type"] in ("http.response.start", "websocket.http.response.start"):
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self.extra]
        await self._send(message)

    def log(self, scope: Scope) -> None:
        """One line: method, path (no query: it may hold a token), status, time."""
        quiet = scope["path"] in ("/ping", "/health", "/ready", "/metrics", "/admin/api/accounts")
        took_ms = (time.monotonic() - self._began_s) * 1000
        logger.log(
            "DEBUG" if quiet else "INFO",
            "{} {} {} {:.0f} ms",
            _method(scope),
            shown_path(scope["path"]),
            self.status or _CLIENT_GONE,
            took_ms,
        )


def shown_path(path: str) -> str:
    """A path as it may be logged: that of a remote login is as good as a password."""
    return _SECRET_PATH.sub(r"\1[hidden]", path[:200])


def _method(scope: Scope) -> str:
    return "WEBSOCKET" if scope["type"] == "websocket" else str(scope["method"])


def _preflight(headers: Mapping[str, str]) -> Response:
    """The answer to a browser that asks first; what origins may has been decided."""
    allow = {
        "access-control-allow-methods": "GET, POST, DELETE, OPTIONS",
        "access-control-allow-headers": _tokens(headers.get("access-control-request-headers", "")),
        "access-control-max-age": "86400",
    }
    if "access-control-request-private-network" in headers:
        allow["access-control-allow-private-network"] = "true"
    return Response(status_code=204, headers=allow)


def _tokens(names: str) -> str:
    """The header names in a list, without what is none."""
    wanted: Iterable[str] = (name.strip().lower() for name in names.split(","))
    return ", ".join(name for name in wanted if re.fullmatch(r"[a-z0-9!#$%&'*+.^_`|~-]+", name))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
