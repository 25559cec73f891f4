"""The process: all replicas behind one TLS port, and the control API behind a plain one."""

from __future__ import annotations

import asyncio
import importlib
import json
import logging
import pkgutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from granian.constants import Interfaces
from granian.server.embed import Server
from pydantic import TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as ControlRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

import tests.replicas
from tests.replicas.certificate import Certificate
from tests.replicas.exchange import Exchange, Receive, Send
from tests.replicas.recording import Moment, Record, Recording
from tests.replicas.scenario import Scenario
from tests.replicas.site import Replica
from tests.replicas.socket import Socket

log = logging.getLogger("replicas")
ANYONE = "*"


def discover() -> list[Replica]:
    """Every sub-package's ``REPLICA``."""
    found: list[Replica] = []
    for module in pkgutil.iter_modules(tests.replicas.__path__):
        if module.ispkg:
            found.append(importlib.import_module(f"tests.replicas.{module.name}").REPLICA)
    return found


class Testbed:
    """The ASGI application of all replicas: finds site, account, scenario and route, and watches the client."""

    __test__ = False

    def __init__(self, replicas: list[Replica]) -> None:
        self.replicas = {replica.id: replica for replica in replicas}
        self.hosts = {host: replica for replica in replicas for host in replica.hosts}
        self.scenarios: dict[tuple[str, str], Scenario] = {}
        self.recording = Recording()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one request or one WebSocket (ASGI)."""
        if scope["type"] == "websocket":
            await self._serve_socket(WebSocket(scope, receive, send))
            return
        request = Request(scope, receive)
        record, replica = self._record(request, request.method)
        try:
            body = await request.body()
        except ClientDisconnect:
            record.aborted = Moment()
            await self.recording.add(record)
            return
        exchange = Exchange(request, body, record, send, Scenario())
        record.body = readable(body, request.headers.get("content-type", ""))
        await self._serve(exchange, replica, receive)

    def _record(self, request: HTTPConnection, method: str) -> tuple[Record, Replica | None]:
        host = request.headers.get("host", "").partition(":")[0]
        replica = self.hosts.get(host)
        record = Record(
            number=self.recording.number(),
            site=replica.id if replica else "",
            host=host,
            http=request.scope["http_version"],
            method=method,
            path=request.url.path,
            query=request.url.query,
            headers=dict(request.headers),
            received=Moment(),
        )
        return record, replica

    async def _serve_socket(self, request: WebSocket) -> None:
        record, replica = self._record(request, "WEBSOCKET")
        found = replica.find_socket(record.path) if replica else None
        socket = Socket(request, record, Scenario())
        if replica and found:
            record.account, record.operation = replica.socket_account(socket), found[0].operation
            socket.scenario = self.scenario(replica.id, record.account)
        await self.recording.add(record)
        if replica is None or found is None:
            record.refused = "no such path" if replica else "no such host"
            await socket.close()
            return
        try:
            await replica.serve_socket(socket, *found)
        except WebSocketDisconnect:
            record.aborted = Moment()
        except Exception as error:
            record.refused = f"replica failed: {error!r}"
            log.exception("WEBSOCKET %s", record.path)
        finally:
            await self.recording.changed()

    async def _serve(self, exchange: Exchange, replica: Replica | None, receive: Receive) -> None:
        record = exchange.record
        work = asyncio.ensure_future(self._answer(exchange, replica))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not record.finished:
                record.aborted = Moment()
                work.cancel()
            await asyncio.wait({work})
            if not work.cancelled() and (error := work.exception()):
                record.refused = f"replica failed: {error!r}"
                log.error("%s %s", record.method, record.path, exc_info=error)
        finally:
            gone.cancel()
            await self.recording.changed()

    async def _answer(self, exchange: Exchange, replica: Replica | None) -> None:
        record = exchange.record
        found = replica.find(record.method, record.path) if replica else None
        if replica:
            record.account = replica.account(exchange)
            exchange.scenario = self.scenario(replica.id, record.account)
        record.operation = found[0].operation if found else ""
        await self.recording.add(record)
        if replica and found:
            await replica.serve(exchange, *found)
        else:
            record.refused = "no such path" if replica else "no such host"
            await exchange.json({"message": record.refused}, 404 if replica else 421)

    def scenario(self, site: str, account: str) -> Scenario:
        """The account's scenario, or everyone's at that site, or the plain one."""
        for key in ((site, account), (site, ANYONE)):
            if key in self.scenarios:
                return self.scenarios[key]
        return Scenario()

    def control(self) -> Starlette:
        """The control API; see :class:`tests.replicas.client.Replicas` for its use."""
        routes = [
            ControlRoute("/scenarios/{site}/{account}", self._scenario, methods=["PUT", "DELETE"]),
            ControlRoute("/records", self._records, methods=["GET", "DELETE"]),
            ControlRoute("/state/{site}/{account}", self._state),
            ControlRoute("/seen/{site}/{account}", self._seen),
        ]
        return Starlette(routes=routes)

    async def _scenario(self, request: Request) -> Response:
        key = request.path_params["site"], request.path_params["account"]
        if key[0] not in self.replicas:
            return JSONResponse({"message": f"no replica {key[0]!r}, only {sorted(self.replicas)}"}, 404)
        if request.method == "DELETE":
            self.scenarios.pop(key, None)
            return Response(status_code=204)
        try:
            scenario = Scenario.model_validate_json(await request.body())
        except ValidationError as error:
            return JSONResponse({"message": str(error)}, 422)
        if unknown := scenario.options.keys() - self.replicas[key[0]].options:
            return JSONResponse({"message": f"{key[0]} has no option {', '.join(sorted(unknown))}"}, 422)
        self.scenarios[key] = scenario
        return Response(status_code=204)

    async def _records(self, request: Request) -> Response:
        query = dict(request.query_params)
        count, timeout_s = int(query.pop("count", "0")), float(query.pop("timeout_s", "0"))

        def wanted(record: Record) -> bool:
            return all(getattr(record, name) == value for name, value in query.items())

        if request.method == "DELETE":
            self.recording.forget(wanted)
            return Response(status_code=204)
        records = await self.recording.wait(wanted, count, timeout_s)
        return Response(TypeAdapter(list[Record]).dump_json(records), media_type="application/json")

    async def _state(self, request: Request) -> Response:
        replica = self.replicas.get(request.path_params["site"])
        return JSONResponse(replica.state(request.path_params["account"]) if replica else None)

    async def _seen(self, request: Request) -> Response:
        replica = self.replicas[request.path_params["site"]]
        return JSONResponse(replica.seen(request.path_params["account"]).model_dump())


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def readable(body: bytes, content_type: str) -> object:
    """A body as JSON or text for the record; None when it is neither (a site may know better and set it)."""
    if content_type.startswith(("application/json", "text/")):
        try:
            text = body.decode()
            return json.loads(text) if "json" in content_type else text
        except ValueError:
            return None
    return None


def free_port(port: int) -> socket.socket:
    """A bound socket on ``port`` (0: any free one). It stays open, so that nobody else is given the port."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    holder.bind(("127.0.0.1", port))
    return holder


@asynccontextmanager
async def serving(testbed: Testbed, certificate: Certificate, port: int) -> AsyncIterator[tuple[int, int]]:
    """Both servers on this loop while the block runs; yields the TLS port and the control API's."""
    with free_port(port) as front, free_port(0) as back:
        ports = front.getsockname()[1], back.getsockname()[1]
        common: dict[str, Any] = {"interface": Interfaces.ASGINL, "log_enabled": False}
        servers = [
            Server(testbed, port=ports[0], ssl_cert=certificate.certificate, ssl_key=certificate.key, **common),
            Server(testbed.control(), port=ports[1], **common),
        ]
        tasks = [asyncio.ensure_future(server.serve()) for server in servers]
        for at, task in zip(ports, tasks, strict=True):
            await _listening(at, task)
        try:
            yield ports
        finally:
            for server in servers:
                server.stop()  # type: ignore[no-untyped-call]
            await asyncio.wait(tasks, timeout=2)


async def _listening(port: int, server: asyncio.Future[None]) -> None:
    async with asyncio.timeout(10):
        while not server.done():
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.01)  # the listener has no "ready" signal; polled under the clock above
            else:
                writer.close()
                return
    server.result()
