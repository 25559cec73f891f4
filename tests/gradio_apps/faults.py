"""What goes wrong before a Gradio app, as `DIR/scenario.json` says: {"id", "faults": [...]} (see tests/replicas).

`status` and `html` take the place of the answer to the call that sends the prompt; `cut`, `end` and `stall` come in the
answer's stream when `after` pieces of it are out.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

SENDING = re.compile(r".*/(queue/join|call/\w+)")
ANSWERING = re.compile(r".*/(queue/data|call/\w+/\w+)")
PIECE = re.compile(rb'"process_generating"|event: generating')
QUEUE_BEAT, CALL_BEAT = b'data: {"msg":"heartbeat"}\n\n', b"event: heartbeat\ndata: null\n\n"
WALL = b"<!doctype html><html><head><title>Just a moment...</title></head><body><h1>Checking</h1></body></html>"


class Torn(Exception):
    """The connection ends here, without an end."""


class Faults:
    """ASGI middleware."""

    def __init__(self, app: Any, folder: Path) -> None:
        self._app = app
        self._file = folder / "scenario.json"
        self._turns: dict[tuple[str, int], int] = {}
        """How often each fault of a scenario has come."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let the app answer, or the fault."""
        path = scope.get("path", "")
        fault = None
        if scope["type"] == "http" and SENDING.fullmatch(path) and scope["method"] == "POST":
            fault = self._next("status", "html")
        elif scope["type"] == "http" and ANSWERING.fullmatch(path):
            fault = self._next("cut", "end", "stall")
        if fault is None:
            await self._app(scope, receive, send)
        elif fault["kind"] in ("status", "html"):
            await _refuse(fault, send)
        elif fault["after"] < 0:
            await asyncio.Event().wait()
        else:
            await self._break(fault, scope, receive, send)

    def _next(self, *kinds: str) -> dict[str, Any] | None:
        """The scenario's first fault of these kinds that still has a turn; takes it."""
        if not self._file.exists():
            return None
        scenario = json.loads(self._file.read_text("utf-8"))
        for number, fault in enumerate(scenario["faults"]):
            key = scenario["id"], number
            if fault["kind"] in kinds and self._turns.get(key, 0) != fault["times"]:
                self._turns[key] = self._turns.get(key, 0) + 1
                return dict(fault)
        return None

    async def _break(self, fault: dict[str, Any], scope: Any, receive: Any, send: Any) -> None:
        """The app's answer up to the fault."""
        pieces = 0
        ended = False

        async def sent(message: Any) -> None:
            nonlocal pieces, ended
            if ended:
                return
            body = message.get("body", b"")
            if message["type"] == "http.response.body" and (PIECE.search(body) or b"complete" in body):
                if pieces >= fault["after"]:
                    ended = True
                    await self._end(fault, send, named="/call/" in scope["path"])
                    return
                pieces += 1
            await send(message)

        await self._app(scope, receive, sent)

    async def _end(self, fault: dict[str, Any], send: Any, *, named: bool) -> None:
        match fault["kind"]:
            case "cut":
                raise Torn
            case "end":
                await send({"type": "http.response.body", "body": b"", "more_body": False})
            case _:
                beat = (CALL_BEAT if named else QUEUE_BEAT) if fault["heartbeat_ms"] else b""
                while True:
                    await asyncio.sleep(fault["heartbeat_ms"] / 1000 or 3600)
                    await send({"type": "http.response.body", "body": beat, "more_body": True})


async def _refuse(fault: dict[str, Any], send: Any) -> None:
    """In place of the app's answer."""
    html = fault["kind"] == "html"
    status = 200 if html else fault["status"]
    body = WALL if html else json.dumps({"detail": fault["message"]}).encode()
    headers = [(b"content-type", b"text/html" if html else b"application/json")]
    if fault.get("retry_after_s") is not None and not html:
        headers.append((b"retry-after", str(fault["retry_after_s"]).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
