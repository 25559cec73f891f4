"""What every replica is: its hosts, a table of routes, and how it refuses."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from tests.replicas.exchange import EndedEarly, Exchange, Refused, Torn
from tests.replicas.recording import Moment
from tests.replicas.scenario import Fault
from tests.replicas.script import silence
from tests.replicas.seen import Seen
from tests.replicas.socket import Socket

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
WALL = "<!doctype html><html><head><title>Just a moment...</title></head><body><h1>Checking</h1></body></html>"

Handler = Callable[[Exchange, re.Match[str]], Awaitable[None]]
SocketHandler = Callable[[Socket, re.Match[str]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Route:
    """``method`` and a whole-path regular expression, the operation's name for faults and records, its handler."""

    method: str
    path: str
    operation: str
    handler: Handler


@dataclass(frozen=True, slots=True)
class SocketRoute:
    """The whole-path regular expression of a WebSocket, its operation, its handler."""

    path: str
    operation: str
    handler: SocketHandler


class Replica:
    """Base of all replicas. State lives in the instance, keyed by account, so that tests do not disturb each other."""

    id: ClassVar[str]
    hosts: ClassVar[tuple[str, ...]]
    options: ClassVar[frozenset[str]] = frozenset()
    """Names of ``Scenario.options`` that this site understands."""
    address: ClassVar[str] = ""
    """The base address of its accounts, where the site has none of its own (an app that anybody may run)."""
    lacks: ClassVar[frozenset[str]] = frozenset()
    """What of a scenario means nothing here: kinds of pieces and faults, states of a login, names of fields."""
    agent: ClassVar[str] = ""
    """The id of an agent that the site knows; empty: it takes any of the right shape, or has none."""
    routes: Sequence[Route] = ()
    sockets: Sequence[SocketRoute] = ()

    def account(self, exchange: Exchange) -> str:
        """Whose request this is, for choosing the scenario; never proof of a login. Empty: unknown.

        Sites override it to look in their tokens first. The cookie lets a test name any context, a guest's too.
        """
        return exchange.request.cookies.get("replica_account", "")

    def socket_account(self, socket: Socket) -> str:
        """The same of a WebSocket."""
        return socket.request.cookies.get("replica_account", "")

    def state(self, account: str) -> object:
        """What the site keeps for ``account``, as JSON for tests."""
        raise NotImplementedError

    def seen(self, account: str) -> Seen:
        """What the site saw of ``account``, in the words of all sites."""
        raise NotImplementedError

    def login(self, account: str, *, ttl_s: float = 900) -> dict[str, Any]:
        """The storage state (Playwright's shape) that a login of ``account`` leaves; it lives for ``ttl_s``."""
        raise NotImplementedError

    def token(self, account: str, *, ttl_s: float = 900) -> str:
        """The token that a person would paste; empty where the site has none."""
        return ""

    async def challenge(self, exchange: Exchange) -> None:
        """Answer with the site's challenge, as it looks in place of an API's answer."""
        await exchange.reply(WALL.encode(), TYPES[".html"], 403)

    def fault_body(self, fault: Fault) -> object:
        """The JSON that the site answers with a refusing status."""
        return {"code": fault.code, "message": fault.message}

    def fault_headers(self, fault: Fault) -> dict[str, str]:
        """The headers that the site adds to a refusing status."""
        return {} if fault.retry_after_s is None else {"retry-after": str(fault.retry_after_s)}

    def find(self, method: str, path: str) -> tuple[Route, re.Match[str]] | None:
        """The route of a request."""
        for route in self.routes:
            if route.method == method and (match := re.fullmatch(route.path, path)):
                return route, match
        return None

    async def serve(self, exchange: Exchange, route: Route, match: re.Match[str]) -> None:
        """Answer one request, with the fault of its scenario; the record says why it was refused, if it was."""
        await asyncio.sleep(exchange.scenario.delay_ms / 1000)
        exchange.fault = fault = exchange.scenario.fault(route.operation)
        try:
            if fault and fault.kind == "status":
                why = f"scenario: {fault.status}"
                raise Refused(fault.status, why, self.fault_body(fault), self.fault_headers(fault))
            if fault and fault.kind == "html":
                await exchange.reply(WALL.encode(), TYPES[".html"])
            elif fault and fault.kind == "challenge":
                await self.challenge(exchange)
            elif fault and fault.kind == "stall" and fault.after < 0:
                await silence()
            else:
                await route.handler(exchange, match)
        except Refused as refusal:
            exchange.record.refused = refusal.why
            await exchange.json(refusal.body, refusal.status, refusal.headers)
        except EndedEarly:
            await exchange.finish()
        except Torn:
            exchange.record.torn = Moment()  # returning without an end resets the stream

    def find_socket(self, path: str) -> tuple[SocketRoute, re.Match[str]] | None:
        """The route of a WebSocket."""
        for route in self.sockets:
            if match := re.fullmatch(route.path, path):
                return route, match
        return None

    async def serve_socket(self, socket: Socket, route: SocketRoute, match: re.Match[str]) -> None:
        """Serve one WebSocket until it ends; any fault of the scenario refuses the handshake."""
        try:
            if fault := socket.scenario.fault(route.operation):
                raise Refused(fault.status, f"scenario: {fault.kind}")
            await route.handler(socket, match)
            code = 1000
        except Refused as refusal:
            socket.record.refused = refusal.why
            code = 1008
        except EndedEarly:
            code = 1000
        except Torn:
            socket.record.torn = Moment()
            code = 1011
        await socket.close(code)


async def send_file(exchange: Exchange, directory: Path, name: str) -> None:
    """A static file of the page. Raises Refused (404) when there is none."""
    file = directory / name
    if not re.fullmatch(r"[\w.-]+", name) or not file.is_file():
        raise Refused(404, f"no such file: {name}")
    await exchange.reply(file.read_bytes(), TYPES.get(file.suffix, "application/octet-stream"))
