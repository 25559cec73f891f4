"""The site: what it serves, what it checks, what it answers (section numbers are the fact sheet's)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.replicas.deepseek import tokens
from tests.replicas.deepseek.chats import Chats
from tests.replicas.deepseek.entry import dead, signed_in
from tests.replicas.deepseek.proofs import Proofs
from tests.replicas.deepseek.requests import MAX_PROMPT_CHARS, envelope, outer_error
from tests.replicas.deepseek.sessions import Store
from tests.replicas.deepseek.telling import code_of
from tests.replicas.deepseek.uploads import Uploads
from tests.replicas.exchange import Exchange
from tests.replicas.scenario import Fault
from tests.replicas.seen import Seen
from tests.replicas.site import TYPES, Replica, Route, send_file

STATIC = Path(__file__).parent / "static"
TOO_FAST = "消息发送过于频繁，请稍后重试"
WAF = {"x-amzn-waf-action": "challenge"}
# Inline styles are KaTeX's; scripts have neither inline nor eval, the proof's worker is a file.
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


class DeepSeek(Replica):
    """chat.deepseek.com.

    Options: ``difficulty`` and ``expire_after_ms`` of proofs; ``stream``, how answers are told (``sample``, ``nested``,
    ``bare``, ``2025h2``, ``2025h1``; see frames and older_frames); ``incomplete_after`` so many pieces an answer stops
    as INCOMPLETE and is to be continued; ``input_character_limit`` of a prompt, ``session_chars`` of a conversation;
    ``older_session``, the shape of 2025; ``dead_status`` (200, 401, 403) and ``dead_inside`` (``biz_code``), how a dead
    login is told; ``file_fails`` and ``file_rejected``, what becomes of an upload.
    ``Scenario.shield`` changes nothing: every send needs its proof of work. Nor does ``access_ttl_s``: a token is never
    renewed.
    """

    id = "deepseek"
    hosts = (tokens.HOST,)
    lacks = frozenset({"media", "shield", "banned"})
    options = frozenset(
        {
            "difficulty",
            "expire_after_ms",
            "stream",
            "incomplete_after",
            "input_character_limit",
            "session_chars",
            "older_session",
            "dead_status",
            "dead_inside",
            "file_fails",
            "file_rejected",
        }
    )

    def __init__(self) -> None:
        self.store, self.proofs = Store(), Proofs()
        self.routes = [
            Route("GET", r"/|/sign_in|(/a)?/chat/s/[0-9a-f-]{36}", "page", self._page),
            Route("GET", r"/assets/(?P<name>[^/]+)", "asset", self._asset),
            Route("GET", r"/page-config", "config", self._config),
            Route("GET", r"/api/v0/users/current", "probe", self._user),
            *Chats(self.store, self.proofs).routes,
            *Uploads(self.store, self.proofs).routes,
        ]

    def account(self, exchange: Exchange) -> str:
        """The user of the Bearer token, be it expired."""
        login = tokens.read(exchange.header("authorization").removeprefix("Bearer "))
        return login.user if login else super().account(exchange)

    def state(self, account: str) -> object:
        """Sessions (deleted ones marked) and files."""
        return self.store.of(account)

    def seen(self, account: str) -> Seen:
        """The same in the words of all sites."""
        return self.store.seen(account)

    def login(self, account: str, *, ttl_s: float = 900) -> dict[str, Any]:
        """Section 2: one token in localStorage."""
        return tokens.storage_state(account, ttl_s=ttl_s)

    def token(self, account: str, *, ttl_s: float = 900) -> str:
        """The inner ``value`` of ``userToken``."""
        return tokens.mint(account, ttl_s)

    def fault_body(self, fault: Fault) -> object:
        """The envelope with a code. No reset time stands in it: the sheet knows none."""
        if fault.status in (401, 403):
            return dead()
        return outer_error(code_of(fault.code), TOO_FAST if fault.status == 429 else fault.message)

    async def serve(self, exchange: Exchange, route: Route, match: re.Match[str]) -> None:
        """The firewall stands before every call of the API."""
        if exchange.scenario.challenge and match.string.startswith("/api/"):
            exchange.record.refused = "scenario: challenge"
            await self.challenge(exchange)
        else:
            await super().serve(exchange, route, match)

    async def challenge(self, exchange: Exchange) -> None:
        """Section 9: HTTP 202, a header, and HTML."""
        await exchange.reply((STATIC / "challenge.html").read_bytes(), TYPES[".html"], 202, WAF)

    # Section 1: the page

    async def _page(self, exchange: Exchange, match: re.Match[str]) -> None:
        if exchange.scenario.challenge:
            await self.challenge(exchange)
            return
        headers = {"content-security-policy": POLICY, "x-content-type-options": "nosniff"}
        await exchange.reply((STATIC / "index.html").read_bytes(), TYPES[".html"], headers=headers)

    async def _asset(self, exchange: Exchange, match: re.Match[str]) -> None:
        await send_file(exchange, STATIC, match["name"])

    async def _config(self, exchange: Exchange, match: re.Match[str]) -> None:
        """How the page is to look in this scenario: the replica's own, not the site's."""
        scenario = exchange.scenario
        limit = int(scenario.options.get("input_character_limit", MAX_PROMPT_CHARS))
        config = {"layout": scenario.layout, "hydrateMs": scenario.hydrate_ms, "inputCharacterLimit": limit}
        await exchange.json(config)

    # Section 2: login

    async def _user(self, exchange: Exchange, match: re.Match[str]) -> None:
        user = signed_in(exchange)
        token = exchange.header("authorization").removeprefix("Bearer ")
        facts = {"id": user, "token": token, "email": f"{user}@example.com", "id_profile": {"name": user}, "status": 0}
        await exchange.json(envelope(facts))
