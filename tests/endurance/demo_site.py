"""`python -m tests.endurance.demo_site`: the demo site with many users, an echo of whole conversations, and a record.

The site is `relay.demo` itself, page and server. Its model `echo` repeats here all that the site was given: every
prompt of the conversation and the first line of each file of the turn. Every accepted prompt becomes one line of JSON
in `--record`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from relay.demo import DemoServer, Pace, create_app
from relay.demo.app import DemoSite
from relay.demo.model import MODELS, Model, Step, Turn, pieces
from relay.demo.sessions import COOKIE

CONVERSATION = re.compile(rb'"conversation":"(conv-[0-9a-f]+)"')


def recall(turn: Turn, pace: Pace) -> Iterator[Step]:
    """All that the site was given, and a thought that quotes the prompt."""
    yield 0.0, {"type": "start", "conversation": turn.conversation, "message": turn.message}
    if turn.thinking:
        yield pace.first_s, {"type": "reasoning", "text": f"The user wrote: {turn.prompt}"}
    said = "\n\n".join([*turn.earlier, turn.prompt, *(file.first_line for file in turn.attachments)])
    for number, piece in enumerate(pieces(said)):
        yield pace.piece_s if number else pace.first_s, {"type": "text", "text": piece}
    yield 0.0, {"type": "end", "reason": "stop"}


class Recorder:
    """ASGI middleware that writes down every prompt, once its answer is over."""

    def __init__(self, app: ASGIApp, site: DemoSite, file: Path) -> None:
        self._app, self._site, self._file = app, site, file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, and listen."""
        if scope.get("path") != "/api/chat":
            await self._app(scope, receive, send)
            return
        body, head, status, ended, began_ns = b"", b"", 0, False, time.time_ns()

        async def heard() -> Message:
            nonlocal body
            message = await receive()
            body += message.get("body", b"")
            return message

        async def said(message: Message) -> None:
            nonlocal head, status, ended
            if message["type"] == "http.response.start":
                status = message["status"]
            elif len(head) < 500:
                head += message["body"]
            await send(message)
            ended = message["type"] == "http.response.body" and not message.get("more_body")

        try:
            await self._app(scope, heard, said)
        finally:
            conversation = CONVERSATION.search(head)
            if status == 200 and conversation:
                self._write(scope, json.loads(body), conversation[1].decode(), began_ns, ended=ended)

    def _write(self, scope: Scope, asked: dict[str, object], conversation: str, began_ns: int, *, ended: bool) -> None:
        cookies = cookie_parser(dict(scope["headers"]).get(b"cookie", b"").decode("latin-1"))
        user = self._site.sessions.user_of(cookies.get(COOKIE)) or ""
        listed = asked.get("files")
        found = [self._site.uploads.find(user, str(name)) for name in listed] if isinstance(listed, list) else []
        line = {
            "user": user,
            "conversation": conversation,
            "prompt": asked["prompt"],
            "files": [file.first_line for file in found if file],
            "began_ns": began_ns,
            "ended": ended,
        }
        with self._file.open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")


def main() -> None:
    """Serve until interrupted. The secret of the sessions is `RELAY_DEMO_SECRET`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--users", type=int, required=True, help="user-0, user-1, ...")
    parser.add_argument("--piece-ms", type=float, default=2)
    parser.add_argument("--record", type=Path, required=True)
    chosen = parser.parse_args()
    MODELS["echo"] = Model("echo", "Echo (repeats all that it was given)", recall, thinking=True)
    app = create_app(
        secret=os.environ["RELAY_DEMO_SECRET"],
        accounts={f"user-{number}": "" for number in range(chosen.users)},
        pace=dataclasses.replace(Pace(), first_s=0.01, piece_s=chosen.piece_ms / 1000),
        scripts=True,
    )
    app.add_middleware(Recorder, site=app.state.site, file=chosen.record)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(app, chosen.port))


async def _serve(app: Starlette, port: int) -> None:
    async with DemoServer(app, port=port, own_signals=True) as server:
        print(f"demo site: {server.url}/", flush=True)
        await server.wait()


if __name__ == "__main__":
    main()
