"""The demo site by the rules of the replicas: any user, scenarios, faults, records, and what was seen."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections import defaultdict
from dataclasses import replace
from functools import cached_property
from typing import Any

from starlette.applications import Starlette

from relay.demo import MODELS, Pace, create_app, session_cookie
from relay.demo.app import DemoSite
from relay.demo.fates import Fate, FateBody
from relay.demo.sessions import COOKIE
from tests.replicas.demo.playing import PLAYING, Playing, play
from tests.replicas.exchange import Exchange, Message, Torn
from tests.replicas.scenario import Fault
from tests.replicas.script import silence
from tests.replicas.seen import Seen, SeenConversation, SeenFile
from tests.replicas.site import TYPES, Replica, Route

SECRET = "of the demo site's replica"
FATES: dict[str, Fate] = {"live": "", "dead": "expired", "guest": "guest", "banned": "banned"}
IDS = re.compile(rb'(?<=\s)id="|\$\("')
"""Where the page and its script name elements."""


class Demo(Replica):
    """Its own code answers every request; only the fault of a chat stands before it."""

    id = "demo"
    hosts = ("demo.test",)
    address = "https://demo.test/"
    lacks = frozenset({"media", "failed", "shield"})

    def __init__(self) -> None:
        self.chats: defaultdict[str, dict[str, SeenConversation]] = defaultdict(dict)
        self.files: defaultdict[str, list[SeenFile]] = defaultdict(list)
        self.routes = [
            Route("GET", r"/|/login", "page", self._page),
            Route("GET", r"/static/.+", "asset", self._page),
            Route("GET", r"/api/me", "probe", self._pass),
            Route("POST", r"/api/chat", "chat", self._chat),
            Route("POST", r"/api/files", "upload", self._upload),
            Route("DELETE", r"/api/conversations/(?P<id>[\w-]+)", "delete", self._delete),
            Route("GET", r"/api/\w+", "other", self._pass),
            Route("POST", r"/api/\w+", "other", self._pass),
        ]

    @cached_property
    def app(self) -> Starlette:
        """The site. Made when first asked for: the tests' own process, which has this class too, keeps its models."""
        for name in ("demo", "thinker", "searcher"):
            MODELS[name] = replace(MODELS[name], play=play)
        return create_app(secret=SECRET, pace=Pace(), heartbeat_s=3600)

    @property
    def site(self) -> DemoSite:
        """What it keeps."""
        site: DemoSite = self.app.state.site
        return site

    def account(self, exchange: Exchange) -> str:
        """The user whom the session's cookie names."""
        payload = exchange.request.cookies.get(COOKIE, "").partition(".")[0]
        try:
            return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["user"])
        except (ValueError, KeyError, TypeError):
            return super().account(exchange)

    def state(self, account: str) -> object:
        """The same as `seen`."""
        return self.seen(account).model_dump()

    def seen(self, account: str) -> Seen:
        """Chats by the models that play scenarios."""
        return Seen(conversations=list(self.chats[account].values()), files=self.files[account])

    def login(self, account: str, *, ttl_s: float = 900) -> dict[str, Any]:
        """A session's cookie; one without life is not the site's."""
        cookie = {
            "name": COOKIE,
            "value": self.token(account, ttl_s=ttl_s),
            "domain": self.hosts[0],
            "path": "/",
            "expires": -1,
            "httpOnly": True,
            "secure": False,
            "sameSite": "Lax",
        }
        return {"cookies": [cookie], "origins": []}

    def token(self, account: str, *, ttl_s: float = 900) -> str:
        """The cookie's value."""
        return session_cookie(SECRET, account, None if ttl_s > 0 else 0.0)[1]

    def fault_body(self, fault: Fault) -> object:
        """As every error of the site."""
        code = {401: "not_logged_in", 403: "guest", 429: "rate_limited"}.get(fault.status, fault.code)
        return {"error": {"code": code, "message": fault.message}}

    # Requests

    async def _page(self, exchange: Exchange, match: re.Match[str]) -> None:
        """The script comes late where the page is to be usable late."""
        if _is_script(exchange):
            await asyncio.sleep(exchange.scenario.hydrate_ms / 1000)
        await self._pass(exchange, match)

    async def _upload(self, exchange: Exchange, match: re.Match[str]) -> None:
        for upload, _ in await exchange.files():
            file = SeenFile(name=upload.name, sha256=upload.sha256, size_bytes=upload.size_bytes)
            self.files[exchange.record.account].append(file)
        await self._pass(exchange, match)

    async def _delete(self, exchange: Exchange, match: re.Match[str]) -> None:
        await self._pass(exchange, match)
        chat = self.chats[exchange.record.account].get(match["id"])
        if chat and exchange.record.status == 204:
            chat.deleted = True

    async def _chat(self, exchange: Exchange, match: re.Match[str]) -> None:
        body = exchange.record.body
        parent = (body.get("parent_id") or "") if isinstance(body, dict) else ""
        playing = Playing(exchange, parent, self.chats[exchange.record.account])
        mark = PLAYING.set(playing)
        try:
            await self._pass(exchange, match, playing)
        finally:
            PLAYING.reset(mark)
            if playing.turn is not None:
                playing.turn.stopped = not playing.whole

    async def _pass(self, exchange: Exchange, match: re.Match[str], playing: Playing | None = None) -> None:
        """Let the site answer. Raises Torn where the scenario's fault says so."""
        account, scenario = exchange.record.account, exchange.scenario
        self.site.sessions._accounts.setdefault(account, "")
        fate: Fate = "challenge" if scenario.challenge else FATES[scenario.login]
        self.site.fates.set(FateBody(user=account, fate=fate))
        waiting = [{"type": "http.request", "body": exchange.body, "more_body": False}]
        other = scenario.layout == "B" and (exchange.record.operation == "page" or _is_script(exchange))

        async def receive() -> Message:
            if not waiting:
                await silence()
            return waiting.pop()

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = {name.decode(): value.decode() for name, value in message["headers"]}
                kind = headers.pop("content-type", TYPES[".html"])
                kept = {name: headers[name] for name in headers if name not in ("content-length", "cache-control")}
                await exchange.start(kind, message["status"], kept)
                return
            if body := message.get("body", b""):
                await exchange.write(renamed(body) if other else body)
            if not message.get("more_body", False) and not (playing and playing.torn):
                await exchange.finish()

        scope = {**exchange.request.scope, "extensions": {}}  # none of the server's own ways to send a file
        await self.app(scope, receive, send)
        if playing and playing.torn:
            await exchange.flush()
            raise Torn


def _is_script(exchange: Exchange) -> bool:
    return exchange.record.path.endswith("app.js")


def renamed(source: bytes) -> bytes:
    """Layout B: every element has another id."""
    return IDS.sub(lambda found: found[0] + b"other-", source)
