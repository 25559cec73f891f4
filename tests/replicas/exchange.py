"""One request and its answer, as a replica's handlers see it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile
from starlette.requests import Request

from tests.replicas.recording import Moment, Record, Upload
from tests.replicas.scenario import Fault, Scenario

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


class Refused(Exception):
    """The request is not what the site takes: answer ``status`` with ``body`` (JSON) and record ``why``."""

    def __init__(self, status: int, why: str, body: object = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(why)
        self.status, self.why, self.headers = status, why, headers or {}
        self.body = {"message": why} if body is None else body


class Torn(Exception):
    """The connection is to be torn here, without an end."""


class EndedEarly(Exception):
    """The answer is to end here in order, but without the site's end mark."""


class Cutter:
    """Cuts bytes anywhere. A tail is held back and joined with the next bytes, so frame borders are not cut borders."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self._held = b""

    def cut(self, data: bytes) -> list[bytes]:
        """Parts that may go out now."""
        data = self._held + data
        places = sorted(self._dice.randint(0, len(data)) for _ in range(1 + min(6, len(data) // 64)))
        parts = [data[start:end] for start, end in zip([0, *places[:-1]], places, strict=True) if start < end]
        self._held = data[places[-1] :]
        return parts

    def flush(self) -> bytes:
        """What is still held."""
        held, self._held = self._held, b""
        return held


@dataclass
class Exchange:
    """A request with its record, the scenario of its account, and the ways to answer.

    Every answer is either ``reply``/``json`` or ``start``, any number of ``write``, then ``finish``.
    """

    request: Request
    body: bytes
    record: Record
    send: Send
    scenario: Scenario
    fault: Fault | None = None
    _cutter: Cutter | None = None

    def header(self, name: str) -> str:
        """A request header, or the empty string."""
        return self.request.headers.get(name, "")

    async def files(self) -> list[tuple[Upload, bytes]]:
        """The files of a multipart form; they are recorded too. Raises Refused (400) when it is no such form."""
        if not self.header("content-type").startswith("multipart/form-data; boundary="):
            raise Refused(400, f"not multipart/form-data: {self.header('content-type')!r}")
        found: list[tuple[Upload, bytes]] = []
        async with self.request.form() as form:
            for field, value in form.multi_items():
                if isinstance(value, UploadFile):
                    data = await value.read()
                    upload = Upload(
                        field=field,
                        name=value.filename or "",
                        content_type=value.content_type or "",
                        size_bytes=len(data),
                        sha256=hashlib.sha256(data).hexdigest(),
                    )
                    found.append((upload, data))
        self.record.uploads = [upload for upload, _ in found]
        return found

    async def start(self, content_type: str, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Send the response head."""
        pairs = [("content-type", content_type), ("cache-control", "no-store"), *(headers or {}).items()]
        head = [(name.lower().encode(), value.encode()) for name, value in pairs]
        await self.send({"type": "http.response.start", "status": status, "headers": head})
        self.record.status = status
        if self.scenario.cuts is not None and self.record.operation != "page":
            self._cutter = Cutter(self.scenario.cuts)

    async def write(self, data: bytes) -> None:
        """Send bytes at once (or cut, as the scenario says)."""
        for part in self._cutter.cut(data) if self._cutter else [data]:
            await self._put(part)
            if self._cutter and self.scenario.cut_pause_ms:
                await asyncio.sleep(self.scenario.cut_pause_ms / 1000)

    async def flush(self) -> None:
        """Send what the cutter holds back, before a silence or an end."""
        if self._cutter and (held := self._cutter.flush()):
            await self._put(held)

    async def finish(self) -> None:
        """End the response in order."""
        await self.flush()
        # Set first: the transport may report the closed stream before send() returns, which is then no abort.
        self.record.finished = Moment()
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _put(self, data: bytes) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": True})
        self.record.bytes_sent += len(data)
        self.record.last_write = Moment()

    async def reply(
        self, body: bytes, content_type: str, status: int = 200, headers: Mapping[str, str] | None = None
    ) -> None:
        """A whole response."""
        await self.start(content_type, status, headers)
        if body:
            await self.write(body)
        await self.finish()

    async def json(self, value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """A whole JSON response."""
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        await self.reply(text.encode(), "application/json", status, headers)
