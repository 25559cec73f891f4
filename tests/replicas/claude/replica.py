"""The site: what it serves, what it checks, what it answers (section numbers are the fact sheet's)."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.replicas.claude import catalog, completion, quota, sessions
from tests.replicas.claude.conversations import Conversation, Store
from tests.replicas.claude.refusals import INVALID, bad, disabled, error, expired, missing, unauthorized
from tests.replicas.claude.requests import (
    UUID4,
    CompletionRequest,
    CreateRequest,
    DeleteManyRequest,
    SettingsRequest,
    TitleRequest,
    body,
)
from tests.replicas.claude.sessions import HOME, Claims
from tests.replicas.exchange import Exchange, Refused
from tests.replicas.recording import Upload
from tests.replicas.scenario import Fault
from tests.replicas.seen import Seen
from tests.replicas.site import TYPES, Replica, Route, send_file

STATIC = Path(__file__).parent / "static"
HOST = "claude.ai"
# Inline styles are KaTeX's; scripts have neither inline nor eval.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FILE_BYTES_LIMIT = 30 * 1024 * 1024
CHALLENGE = "/?__cf_chl_rt_tk=made"
"""Where a redirect to the challenge leads."""
APP_START = {"statsig_hashing_algorithm": "djb2", "growthbook_format": "sdk"}
LONG_PASTE_CHARS = 100_000

Operation = Callable[[Exchange, re.Match[str], str], Awaitable[None]]


class Claude(Replica):
    """claude.ai. Options of a scenario, all may be left out:

    ``plan`` (free, pro, max, team), ``utilization`` (0 to 1) and ``limit`` (the type of ``message_limit``),
    ``usage_times`` (iso), ``stop_reason`` (of a whole answer), ``artifact`` (the text of a document beside the answer),
    ``conversation_ready`` (false: the event is left out), ``challenge_status`` (302, or 403 on the very call),
    ``dead_status`` (401 or 403), ``paste_chars`` (from which length on a paste becomes an attachment).
    """

    id = "claude"
    hosts = (HOST, f"www.{HOST}")
    agent = "01234567-89ab-4cde-8f01-23456789abcd"  # a project's number is a UUID of version 4
    # The site makes no pictures, and nobody chats without an account.
    lacks = frozenset({"media", "guest", "shield", "busy_polls"})
    options = frozenset(
        {
            "plan",
            "utilization",
            "limit",
            "usage_times",
            "stop_reason",
            "artifact",
            "conversation_ready",
            "challenge_status",
            "dead_status",
            "paste_chars",
        }
    )

    def __init__(self) -> None:
        self.store = Store()
        organizations, older = r"/api/organizations/(?P<org>[^/]+)", r"/api/(?P<org>[0-9a-f-]{36})"
        chats = organizations + "/chat_conversations"
        chat = chats + rf"/(?P<conv>{UUID4})"
        wiggle = organizations + rf"/conversations/(?P<conv>{UUID4})/wiggle"
        self.routes = [
            Route("GET", r"/|/new|/login|/recents|/chats|/(chat|project)/[\w-]+", "page", self._page),
            Route("GET", r"/assets/(?P<name>[^/]+)", "asset", self._asset),
            Route("GET", r"/page-config", "config", self._config),
            Route("GET", r"/api/bootstrap", "bootstrap", self._bootstrap),
            Route("GET", r"/api/organizations", "probe", self._organizations),
            Route("GET", r"/api/account", "account", self._account),
            Route("GET", r"/edge-api/bootstrap/(?P<org>[^/]+)/app_start", "models", self._of(self._app_start)),
            Route("GET", organizations + "/usage", "usage", self._of(self._usage)),
            Route("POST", chats, "create", self._of(self._create)),
            Route("POST", chats + "/delete_many", "delete", self._of(self._delete_many)),
            Route("GET", chat, "messages", self._of(self._messages)),
            Route("PUT", chat, "settings", self._of(self._settings)),
            Route("DELETE", chat, "delete", self._of(self._delete)),
            Route("POST", chat + "/completion", "chat", self._of(self._completion)),
            Route("POST", chat + "/retry_completion", "chat", self._of(self._completion)),
            Route("POST", chat + "/title", "title", self._of(self._title)),
            Route("POST", chat + "/stop_response", "stop", self._of(self._stop)),
            Route("POST", wiggle + "/upload-file", "upload", self._of(self._upload)),
            Route("GET", wiggle + "/download-file", "download", self._of(self._download)),
            Route("POST", older + "/upload", "upload", self._of(self._upload)),
            Route("POST", older + "/convert_document", "convert", self._of(self._convert)),
            Route("GET", older + rf"/files/(?P<file>{UUID4})/preview", "preview", self._of(self._preview)),
        ]

    def account(self, exchange: Exchange) -> str:
        """The account of the cookie ``sessionKey``, be it expired."""
        claims = sessions.read(exchange.request.cookies.get("sessionKey", ""))
        return claims.sub if claims else super().account(exchange)

    def state(self, account: str) -> object:
        """Conversations (deleted ones marked) and files."""
        return self.store.of(account)

    def seen(self, account: str) -> Seen:
        """The same in the words of all sites."""
        return self.store.seen(account)

    def login(self, account: str, *, ttl_s: float = 900) -> dict[str, Any]:
        """Section 2: the cookie ``sessionKey`` and its helpers."""
        return sessions.storage_state(account, ttl_s=ttl_s)

    def token(self, account: str, *, ttl_s: float = 900) -> str:
        """The session key."""
        return sessions.session_key(account, ttl_s)

    # Section 9: refusals

    async def serve(self, exchange: Exchange, route: Route, match: re.Match[str]) -> None:
        """Behind a challenge nothing is served but the challenge."""
        if exchange.scenario.challenge and route.operation != "asset":
            exchange.record.refused = "scenario: challenge"
            await self.challenge(exchange)
        else:
            await super().serve(exchange, route, match)

    async def challenge(self, exchange: Exchange) -> None:
        """Cloudflare's page with 403; a call is first sent there by a 302, unless ``challenge_status`` is 403."""
        status = exchange.scenario.options.get("challenge_status", 302)
        headers = {"cf-mitigated": "challenge", "content-security-policy": POLICY}
        if exchange.record.operation != "page" and status == 302:
            await exchange.reply(b"", TYPES[".html"], 302, headers | {"location": CHALLENGE})
        else:
            await exchange.reply((STATIC / "challenge.html").read_bytes(), TYPES[".html"], 403, headers)

    def fault_body(self, fault: Fault) -> object:
        """The error object that goes with a status."""
        match fault.status:
            case 429:
                return quota.refusal(self._resets_at(fault))
            case 401:
                return expired("").body
            case 403:
                return unauthorized("").body
            case 529:
                return error("overloaded_error", "Overloaded")
            case status if status < 500:
                return error(INVALID, fault.message)
        return error("api_error", fault.message)

    def fault_headers(self, fault: Fault) -> dict[str, str]:
        """Of a 429 when the limit ends, in Unix seconds."""
        moment = self._resets_at(fault) if fault.status == 429 else None
        reset = {} if moment is None else {"anthropic-ratelimit-unified-reset": str(moment)}
        return super().fault_headers(fault) | reset

    @staticmethod
    def _resets_at(fault: Fault) -> int | None:
        return None if fault.resets_in_s is None else int(time.time()) + fault.resets_in_s

    # Section 1: the page

    async def _page(self, exchange: Exchange, match: re.Match[str]) -> None:
        path = exchange.record.path
        if exchange.record.host != HOST:
            await exchange.reply(b"", TYPES[".html"], 301, {"location": HOME + path})
        elif "__cf_chl_rt_tk" in exchange.request.query_params:
            await self.challenge(exchange)
        elif path == "/":
            await exchange.reply(b"", TYPES[".html"], 307, {"location": "/new"})
        else:
            headers = {"content-security-policy": POLICY, "x-content-type-options": "nosniff"}
            await exchange.reply((STATIC / "index.html").read_bytes(), TYPES[".html"], headers=headers)

    async def _asset(self, exchange: Exchange, match: re.Match[str]) -> None:
        await send_file(exchange, STATIC, match["name"])

    async def _config(self, exchange: Exchange, match: re.Match[str]) -> None:
        """How the page is to look in this scenario: the replica's own, not the site's."""
        scenario = exchange.scenario
        paste_chars = scenario.options.get("paste_chars", LONG_PASTE_CHARS)
        await exchange.json({"layout": scenario.layout, "hydrateMs": scenario.hydrate_ms, "pasteChars": paste_chars})

    # Section 2: login

    def _signed_in(self, exchange: Exchange) -> Claims:
        """The claims of the session key. Raises Refused (400, 401, 403)."""
        key = exchange.request.cookies.get("sessionKey", "")
        claims, login = sessions.read(key), exchange.scenario.login
        if exchange.header("origin") not in ("", HOME):
            raise unauthorized(f"origin {exchange.header('origin')!r}")
        if login == "banned":
            raise disabled("scenario: banned")
        if not key or login == "guest":
            raise unauthorized("no session key")
        if claims is None or claims.exp <= time.time() or login == "dead":
            why = "session key not valid or expired"
            raise unauthorized(why) if exchange.scenario.options.get("dead_status") == 403 else expired(why)
        return claims

    def _slide(self, exchange: Exchange, claims: Claims) -> dict[str, str]:
        """The cookie slides on use: headers with a new one in the second half of its life."""
        life_s = exchange.scenario.access_ttl_s
        return sessions.set_cookie(claims, life_s) if claims.exp - time.time() < life_s / 2 else {}

    def _of(self, operation: Operation) -> Callable[[Exchange, re.Match[str]], Awaitable[None]]:
        """A handler for calls that name an organization: only their own people may make them."""

        async def handler(exchange: Exchange, match: re.Match[str]) -> None:
            claims = self._signed_in(exchange)
            if match["org"] != sessions.organization(claims.sub):
                raise unauthorized(f"organization {match['org']} is not of {claims.sub}, or cannot chat")
            await operation(exchange, match, claims.sub)

        return handler

    async def _organizations(self, exchange: Exchange, match: re.Match[str]) -> None:
        claims = self._signed_in(exchange)
        await exchange.json(self._memberships(exchange, claims.sub), headers=self._slide(exchange, claims))

    def _memberships(self, exchange: Exchange, account: str) -> list[dict[str, Any]]:
        paying = {"uuid": sessions.api_organization(account), "name": f"{account} (API)", "capabilities": ["api"]}
        capabilities = catalog.capabilities(exchange.scenario)
        return [paying, {"uuid": sessions.organization(account), "name": account, "capabilities": capabilities}]

    def _user(self, exchange: Exchange, account: str) -> dict[str, Any]:
        return {
            "uuid": sessions.made_uuid(account, "account"),
            "email_address": f"{account}@example.org",
            "full_name": account,
            "display_name": account,
            "memberships": [{"organization": each} for each in self._memberships(exchange, account)],
        }

    async def _account(self, exchange: Exchange, match: re.Match[str]) -> None:
        claims = self._signed_in(exchange)
        await exchange.json(self._user(exchange, claims.sub), headers=self._slide(exchange, claims))

    async def _bootstrap(self, exchange: Exchange, match: re.Match[str]) -> None:
        try:
            claims = self._signed_in(exchange)
        except Refused:
            await exchange.json({"account": None})
        else:
            await exchange.json({"account": self._user(exchange, claims.sub)}, headers=self._slide(exchange, claims))

    # Section 3: models, and section 9: what is left

    async def _app_start(self, exchange: Exchange, match: re.Match[str], account: str) -> None:
        if dict(exchange.request.query_params) != APP_START:
            raise bad(f"app_start?{exchange.record.query}")
        models = catalog.models(exchange.scenario)
        user = self._user(exchange, account)
        await exchange.json({"account": user, "claude_ai_bootstrap_models_config": models})

    async def _usage(self, exchange: Exchange, match: re.Match[str], account: str) -> None:
        await exchange.json(quota.usage(exchange.scenario))

    # Sections 4 and 5: chat

    def _conversation(self, account: str, match: re.Match[str]) -> Conversation:
        """The conversation that the address names. Raises Refused (404)."""
        conversation = self.store.conversation(account, match["conv"])
        if conversation is None:
            raise missing("Conversation not found")
        return conversation

    async def _create(self, exchange: Exchange, match: re.Match[str], account: str) -> None:
        made = body(exchange, CreateRequest)
        if made.uuid in self.store.conversations:
            raise bad(f"conversation {made.uuid} exists")
        catalog.checked(made.model, exchange.scenario)
        await exchange.json(self.store.create(account, made.uuid, made).head(), 201)

    async def _completion(self, exchange: Exchange, match: re.Match[str], account: str) -> None:
        completion.check_headers(exchange)
        request = body(exchange, CompletionRequest)
        again = exchange.record.path.endswith("/retry_completion")
        place = completion.place_again if again else completion.place
        asked = place(self.store, exchange, account, match["conv"], request)
        await completion.answer(exchange, asked, request)

    async def _messages(self, exchange: Exchange, match: re.Match[str], account: str) -> None:
        query = exchange.request.query_params
        if query.get("rendering_mode", "messages") != "messages":
            raise bad(f"rendering_mode {query['rendering_mode']!r}")
        conversation = self._conversation(account, match)
        tree = query.get("tree") == "True"
        await exchange.json(self.store.wire(conversation, match["org"], tree=tree))

    async def _settings(self, exchange: Exchange, match: re.Match[str], account: str) -> None:
        conversation = self._conversation(account, match)
        conversation.paprika_mode = body(exchange, SettingsRequest).settings.paprika_mode
        await exchange.json(conversation.head())

    async def _title(self, exchange: Exchange, match: re.Match[str], account: str) -> None:
        conversation = self._conversation(account, match)
        conversation.name = " ".join(body(exchange, TitleRequest).message_content.split())[:40]
        await exchange.json({"title": conversation.name}, 202)

    async def _stop(self, exchange: Exchange, match: re.Match[str], account: str) -> None:
        """Only guessed by the sheet: nothing more of a running answer is sent."""
        conversation = self._conversation(account, match)
        newest = conversation.messages.get(conversation.leaf or "")
        if newest and newest.sender == "assistant" and newest.stop_reason is None:
            newest.stopped = True
        await exchange.json({})

    # Section 7: files

    async def _one_file(self, exchange: Exchange) -> tuple[Upload, bytes]:
        files = await exchange.files()
        if [upload.field for upload, _ in files] != ["file"]:
            raise bad("not one file in the field 'file'")
        if files[0][0].size_bytes > FILE_BYTES_LIMIT:
            raise Refused(413, "file too large", error(INVALID, "File is larger than 30 MB"))
        return files[0]

    async def _upload(self, exchange: Exchange, match: re.Match[str], account: str) -> None:
        uuid = match.groupdict().get("conv", "")
        known = self.store.conversations.get(uuid)
        if known and (known.deleted or known.account != account):
            raise missing("Conversation not found")
        stored = self.store.add_file(account, uuid, *await self._one_file(exchange))
        await exchange.json(stored.wire(match["org"]))

    async def _convert(self, exchange: Exchange, match: re.Match[str], account: str) -> None:
        upload, data = await self._one_file(exchange)
        try:
            text = data.decode()
        except UnicodeDecodeError as undecodable:
            raise bad("convert_document: no text in this file") from undecodable
        kind = upload.name.rpartition(".")[2]
        await exchange.json(
            {"file_name": upload.name, "file_type": kind, "file_size": len(data), "extracted_content": text}
        )

    async def _download(self, exchange: Exchange, match: re.Match[str], account: str) -> None:
        path = exchange.request.query_params.get("path", "")
        for file in self.store.files.values():
            if (file.account, file.conversation, file.path) == (account, match["conv"], path):
                await exchange.reply(file.data, file.upload.content_type)
                return
        raise missing(f"no file {path!r}")

    async def _preview(self, exchange: Exchange, match: re.Match[str], account: str) -> None:
        file = self.store.files.get(match["file"])
        if file is None or file.account != account or not file.upload.content_type.startswith("image/"):
            raise missing("no such picture")
        await exchange.reply(file.data, file.upload.content_type)

    # Section 8: clean-up

    async def _delete(self, exchange: Exchange, match: re.Match[str], account: str) -> None:
        self._conversation(account, match).deleted = True
        await exchange.reply(b"", "application/json", 204)

    async def _delete_many(self, exchange: Exchange, match: re.Match[str], account: str) -> None:
        named = body(exchange, DeleteManyRequest).conversation_uuids
        found = [each for uuid in named if (each := self.store.conversation(account, uuid))]
        for conversation in found:
            conversation.deleted = True
        await exchange.json({"deleted": [conversation.uuid for conversation in found]})
