"""The site: what it serves, what it checks, what it answers (section numbers are the fact sheet's)."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.replicas.exchange import Exchange, Refused
from tests.replicas.kimi import catalog, frames, tokens
from tests.replicas.kimi.chats import Chat, ChatMessage, Store
from tests.replicas.kimi.requests import ChatRequest, chat_request, error, one_envelope
from tests.replicas.kimi.shield import Shield
from tests.replicas.kimi.tokens import Claims
from tests.replicas.scenario import Fault
from tests.replicas.script import play
from tests.replicas.seen import Seen, SeenTurn
from tests.replicas.site import TYPES, Replica, Route, send_file

STATIC = Path(__file__).parent / "static"
RPC = r"/apiv2/kimi\.gateway\."
# Inline styles are KaTeX's; scripts have neither inline nor eval.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Kimi(Replica):
    """www.kimi.com and the old names that redirect to it."""

    id = "kimi"
    hosts = ("www.kimi.com", "kimi.com", "kimi.moonshot.cn")
    # The sheet knows no shape of a search, no mark of a refusal and no guest that could be told.
    lacks = frozenset({"search", "cite", "media", "refusal", "guest", "banned"})

    def __init__(self) -> None:
        self.store = Store()
        self.shield = Shield()
        self.spent: set[str] = set()
        """``jti`` of refresh tokens that were traded in."""
        chat, files = RPC + r"chat\.v1\.ChatService/", r"/apiv2-files/"
        self.routes = [
            Route("GET", r"/|/agent|/chat/[\w-]+", "page", self._page),
            Route("GET", r"/assets/(?P<name>[^/]+)", "asset", self._asset),
            Route("GET", r"/page-config", "config", self._config),
            Route("GET", r"/api/auth/token/refresh", "refresh", self._refresh),
            Route("POST", RPC + r"account\.v1\.UserService/GetCurrentUser", "probe", self._user),
            Route("POST", RPC + r"order\.v1\.SubscriptionService/GetSubscription", "subscription", self._subscription),
            Route("POST", RPC + r"config\.v1\.ConfigService/GetAvailableModels", "models", self._models),
            Route("POST", chat + "Chat", "chat", self._chat),
            Route("POST", chat + "ListMessages", "messages", self._messages),
            Route("POST", chat + "DeleteChat", "delete", self._delete),
            Route("POST", files + r"file/upload", "upload", self._upload),
            Route("POST", files + r"kimi\.gateway\.file\.v1\.FileService/GetFileParseProgress", "parse", self._parse),
            Route("GET", files + r"sign-obj/(?P<id>[\w-]+)", "download", self._download),
        ]

    def account(self, exchange: Exchange) -> str:
        """The user of the Bearer token or of the cookie ``kimi-auth``, be they expired."""
        bearer = exchange.header("authorization").removeprefix("Bearer ")
        claims = tokens.read(bearer) or tokens.read(exchange.request.cookies.get("kimi-auth", ""))
        return claims.sub if claims else super().account(exchange)

    def state(self, account: str) -> object:
        """Chats (deleted ones marked) and files."""
        return self.store.of(account)

    def seen(self, account: str) -> Seen:
        """The same in the words of all sites."""
        return self.store.seen(account)

    def login(self, account: str, *, ttl_s: float = 900) -> dict[str, Any]:
        """Section 2: two JWTs in localStorage."""
        return tokens.storage_state(account, access_ttl_s=ttl_s)

    def token(self, account: str, *, ttl_s: float = 900) -> str:
        """The access token."""
        return tokens.login(account, access_ttl_s=ttl_s).access

    def fault_body(self, fault: Fault) -> object:
        """Connect's error object, or section 2's for a dead login."""
        return DEAD if fault.status == 401 else error(fault.code, fault.message)

    # Section 1: the page

    async def _page(self, exchange: Exchange, match: re.Match[str]) -> None:
        if exchange.record.host != "www.kimi.com":
            await exchange.reply(b"", TYPES[".html"], 302, {"location": tokens.HOME + "/"})
            return
        name = "challenge.html" if exchange.scenario.challenge else "index.html"
        headers = {"content-security-policy": POLICY, "x-content-type-options": "nosniff"}
        await exchange.reply((STATIC / name).read_bytes(), TYPES[".html"], headers=headers)

    async def _asset(self, exchange: Exchange, match: re.Match[str]) -> None:
        await send_file(exchange, STATIC, match["name"])

    async def _config(self, exchange: Exchange, match: re.Match[str]) -> None:
        """How the page is to look in this scenario: the replica's own, not the site's."""
        await exchange.json({"layout": exchange.scenario.layout, "hydrateMs": exchange.scenario.hydrate_ms})

    # Section 2: login

    def _signed_in(self, exchange: Exchange, typ: str = "access") -> Claims:
        """The claims of the Bearer token; a cookie alone is no login. Raises Refused (401)."""
        scheme, _, token = exchange.header("authorization").partition(" ")
        claims = tokens.read(token) if scheme == "Bearer" else None
        why = (
            "no valid Bearer token"
            if claims is None
            else f"typ={claims.typ}, not {typ}"
            if claims.typ != typ
            else "token expired"
            if claims.exp <= time.time()
            else "refresh token already used"
            if claims.jti in self.spent
            else "scenario: challenge"
            if exchange.scenario.challenge
            else "scenario: dead login"
            if exchange.scenario.login == "dead"
            else None
        )
        if claims is None or why:
            raise Refused(401, why or "no token", DEAD)
        return claims

    async def _refresh(self, exchange: Exchange, match: re.Match[str]) -> None:
        claims = self._signed_in(exchange, "refresh")
        self.spent.add(claims.jti)
        fresh = tokens.login(claims.sub, access_ttl_s=exchange.scenario.access_ttl_s, ssid=claims.ssid)
        await exchange.json({"access_token": fresh.access, "refresh_token": fresh.refresh})

    def _unary(self, exchange: Exchange) -> tuple[Claims, dict[str, Any]]:
        claims = self._signed_in(exchange)
        if exchange.header("content-type").partition(";")[0] != "application/json":
            raise Refused(415, f"content-type {exchange.header('content-type')!r}", error("unknown", "unsupported"))
        if not isinstance(exchange.record.body, dict):
            raise Refused(400, "body is no JSON object", error("invalid_argument", "invalid body"))
        return claims, exchange.record.body

    async def _user(self, exchange: Exchange, match: re.Match[str]) -> None:
        claims, _ = self._unary(exchange)
        user = {
            "id": claims.sub,
            "nickname": claims.sub,
            "avatar": tokens.HOME + "/assets/avatar.svg",
            "phone": {},
            "region": "REGION_OVERSEA",
            "globalId": f"g-{claims.sub}",
        }
        await exchange.json({"user": user, "workspace": {}})

    async def _subscription(self, exchange: Exchange, match: re.Match[str]) -> None:
        self._unary(exchange)
        await exchange.json({"subscription": {}})

    # Section 3: models

    async def _models(self, exchange: Exchange, match: re.Match[str]) -> None:
        self._unary(exchange)
        await exchange.json(catalog.AVAILABLE)

    # Sections 4 and 5: chat

    async def _chat(self, exchange: Exchange, match: re.Match[str]) -> None:
        claims = self._signed_in(exchange)
        check_chat_headers(exchange, claims)
        payload = one_envelope(exchange.body)
        request = chat_request(payload)
        exchange.record.body = json.loads(payload)
        if exchange.scenario.shield:
            shield = exchange.header("x-msh-shield-data")
            if why := self.shield.objection(shield, exchange.record.path, claims.sub, exchange.body):
                raise Refused(403, why, error("permission_denied", "forbidden"))
        level = claims.membership.get("level", 0)
        refusal = catalog.misfit(request, level) or self._misplaced(request, claims.sub)
        await exchange.start("application/connect+json")
        if refusal:
            exchange.record.refused = ": ".join(refusal)
            await exchange.write(frames.error(*refusal))
        else:
            await self._answer(exchange, request, claims.sub)
        await exchange.finish()

    def _misplaced(self, request: ChatRequest, user: str) -> tuple[str, str] | None:
        """Why this turn has no place in the user's chats: a Connect code and a message, or None."""
        newest = ""
        if request.chat_id:
            chat = self.store.chat(user, request.chat_id)
            if chat is None:
                return "not_found", f"chat {request.chat_id} not found"
            newest = chat.newest
        again = request.chat_id and request.message.id
        if not again and request.message.parent_id != newest:
            return "invalid_argument", f"parent_id {request.message.parent_id!r} is not the newest message {newest!r}"
        for file_id in request.files:
            file = self.store.file(user, file_id)
            if file is None or not file.parsed:
                return "invalid_argument", f"file {file_id} is unknown or not parsed"
        return None

    def _place(self, request: ChatRequest, chat: Chat) -> ChatMessage:
        """The user's message in its chat: the new one, or the old one whose answer is made again."""
        for index, message in enumerate(chat.messages):
            if message.id == request.message.id and message.role == "user":
                del chat.messages[index + 1 :]
                return message
        fresh = ChatMessage(
            id=f"m-{secrets.token_hex(8)}",
            role="user",
            parent_id=chat.newest,
            status="MESSAGE_STATUS_COMPLETED",
            text=request.prompt,
            files=request.files,
        )
        chat.messages.append(fresh)
        return fresh

    async def _answer(self, exchange: Exchange, request: ChatRequest, user: str) -> None:
        chat = self.store.chat(user, request.chat_id) or self.store.new_chat(user)
        first = not chat.messages
        frame = frames.Frames(chat)
        question = self._place(request, chat)
        told = chat.prompts if exchange.scenario.answer.recall else request.prompt
        await exchange.write(frames.HEARTBEAT)
        if first:
            await exchange.write(frame.chat())
        await exchange.write(frame.echo(question))
        turn = SeenTurn(
            prompt=request.prompt,
            parent=question.parent_id,
            model=request.options.model or request.scenario,
            thinking=request.options.thinking,
            search=any(tool.type == "TOOL_TYPE_SEARCH" for tool in request.tools),
            agent=request.kimiplus_id or "",
            files=[self.store.files[file].upload.sha256 for file in request.files],
            again=bool(request.message.id),
        )
        self.store.turns[chat.id].append(turn)
        async with answering(chat, question, turn) as answer:
            await exchange.write(frame.opening(answer))
            if any(tool.type == "TOOL_TYPE_SEARCH" for tool in request.tools):
                # The real shape is unknown (section 5): readers must pass over it.
                await exchange.write(frame.delta("tool", "web_search"))
            async for beat in play(exchange, told):
                match beat.kind:
                    case "text":
                        answer.text += beat.text
                        await exchange.write(frame.delta("text", beat.text))
                    case "reasoning":
                        if request.options.thinking:  # who did not ask for thoughts gets none
                            answer.think += beat.text
                            await exchange.write(frame.delta("think", beat.text))
                    case "heartbeat":
                        await exchange.write(frames.HEARTBEAT)
                    case "error":
                        answer.status = "MESSAGE_STATUS_ERROR"
                        await exchange.write(frames.error(beat.code, beat.text))
                        return
                    case "failed":
                        answer.status = "MESSAGE_STATUS_FAILED"
                        await exchange.write(frame.status(answer) + frames.DONE + frames.END)
                        return
            answer.status = "MESSAGE_STATUS_COMPLETED"
            await exchange.write(frame.status(answer))
        if first:
            chat.name = " ".join(request.prompt.split())[:20]
            await exchange.write(frame.name())
        await exchange.write(frames.DONE)
        await exchange.write(frames.END)

    async def _messages(self, exchange: Exchange, match: re.Match[str]) -> None:
        claims, body = self._unary(exchange)
        chat = self.store.chat(claims.sub, str(body.get("chatId", "")))
        if chat is None:
            raise Refused(404, "no such chat", error("not_found", "chat not found"))
        newest_first = [message.wire() for message in reversed(chat.messages)]
        await exchange.json({"messages": newest_first[: int(body.get("pageSize", 100))]})

    # Section 7: files

    async def _upload(self, exchange: Exchange, match: re.Match[str]) -> None:
        claims = self._signed_in(exchange)
        check_msh_headers(exchange, claims)
        files = await exchange.files()
        if [upload.field for upload, _ in files] != ["file"]:
            raise Refused(400, "not one file in the field 'file'", error("invalid_argument", "no file"))
        stored = self.store.add_file(claims.sub, *files[0])
        await exchange.json({"file": stored.wire()})

    async def _parse(self, exchange: Exchange, match: re.Match[str]) -> None:
        claims, body = self._unary(exchange)
        progresses = []
        for file_id in body.get("file_ids", []):
            file = self.store.file(claims.sub, file_id)
            if file is None:
                raise Refused(404, f"no such file {file_id}", error("not_found", "file not found"))
            file.polls += 1
            file.parsed = file.polls > exchange.scenario.busy_polls
            status = "PROCESS_STATUS_SUCCESS" if file.parsed else "PROCESS_STATUS_PROCESSING"
            progresses.append({"fileId": file_id, "status": status})
        await exchange.json({"progresses": progresses})

    async def _download(self, exchange: Exchange, match: re.Match[str]) -> None:
        file = self.store.files.get(match["id"])
        if file is None or exchange.request.query_params.get("sig") != file.signature:
            raise Refused(403, "bad signature")
        await exchange.reply(file.data, file.upload.content_type)

    # Section 8: clean-up

    async def _delete(self, exchange: Exchange, match: re.Match[str]) -> None:
        claims, body = self._unary(exchange)
        chat = self.store.chat(claims.sub, str(body.get("chatId", "")))
        if chat is None:
            raise Refused(404, "no such chat", error("not_found", "chat not found"))
        chat.deleted = True
        await exchange.json({})


DEAD = {"error_type": "auth.token.invalid", "message": "您的授权已过期，请重新登录"}


@asynccontextmanager
async def answering(chat: Chat, question: ChatMessage, turn: SeenTurn) -> AsyncIterator[ChatMessage]:
    """The assistant's message in its chat; whatever cuts it short leaves it cancelled."""
    answer = ChatMessage(
        id=f"m-{secrets.token_hex(8)}",
        role="assistant",
        parent_id=question.id,
        status="MESSAGE_STATUS_GENERATING",
    )
    chat.messages.append(answer)
    turn.answer = answer.id
    try:
        yield answer
    finally:
        if answer.status == "MESSAGE_STATUS_GENERATING":
            answer.status = "MESSAGE_STATUS_CANCELLED"
            turn.stopped = True


def check_msh_headers(exchange: Exchange, claims: Claims) -> None:
    """The X-Msh and X-Traffic headers of section 4. Raises Refused (400)."""
    fixed = {
        "x-msh-platform": re.escape("web"),
        "x-msh-version": r"\d+\.\d+\.\d+",
        "x-msh-device-id": re.escape(claims.device_id),
        "x-msh-session-id": re.escape(claims.ssid),
        "x-traffic-id": re.escape(claims.sub),
    }
    _check(exchange, fixed)


def check_chat_headers(exchange: Exchange, claims: Claims) -> None:
    """Everything that section 4 wants on the chat call. Raises Refused (415, 400)."""
    if exchange.header("content-type") != "application/connect+json":
        raise Refused(415, f"content-type {exchange.header('content-type')!r}", error("unknown", "unsupported"))
    check_msh_headers(exchange, claims)
    _check(
        exchange,
        {
            "connect-protocol-version": "1",
            "r-timezone": r"[A-Za-z_]+(/[A-Za-z_+-]+)*",
            "x-language": r"[a-z]{2}(-[A-Z]{2})?",
        },
    )


def _check(exchange: Exchange, expected: dict[str, str]) -> None:
    for name, pattern in expected.items():
        if not re.fullmatch(pattern, exchange.header(name)):
            why = f"{name}: {exchange.header(name)!r}"
            raise Refused(400, why, error("invalid_argument", f"bad header {name}"))
