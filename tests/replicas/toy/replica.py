"""The toy site: what it serves, what it checks, what it answers."""

from __future__ import annotations

import hmac
import json
import re
import secrets
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.replicas.exchange import Exchange, Refused
from tests.replicas.scenario import Fault
from tests.replicas.script import play
from tests.replicas.seen import Seen, SeenConversation, SeenTurn
from tests.replicas.site import TYPES, Replica, Route, send_file

STATIC = Path(__file__).parent / "static"
KEY = b"toy"
SESSION = "toy_session"
WALL = '<!doctype html><title>Toy</title><div id="wall">Prove that you are human</div>'
POLICY = "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'"
FIELDS = {"text", "after", "room"}


class Toy(Replica):
    """toy.example."""

    id = "toy"
    hosts = ("toy.example",)
    lacks = frozenset({"reasoning", "search", "cite", "media", "shield"})

    def __init__(self) -> None:
        self.rooms: dict[str, dict[str, SeenConversation]] = defaultdict(dict)
        self.routes = [
            Route("GET", r"/|/room/[\w-]+", "page", self._page),
            Route("GET", r"/assets/(?P<name>[^/]+)", "asset", self._asset),
            Route("GET", r"/page-config", "config", self._config),
            Route("GET", r"/api/whoami", "probe", self._whoami),
            Route("GET", r"/api/rooms/(?P<id>[\w-]+)", "messages", self._room),
            Route("DELETE", r"/api/rooms/(?P<id>[\w-]+)", "delete", self._delete),
            Route("POST", r"/api/ask", "chat", self._ask),
        ]

    def account(self, exchange: Exchange) -> str:
        """The user whom the cookie names, be it expired."""
        found = re.fullmatch(r"toy-(.+)\.\d+-[0-9a-f]{16}", exchange.request.cookies.get(SESSION, ""))
        return found[1] if found else super().account(exchange)

    def state(self, account: str) -> object:
        """The same as `seen`."""
        return self.seen(account).model_dump()

    def seen(self, account: str) -> Seen:
        """The rooms."""
        return Seen(conversations=list(self.rooms[account].values()))

    def token(self, account: str, *, ttl_s: float = 900) -> str:
        """The cookie's value."""
        return _signed(account, int(time.time() + ttl_s))

    def login(self, account: str, *, ttl_s: float = 900) -> dict[str, Any]:
        """The cookie."""
        cookie: dict[str, Any] = {
            "name": SESSION,
            "value": self.token(account, ttl_s=ttl_s),
            "domain": self.hosts[0],
            "path": "/",
        }
        cookie |= {"expires": -1, "httpOnly": True, "secure": True, "sameSite": "Lax"}
        return {"cookies": [cookie], "origins": []}

    def fault_body(self, fault: Fault) -> object:
        """As the site's own refusals."""
        if fault.status == 429:
            return {"error": "slow_down"} | ({"seconds": fault.resets_in_s} if fault.resets_in_s is not None else {})
        return {"error": {401: "no_session"}.get(fault.status, fault.code)}

    async def challenge(self, exchange: Exchange) -> None:
        """A page in place of the answer."""
        await exchange.reply(WALL.encode(), TYPES[".html"], 403)

    def _known(self, exchange: Exchange) -> bool:
        value = exchange.request.cookies.get(SESSION, "")
        account, _, rest = value.removeprefix("toy-").rpartition(".")
        until = int(rest.partition("-")[0]) if rest.partition("-")[0].isdecimal() else 0
        return value == _signed(account, until) and until > time.time() and exchange.scenario.login != "dead"

    async def _door(self, exchange: Exchange, *, guests: bool = False) -> bool:
        """Whether the request may pass; a challenge is answered here. Raises Refused."""
        if exchange.scenario.challenge:
            await self.challenge(exchange)
            exchange.record.refused = "scenario: challenge"
            return False
        if exchange.scenario.login == "banned":
            raise Refused(403, "scenario: banned", {"error": "closed"})
        if not self._known(exchange) or (exchange.scenario.login == "guest" and not guests):
            raise Refused(401, "no session", {"error": "no_session"})
        return True

    async def _page(self, exchange: Exchange, match: re.Match[str]) -> None:
        if exchange.scenario.challenge:
            await self.challenge(exchange)
            return
        page = (STATIC / "index.html").read_bytes()
        await exchange.reply(page, TYPES[".html"], headers={"content-security-policy": POLICY})

    async def _asset(self, exchange: Exchange, match: re.Match[str]) -> None:
        await send_file(exchange, STATIC, match["name"])

    async def _config(self, exchange: Exchange, match: re.Match[str]) -> None:
        await exchange.json({"layout": exchange.scenario.layout, "hydrateMs": exchange.scenario.hydrate_ms})

    async def _whoami(self, exchange: Exchange, match: re.Match[str]) -> None:
        if await self._door(exchange, guests=True):
            guest = exchange.scenario.login == "guest"
            await exchange.json({"name": None if guest else exchange.record.account, "plan": "free"})

    async def _room(self, exchange: Exchange, match: re.Match[str]) -> None:
        if await self._door(exchange):
            room = self._open(exchange, match["id"])
            await exchange.json([{"text": turn.prompt, "id": turn.answer} for turn in room.turns])

    async def _delete(self, exchange: Exchange, match: re.Match[str]) -> None:
        if await self._door(exchange):
            self._open(exchange, match["id"]).deleted = True
            await exchange.reply(b"", "application/json", 204)

    def _open(self, exchange: Exchange, room: str) -> SeenConversation:
        found = self.rooms[exchange.record.account].get(room)
        if found is None or found.deleted:
            raise Refused(404, "no such room", {"error": "no_room"})
        return found

    async def _ask(self, exchange: Exchange, match: re.Match[str]) -> None:
        if not await self._door(exchange):
            return
        body = exchange.record.body
        if exchange.header("x-toy-client") != "web-1" or not isinstance(body, dict) or set(body) != FIELDS:
            raise Refused(400, f"not what the page sends: {body!r:.200}", {"error": "bad_request"})
        if not isinstance(body["text"], str) or not 0 < len(body["text"]) <= 20_000:
            raise Refused(413, "no text, or too much", {"error": "too_long"})
        room = self._open(exchange, body["room"]) if body["room"] else SeenConversation(id=f"r{secrets.token_hex(8)}")
        newest = room.turns[-1].answer if room.turns else None
        if body["after"] != newest:
            raise Refused(409, f"after {body['after']}, not {newest}", {"error": "not_newest"})
        turn = SeenTurn(prompt=body["text"], parent=newest or "", answer=f"m{secrets.token_hex(8)}")
        self.rooms[exchange.record.account][room.id] = room
        room.turns.append(turn)
        turn.stopped = True
        await exchange.start("application/x-ndjson")
        await self._line(exchange, {"room": room.id, "id": turn.answer})
        async for beat in play(exchange, turn.prompt):
            match beat.kind:
                case "text":
                    await self._line(exchange, {"t": beat.text})
                case "heartbeat":
                    await self._line(exchange, {"beat": 1})
                case "error" | "failed" | "refusal":
                    word = "refused" if beat.kind == "refusal" else "broken"
                    await self._line(exchange, {"fail": word, "say": beat.text})
                    break
        else:
            await self._line(exchange, {"end": "stop"})
        turn.stopped = False
        await exchange.finish()

    async def _line(self, exchange: Exchange, value: object) -> None:
        await exchange.write(json.dumps(value, ensure_ascii=False).encode() + b"\n")


def _signed(account: str, until: int) -> str:
    signed = f"{account}.{until}"
    return f"toy-{signed}-{hmac.digest(KEY, signed.encode(), 'sha256').hex()[:16]}"
