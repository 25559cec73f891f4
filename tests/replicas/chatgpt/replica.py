"""The site: what it serves, what it checks, what it answers (section numbers are the fact sheet's)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.replicas.chatgpt import catalog, door, refusals, tokens
from tests.replicas.chatgpt.answering import OPTIONS, Answering, Talk
from tests.replicas.chatgpt.chats import Conversation, Store
from tests.replicas.chatgpt.door import API, PRIVATE, caller
from tests.replicas.chatgpt.files import HOST, Files, attached
from tests.replicas.chatgpt.handover import Handover, pour
from tests.replicas.chatgpt.history import History
from tests.replicas.chatgpt.requests import (
    ROOT,
    ChatRequest,
    FinalizeRequest,
    PrepareRequest,
    RequirementsRequest,
    error,
    parsed,
    problem,
)
from tests.replicas.chatgpt.sentinel import Sentinel
from tests.replicas.exchange import Exchange, Refused
from tests.replicas.scenario import Fault
from tests.replicas.seen import Seen, SeenTurn
from tests.replicas.site import TYPES, Replica, Route, send_file
from tests.replicas.socket import Socket

STATIC = Path(__file__).parent / "static"
FOUR_HOURS_S = 4 * 3600
# Inline styles are KaTeX's; scripts have neither inline nor eval. The form is the one before hydration.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
    f"img-src 'self' data: blob: https://{HOST}; connect-src 'self' https://{HOST} wss://ws.chatgpt.com; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
UUID_PATH = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


class ChatGPT(Replica):
    """chatgpt.com, the old name that redirects to it, its socket host and its host for files."""

    id = "chatgpt"
    hosts = ("chatgpt.com", "chat.openai.com", "ws.chatgpt.com", HOST)
    options = OPTIONS

    def __init__(self) -> None:
        self.store = Store()
        self.sentinel = Sentinel()
        handover = Handover(self.store)
        self.sockets = handover.sockets
        requirements = f"{API}/sentinel/chat-requirements"
        self.routes = [
            Route("GET", rf"/|(/g/g-[\w-]+)?/c/{UUID_PATH}|/g/g-[\w-]+", "page", self._page),
            Route("GET", r"/assets/(?P<name>[^/]+)", "asset", self._asset),
            Route("GET", r"/backend-api/sentinel/(?P<name>sdk\.js)", "asset", self._asset),
            Route("GET", r"/page-config", "config", self._config),
            Route("GET", r"/api/auth/session", "session", self._session),
            Route("GET", f"{PRIVATE}/me", "probe", self._me),
            Route("GET", f"{API}/models", "models", self._models),
            Route("POST", f"{API}/conversation/init", "init", self._init),
            Route("POST", f"{requirements}/prepare", "requirements", self._requirements),
            Route("POST", f"{requirements}/finalize", "finalize", self._finalize),
            Route("POST", f"{API}/f/conversation/prepare", "prepare", self._prepare),
            Route("POST", f"{API}(?P<f>/f)?/conversation", "chat", self._chat),
            *handover.routes,
            *History(self.store).routes,
            *Files(self.store).routes,
        ]

    def account(self, exchange: Exchange) -> str:
        """The user of the Bearer token or of the session cookie, be they expired."""
        return door.account(exchange)

    def socket_account(self, socket: Socket) -> str:
        """The user of the token in the socket's address."""
        claims = tokens.read("socket", socket.request.query_params.get("verify", ""))
        return claims.sub if claims else super().socket_account(socket)

    def state(self, account: str) -> object:
        """Conversations (hidden ones marked) and files."""
        return self.store.of(account)

    def seen(self, account: str) -> Seen:
        """The same in the words of all sites."""
        return self.store.seen(account)

    def login(self, account: str, *, ttl_s: float = 900) -> dict[str, Any]:
        """Section 2: the session cookie, which dies after ``ttl_s``."""
        return tokens.storage_state(account, ttl_s=ttl_s)

    def token(self, account: str, *, ttl_s: float = 900) -> str:
        """The value of the session cookie."""
        return tokens.session_token(account, ttl_s=ttl_s)

    def fault_body(self, fault: Fault) -> object:
        """Section 9."""
        return refusals.body(fault)

    async def challenge(self, exchange: Exchange) -> None:
        """Section 6: Cloudflare's page."""
        await exchange.reply((STATIC / "challenge.html").read_bytes(), TYPES[".html"], 403)

    async def serve(self, exchange: Exchange, route: Route, match: re.Match[str]) -> None:
        """A challenge stands before everything."""
        if exchange.scenario.challenge:
            exchange.record.refused = "scenario: challenge"
            await self.challenge(exchange)
        else:
            await super().serve(exchange, route, match)

    # Section 1: the page

    async def _page(self, exchange: Exchange, match: re.Match[str]) -> None:
        if exchange.record.host != "chatgpt.com":
            await exchange.reply(b"", TYPES[".html"], 302, {"location": tokens.HOME + "/"})
            return
        headers = {"content-security-policy": POLICY, "x-content-type-options": "nosniff"}
        await exchange.reply((STATIC / "index.html").read_bytes(), TYPES[".html"], headers=headers)

    async def _asset(self, exchange: Exchange, match: re.Match[str]) -> None:
        await send_file(exchange, STATIC, match["name"])

    async def _config(self, exchange: Exchange, match: re.Match[str]) -> None:
        """How the page is to look in this scenario: the replica's own, not the site's."""
        await exchange.json({"layout": exchange.scenario.layout, "hydrateMs": exchange.scenario.hydrate_ms})

    # Section 2: login

    async def _session(self, exchange: Exchange, match: re.Match[str]) -> None:
        await exchange.json(door.session(exchange))

    async def _me(self, exchange: Exchange, match: re.Match[str]) -> None:
        await exchange.json(door.profile(caller(exchange, match)) | {"object": "user"})

    # Section 3: models

    async def _models(self, exchange: Exchange, match: re.Match[str]) -> None:
        caller(exchange, match)
        only = "auto" if match["base"] == "anon" else exchange.scenario.options.get("models")
        await exchange.json(catalog.listed(only))

    # Section 4: chat

    async def _init(self, exchange: Exchange, match: re.Match[str]) -> None:
        caller(exchange, match)
        await exchange.json(
            {"type": "conversation_detail_metadata", "default_model_slug": "auto", "limits_progress": []}
        )

    async def _requirements(self, exchange: Exchange, match: re.Match[str]) -> None:
        user, request = caller(exchange, match), parsed(RequirementsRequest, exchange)
        await exchange.json(unless_refused(self.sentinel.prepare(user, request.p)))

    async def _finalize(self, exchange: Exchange, match: re.Match[str]) -> None:
        user, request = caller(exchange, match), parsed(FinalizeRequest, exchange)
        await exchange.json(unless_refused(self.sentinel.finalize(user, request)))

    async def _prepare(self, exchange: Exchange, match: re.Match[str]) -> None:
        user, request = caller(exchange, match), parsed(PrepareRequest, exchange)
        about = {
            "conversation": request.conversation_id or "",
            "parent": request.parent_message_id,
            "draft": request.partial_query.id,
        }
        token = tokens.mint("conduit", user, FOUR_HOURS_S, about=about)
        await exchange.json({"status": "ok", "conduit_token": token})

    async def _chat(self, exchange: Exchange, match: re.Match[str]) -> None:
        user = caller(exchange, match)
        door.check_chat_headers(exchange)
        request = parsed(ChatRequest, exchange)
        self._sentinel(exchange, request, user)
        if match["f"]:
            self._conduit(exchange, request, user)
        anonymous = match["base"] == "anon"
        offered = ["auto"] if anonymous else catalog.slugs(exchange.scenario.options.get("models"))
        if request.model not in offered:
            raise Refused(422, f"model {request.model!r} is not one of {offered}", problem("model", "unknown model"))
        talk = self._accept(exchange, request, user, anonymous=anonymous)
        answering = Answering(exchange, self.store, talk)
        answering.begin()
        if answering.handoff == "none":
            await pour(exchange, answering.generation)
            return
        await exchange.start("text/event-stream; charset=utf-8")
        for data in answering.handed_off():
            await exchange.write(data)
        await exchange.finish()

    def _sentinel(self, exchange: Exchange, request: ChatRequest, user: str) -> None:
        """Raises Refused (403)."""
        why = self.sentinel.objection(
            user,
            door.sentinel_headers(exchange),
            picture="picture_v2" in request.hints,
            shield=exchange.scenario.shield,
        )
        if why:
            raise Refused(403, why, refusals.UNUSUAL)

    def _conduit(self, exchange: Exchange, request: ChatRequest, user: str) -> None:
        """Raises Refused (403) when the conduit token is not one for this place; regeneration needs no place."""
        claims = tokens.valid("conduit", exchange.header("x-conduit-token"))
        if claims is None or claims.sub != user:
            raise Refused(403, "no valid conduit token of this user", refusals.UNUSUAL)
        if claims.about["conversation"] != (request.conversation_id or ""):
            raise Refused(403, "the conduit token is for another conversation", refusals.UNUSUAL)
        if request.action == "next" and claims.about["parent"] != request.parent_message_id:
            raise Refused(403, "the conduit token is for another parent", refusals.UNUSUAL)
        if any(message.id == claims.about["draft"] for message in request.messages):
            raise Refused(403, "the draft's id is not the final message's id", refusals.UNUSUAL)

    def _accept(self, exchange: Exchange, request: ChatRequest, user: str, *, anonymous: bool) -> Talk:
        """The prompt in its place. Raises Refused when it has none."""
        files = attached(self.store, user, request)
        prompt = request.messages[0].content.text if request.messages else ""
        limit = int(exchange.scenario.options.get("max_chars", 0))
        if limit and len(prompt) > limit:
            why = f"{len(prompt)} characters, at most {limit}"
            raise Refused(413, why, error("message_length_exceeds_limit", "The message you submitted was too long."))
        conversation = self._conversation(request, user, anonymous=anonymous)
        first = conversation.current == ROOT
        if request.action == "next":
            parent, question = self._append(conversation, request), request.messages[0].id
        else:
            parent, question = self._again(conversation, request)
            prompt = "\n".join(conversation.prompts(question)[-1:])
        turn = SeenTurn(
            prompt=prompt,
            parent="" if parent == ROOT or first else parent,
            model=request.model,
            thinking=catalog.wants_thoughts(request, exchange.scenario.options.get("auto_thinks")),
            search="search" in request.hints,
            agent=request.conversation_mode.gizmo_id or "",
            files=[file.sha256 for file in files],
            again=request.action == "variant",
        )
        conversation.turns.append(turn)
        about = {"conversation": conversation.id}
        token = tokens.mint("resume", user, FOUR_HOURS_S, about=about)
        return Talk(conversation, question, request, turn, first, token)

    def _conversation(self, request: ChatRequest, user: str, *, anonymous: bool) -> Conversation:
        """The one that goes on, or a new one. Raises Refused (404, 409, 422)."""
        temporary = request.history_and_training_disabled
        if not request.conversation_id:
            if request.parent_message_id != ROOT and not is_uuid(request.parent_message_id):
                raise Refused(422, "a new chat's parent", problem("parent_message_id", "unknown message"))
            return self.store.new_conversation(user, temporary=temporary, anonymous=anonymous)
        found = self.store.conversation(user, request.conversation_id)
        if found is None or (found.temporary, found.anonymous) != (temporary, anonymous):
            raise Refused(404, f"no conversation {request.conversation_id}", refusals.NO_CONVERSATION)
        if found.running:
            raise Refused(409, "an answer is still being written", refusals.BUSY)
        return found

    def _append(self, conversation: Conversation, request: ChatRequest) -> str:
        """Put the new message in its place, which is below an answer or the root. Raises Refused (422)."""
        new, parent = request.messages[0], request.parent_message_id
        if not request.conversation_id:
            parent = ROOT
        elif parent not in conversation.ends:
            raise Refused(422, f"{parent} ends no answer here", problem("parent_message_id", "not a message to follow"))
        if new.id in conversation.nodes:
            raise Refused(422, f"message {new.id} is there already", problem("messages", "message id was used before"))
        told = new.model_dump(exclude_none=True)
        told |= {"status": "finished_successfully", "end_turn": None, "recipient": "all", "channel": None}
        conversation.add(told, parent)
        return parent

    def _again(self, conversation: Conversation, request: ChatRequest) -> tuple[str, str]:
        """The parent and the id of the message that is answered once more. Raises Refused (422).

        ``variant`` repeats the user's message with its own parent, or names that message as the parent;
        ``continue`` goes on below an answer.
        """
        parent = request.parent_message_id
        if request.action == "continue" and parent in conversation.ends - {ROOT}:
            return parent, parent
        question = request.messages[0].id if request.messages else parent
        node = conversation.nodes.get(question)
        if request.action == "variant" and node and conversation.role(question) == "user":
            above = node.parent or ROOT
            if parent in (question, above):
                return above, question
        raise Refused(422, f"{request.action} has no place", problem("parent_message_id", "not a message to answer"))


def unless_refused(answer: dict[str, Any] | str) -> dict[str, Any]:
    """The sentinel's answer; raises Refused (403) when it is a reason."""
    if isinstance(answer, str):
        raise Refused(403, answer, refusals.UNUSUAL)
    return answer


def is_uuid(text: str) -> bool:
    """Whether ``text`` is a UUID."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True
