"""One WebSocket, as a replica's handlers see it: JSON text messages both ways."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from tests.replicas.exchange import Refused
from tests.replicas.recording import Moment, Record
from tests.replicas.scenario import Scenario


@dataclass
class Socket:
    """A socket with its record and the scenario of its account. Nothing is heard or said before ``accept``."""

    request: WebSocket
    record: Record
    scenario: Scenario

    async def accept(self) -> None:
        """Take the handshake. To refuse it instead, raise Refused."""
        await self.request.accept()
        self.record.status = 101

    async def receive(self) -> Any:
        """The next message, which the record's body keeps. Raises Refused for no JSON, WebSocketDisconnect at the end.

        After the handshake a refusal closes the socket with code 1008.
        """
        text = await self.request.receive_text()
        try:
            value = json.loads(text)
        except ValueError as error:
            raise Refused(400, f"no JSON: {text[:80]!r}") from error
        self.record.body = [*(self.record.body or []), value]
        return value

    async def send(self, value: object) -> None:
        """Send one message."""
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        await self.request.send_text(text)
        self.record.bytes_sent += len(text.encode())
        self.record.last_write = Moment()

    async def close(self, code: int = 1000) -> None:
        """End it; before the handshake the client sees HTTP 403."""
        self.record.finished = Moment()
        self.record.status = self.record.status or 403
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it may go away in the same moment
            await self.request.close(code)
