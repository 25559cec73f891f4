"""The demo chat site's HTTP face.

| route | answers |
|---|---|
| `GET /`, `/login` | the page |
| `POST /api/login` {user, password} | session cookie (HttpOnly); `POST /api/logout`; `GET /api/me` |
| `GET /api/models` | the models |
| `POST /api/chat` | `text/event-stream` (events: `relay.demo.model`) or a JSON error; 100,000 characters at most |
| `POST /api/stop` {message} | stops an answer |
| `DELETE /api/conversations/{id}` | 204 |
| `POST /api/files` (multipart) | {id, name, size, sha256, mime} |
| `GET /api/stats` | counters of streamed answers |
| `POST /api/fate` | only with `scripts=True`: see `relay.demo.fates` |
| `POST /api/script`, `GET /api/script/{id}` | only with `scripts=True`: see `relay.demo.replay` |

Every error is `{"error": {"code", "message"}}`.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from relay.demo import chat, fates, replay, uploads
from relay.demo.http import ApiError, SecurityHeaders, read_body, read_json
from relay.demo.model import MODELS, Attachment, Pace, Turn, play
from relay.demo.sessions import COOKIE, LIFETIME_S, Sessions

STATIC = Path(__file__).parent / "static"
RETRY_AFTER_S = 30
MAX_PROMPT_CHARS = 100_000


class LoginBody(BaseModel):
    """`POST /api/login`."""

    user: str
    password: str


class StopBody(BaseModel):
    """`POST /api/stop`."""

    message: str


class ChatBody(BaseModel):
    """`POST /api/chat`. A new prompt in a conversation names the last answer's message as its parent."""

    model: str = next(iter(MODELS))
    prompt: str = Field(min_length=1)
    conversation_id: str | None = None
    parent_id: str | None = None
    thinking: bool | None = None
    search: bool | None = None
    files: list[str] = []


def create_app(
    *,
    secret: str | None = None,
    accounts: Mapping[str, str] | None = None,
    pace: Pace | None = None,
    heartbeat_s: float = 5.0,
    scripts: bool = False,
) -> Starlette:
    """The site as an ASGI app.

    `secret` signs the sessions (random, so none survives a restart, if not given); `accounts` maps users to passwords
    (default: demo/demo); `pace` is the model's speed (default: from the environment); `heartbeat_s` is the silence
    after which a ping is sent; `scripts` allows stored scripts, for tests and benchmarks.
    """
    site = DemoSite(
        sessions=Sessions(secret or secrets.token_hex(32), dict(accounts or {"demo": "demo"})),
        pace=pace or Pace.from_environment(),
        answers=chat.Answers(heartbeat_s),
        scripts=replay.Scripts() if scripts else None,
    )
    app = Starlette(
        routes=site.routes(),
        middleware=[Middleware(SecurityHeaders)],
        exception_handlers={
            ApiError: _api_error,
            fates.Challenged: _challenged,
            HTTPException: _http_error,
            Exception: _crash,
        },
    )
    app.state.site = site
    return app


class DemoSite:
    """The state of the site and its routes."""

    def __init__(
        self, *, sessions: Sessions, pace: Pace, answers: chat.Answers, scripts: replay.Scripts | None
    ) -> None:
        self.sessions = sessions
        self.pace = pace
        self.answers = answers
        self.scripts = scripts
        self.conversations = chat.Conversations()
        self.uploads = uploads.Uploads()
        self.fates = fates.Fates()

    def __repr__(self) -> str:
        return f"<DemoSite {self.answers} {self.conversations} {self.uploads}>"

    def routes(self) -> list[Route | Mount]:
        """Everything the site serves."""
        return [
            Route("/", _page),
            Route("/login", _page),
            Route("/api/login", self.log_in, methods=["POST"]),
            Route("/api/logout", self.log_out, methods=["POST"]),
            Route("/api/me", self.me),
            Route("/api/models", self.models),
            Route("/api/chat", self.converse, methods=["POST"]),
            Route("/api/stop", self.stop, methods=["POST"]),
            Route("/api/conversations/{id}", self.delete, methods=["DELETE"]),
            Route("/api/files", self.upload, methods=["POST"]),
            Route("/api/stats", self.stats),
            Route("/api/fate", self.decide_fate, methods=["POST"]),
            Route("/api/script", self.keep_script, methods=["POST"]),
            Route("/api/script/{id}", self.show_script),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]

    async def log_in(self, request: Request) -> Response:
        """Sets the session cookie."""
        body = await read_json(request, LoginBody)
        value = self.sessions.log_in(body.user, body.password)
        if value is None:
            raise ApiError(401, "bad_credentials", "Wrong user name or password.")
        response = JSONResponse({"user": body.user})
        response.set_cookie(COOKIE, value, max_age=LIFETIME_S, httponly=True, samesite="lax")
        return response

    async def log_out(self, request: Request) -> Response:
        """Ends the session."""
        self.sessions.log_out(request.cookies.get(COOKIE, ""))
        response = Response(status_code=204)
        response.delete_cookie(COOKIE, httponly=True, samesite="lax")
        return response

    async def me(self, request: Request) -> Response:
        """Who is logged in."""
        user = self._user(request, guests=True)
        guest = self.fates.is_guest(user)
        return JSONResponse({"user": "Guest" if guest else user, "guest": guest})

    async def models(self, request: Request) -> Response:
        """The model menu."""
        shown = [
            {"id": m.id, "name": m.name, "thinking": m.thinking, "search": m.search}
            for m in MODELS.values()
            if m.id != "script" or self.scripts is not None
        ]
        return JSONResponse({"default": next(iter(MODELS)), "models": shown})

    async def converse(self, request: Request) -> Response:
        """One prompt; the answer streams."""
        user = self._user(request)
        body = await read_json(request, ChatBody)
        if body.model not in MODELS or (body.model == "script" and self.scripts is None):
            raise ApiError(400, "unknown_model", f"There is no model {body.model!r}.")
        if len(body.prompt) > MAX_PROMPT_CHARS:
            raise ApiError(413, "prompt_too_long", f"A prompt has {MAX_PROMPT_CHARS} characters at most.")
        fault = _FAULTS.get(body.model)
        if fault is not None:
            return fault()
        conversation = self._conversation(user, body)
        turn = Turn(
            model=body.model,
            prompt=body.prompt,
            conversation=conversation.id,
            message=chat.new_message(),
            thinking=bool(body.thinking),
            search=bool(body.search),
            attachments=tuple(self._attachment(user, file_id) for file_id in body.files),
            earlier=tuple(conversation.prompts),
        )
        if turn.model == "script":
            script = self._script(turn.prompt.removeprefix("script:"))
            blobs = replay.shredded(replay.steps(script, turn), script.seed)
            script.started_at.append(time.time())
        else:
            blobs = replay.whole(play(turn, self.pace))
        if body.model == "refuses":  # nobody learns of this turn, so it must not move the conversation
            conversation = dataclasses.replace(conversation, prompts=[])
        else:
            self.conversations.keep(conversation)
        return chat.Answer(self.answers, conversation, turn, blobs)

    def _conversation(self, user: str, body: ChatBody) -> chat.Conversation:
        if body.conversation_id is None:
            if body.parent_id is not None:
                raise ApiError(409, "wrong_parent", "A new conversation has no parent message.")
            return chat.new_conversation(user)
        conversation = self._find(user, body.conversation_id)
        if conversation.busy:
            raise ApiError(409, "conversation_busy", "The last answer is still being written.")
        if body.parent_id != conversation.tip:
            raise ApiError(409, "wrong_parent", "The parent is not the last message of the conversation.")
        return conversation

    async def stop(self, request: Request) -> Response:
        """Stops an answer under way."""
        user = self._user(request)
        body = await read_json(request, StopBody)
        return JSONResponse({"stopped": self.answers.stop(user, body.message)})

    async def delete(self, request: Request) -> Response:
        """Forgets a conversation."""
        self.conversations.drop(self._find(self._user(request), request.path_params["id"]))
        return Response(status_code=204)

    async def upload(self, request: Request) -> Response:
        """Describes a file; its bytes are not kept."""
        user = self._user(request)
        content = await read_body(request)
        try:
            part = uploads.file_part(request.headers.get("content-type", ""), content)
        except uploads.BadUpload as error:
            raise ApiError(400, "bad_upload", str(error)) from error
        kept = self.uploads.keep(user, part)
        return JSONResponse(
            {"id": kept.id, "name": kept.name, "size": kept.size, "sha256": kept.sha256, "mime": kept.mime}
        )

    async def stats(self, request: Request) -> Response:
        """Counters since the start."""
        counters = dataclasses.asdict(self.answers.counters)
        return JSONResponse({**counters, "active": len(self.answers.active), "conversations": len(self.conversations)})

    async def decide_fate(self, request: Request) -> Response:
        """How a user is treated from now on."""
        if self.scripts is None:
            raise ApiError(404, "not_found", "Fates are not enabled.")
        self.fates.set(await read_json(request, fates.FateBody))
        return Response(status_code=204)

    async def keep_script(self, request: Request) -> Response:
        """Stores a script for the model `script`."""
        if self.scripts is None:
            raise ApiError(404, "not_found", "Scripts are not enabled.")
        script = self.scripts.keep(await read_json(request, replay.ScriptBody))
        return JSONResponse({"id": script.id, "pieces": len(script.pieces)})

    async def show_script(self, request: Request) -> Response:
        """When it was replayed."""
        script = self._script(request.path_params["id"])
        return JSONResponse({"id": script.id, "pieces": len(script.pieces), "started_at": script.started_at})

    def _user(self, request: Request, *, guests: bool = False) -> str:
        user = self.sessions.user_of(request.cookies.get(COOKIE))
        if user is None:
            raise ApiError(401, "not_logged_in", "Log in first.")
        self.fates.meet(user, guests=guests)
        return user

    def _find(self, user: str, conversation_id: str) -> chat.Conversation:
        conversation = self.conversations.find(user, conversation_id)
        if conversation is None:
            raise ApiError(404, "conversation_not_found", "There is no such conversation.")
        return conversation

    def _attachment(self, user: str, file_id: str) -> Attachment:
        found = self.uploads.find(user, file_id)
        if found is None:
            raise ApiError(404, "file_not_found", f"There is no file {file_id!r}.")
        return found

    def _script(self, script_id: str) -> replay.Script:
        script = self.scripts.find(script_id) if self.scripts is not None else None
        if script is None:
            raise ApiError(404, "script_not_found", "There is no such script.")
        return script


async def _page(request: Request) -> Response:
    return FileResponse(STATIC / "index.html", headers={"cache-control": "no-cache"})


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error.response()


async def _http_error(request: Request, error: Exception) -> Response:
    """Starlette's own refusals: no such route, wrong method."""
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
    return ApiError(error.status_code, code, error.detail, error.headers).response()


async def _crash(request: Request, error: Exception) -> Response:
    """A fault of ours. Starlette raises it again after the answer, so that the server logs it."""
    return ApiError(500, "internal", "The demo site failed.").response()


def _rate_limited() -> Response:
    headers = {"retry-after": str(RETRY_AFTER_S)}
    return ApiError(429, "rate_limited", f"Too many prompts. Try again in {RETRY_AFTER_S} s.", headers).response()


def _login_dead() -> Response:
    return ApiError(401, "not_logged_in", "Your session has ended. Log in again.").response()


def _error_in_ok() -> Response:
    return ApiError(200, "internal", "Something went wrong on our side.").response()


async def _challenged(request: Request, error: Exception) -> Response:
    return fates.challenge_page()


_FAULTS: dict[str, Callable[[], Response]] = {
    "rate-limited": _rate_limited,
    "login-dead": _login_dead,
    "error": _error_in_ok,
    "challenge": fates.challenge_page,
}
"""Models that answer without an event stream, as real sites do."""
