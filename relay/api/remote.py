"""`/login/<secret>`: a site's login page shown from afar, by pictures over a WebSocket, with what its viewer does back.

To the page: binary messages are pictures (width and height as two 16-bit big-endian numbers, then JPEG or PNG), text
messages are JSON, `{"type": "scene", ...face.Scene}` or `{"type": "copied", "text"}`. From the page: a `Gesture` as
JSON in each text message.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import html
import json
import secrets
import struct
from contextlib import aclosing
from importlib.resources import files
from typing import Annotated, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, WebSocket
from loguru import logger
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from starlette.responses import HTMLResponse, Response
from starlette.websockets import WebSocketDisconnect, WebSocketState

from relay.api import errors
from relay.api.pages import CSP
from relay.errors import LoginGone, RelayError
from relay.pool import face
from relay.pool.face import Copied, Gesture, LoginView, Picture, Pool, Scene

router = APIRouter(include_in_schema=False)
COOKIE = "relay_viewer"
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
ASSETS = {"login.js": "text/javascript", "login.css": "text/css"}
MAX_FILES = 10
MAX_FILE_BYTES = 16 * 1024 * 1024
"""All files of one answer to a file chooser."""
MAX_TEXT_CHARS = 20_000
MAX_GESTURE_BYTES = 256 * 1024
"""A message without files."""
POLICY, TOO_BIG, OVER = 1008, 1009, 1000
AGAIN = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0"><title>relay</title>'

Coordinate = Annotated[float, Field(ge=-100_000, le=100_000, allow_inf_nan=False)]
Short = Annotated[str, Field(max_length=64)]


class FileBody(BaseModel):
    """One file, in base64."""

    name: str = Field(max_length=1000)
    data: bytes

    @field_validator("data", mode="before")
    @classmethod
    def _decode(cls, value: object) -> bytes:
        try:
            return base64.b64decode(value if isinstance(value, str) else "=", validate=True)
        except ValueError:
            raise ValueError("not base64") from None


class GestureBody(BaseModel):
    """`face.Gesture` as it comes from outside."""

    model_config = ConfigDict(extra="forbid")

    kind: face.GestureKind
    x: Coordinate = 0
    y: Coordinate = 0
    dx: Coordinate = 0
    dy: Coordinate = 0
    button: Literal["none", "left", "middle", "right"] = "none"
    clicks: int = Field(0, ge=0, le=3)
    key: Short = ""
    code: Short = ""
    key_code: int = Field(0, ge=0, le=255)
    modifiers: int = Field(0, ge=0, le=15)
    text: str = Field("", max_length=MAX_TEXT_CHARS)
    window: int = Field(0, ge=0, le=1000)
    scale: float = Field(1, ge=0.5, le=8)
    files: list[FileBody] = Field([], max_length=MAX_FILES)

    def gesture(self) -> Gesture:
        """The same for the pool. Raises ValueError for a size that no screen has, and for too many bytes of files."""
        if self.kind == "resize" and not (200 <= self.x <= 4096 and 200 <= self.y <= 4096):
            raise ValueError("a viewport has from 200 to 4096 pixels each way")
        if sum(len(file.data) for file in self.files) > MAX_FILE_BYTES:
            raise ValueError(f"files may have {MAX_FILE_BYTES >> 20} MiB together")
        fields = self.model_dump(exclude={"files"})
        return Gesture(**fields, files=tuple((file.name, file.data) for file in self.files))


def read_gesture(text: str) -> Gesture:
    """One message of the page. Raises ValueError with what is wrong with it, and nothing of what it holds."""
    if len(text) > MAX_GESTURE_BYTES and '"files"' not in text[:200]:
        raise ValueError("the message is too long")
    try:
        return GestureBody.model_validate_json(text).gesture()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = errors.param_path(tuple(first["loc"]))
        raise ValueError(f"{where or 'message'}: {first['msg']}") from None


def _page() -> str:
    return (files("relay.web") / "login.html").read_text("utf-8")


@router.get("/login/static/{name}")
async def asset(name: str) -> Response:
    """What the page loads."""
    if name not in ASSETS:
        return errors.response_of(LoginGone("There is no such file."))
    headers = {**HEADERS, "Cache-Control": "no-cache"}
    return Response((files("relay.web") / name).read_text("utf-8"), media_type=ASSETS[name], headers=headers)


@router.get("/login/{secret}")
async def page(request: Request, secret: str) -> Response:
    """The page, and the cookie by which its viewer is known. Opening it claims nothing yet: see `view`."""
    pool: Pool = request.app.state.pool
    viewer = request.cookies.get(COOKIE, "")
    known = _is_viewer(viewer)
    try:
        pool.logins.enter(secret, viewer if known else secrets.token_urlsafe(32))
    except RelayError as error:
        # Followed from another site's page, the link comes without our cookie: the same request of our own has it.
        if not known and error.status == 403 and request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return HTMLResponse(AGAIN, headers=HEADERS)
        return HTMLResponse(_refusal(error), error.status, headers=HEADERS)
    answer = HTMLResponse(_page(), headers=HEADERS)
    if not known:
        answer.set_cookie(
            COOKIE,
            secrets.token_urlsafe(32),
            path=f"/login/{secret}",
            httponly=True,
            samesite="strict",
            secure=urlsplit(request.app.state.settings.address).scheme == "https" or request.url.scheme == "https",
        )
    return answer


def _is_viewer(cookie: str) -> bool:
    return 40 <= len(cookie) <= 64


def _refusal(error: RelayError) -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>relay: login</title>'
        '<link rel="stylesheet" href="/login/static/login.css">'
        f'<body class="refusal"><p id="why">{html.escape(error.message)}</p>'
    )


@router.websocket("/login/{secret}/view")
async def view(socket: WebSocket, secret: str) -> None:
    """Pictures and scenes out, gestures in, until one side has enough. The first viewer here has the login."""
    pool: Pool = socket.app.state.pool
    viewer = socket.cookies.get(COOKIE, "")
    try:
        if not _is_viewer(viewer):
            raise LoginGone("Open the address in a browser first.")
        shown = pool.logins.enter(secret, viewer)
    except RelayError as error:
        await socket.send_denial_response(errors.response_of(error))
        return
    await socket.accept()
    showing = asyncio.create_task(_show(socket, shown))
    reading = asyncio.create_task(_read(socket, shown))
    try:
        await asyncio.wait({showing, reading}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (showing, reading):
            task.cancel()
        ended = await asyncio.gather(showing, reading, return_exceptions=True)
    code, why = OVER, "The login is over."
    for one in ended:
        if isinstance(one, _Refused):
            code, why = one.code, str(one)
        elif isinstance(one, Exception) and not isinstance(one, WebSocketDisconnect):
            logger.opt(exception=one).error("a remote login's view failed")
            code, why = 1011, "relay failed unexpectedly; its log says more."
    if socket.client_state is WebSocketState.CONNECTED and socket.application_state is WebSocketState.CONNECTED:
        await _close(socket, code, why)


class _Refused(Exception):
    """The viewer sent what it may not, or may not view."""

    def __init__(self, why: str, code: int = POLICY) -> None:
        super().__init__(why)
        self.code = code


async def _close(socket: WebSocket, code: int, why: str) -> None:
    reason = why.encode()[:120].decode("utf-8", "ignore")  # a close frame has room for 123 bytes
    try:
        await socket.close(code, reason)
    except (RuntimeError, WebSocketDisconnect) as error:  # it went first
        logger.debug("socket not closed: {}", error)


async def _show(socket: WebSocket, shown: LoginView) -> None:
    try:
        async with aclosing(shown.__aiter__()) as items:  # type: ignore[type-var]
            async for item in items:
                match item:
                    case Picture(data=data, width=width, height=height):
                        await socket.send_bytes(struct.pack(">HH", width, height) + data)
                    case Scene():
                        await socket.send_text(_json({"type": "scene", **dataclasses.asdict(item)}))
                    case Copied(text=text):
                        await socket.send_text(_json({"type": "copied", "text": text}))
    except RelayError as error:
        raise _Refused(error.message) from None


def _json(record: dict[str, object]) -> str:
    return json.dumps(record, ensure_ascii=True)


async def _read(socket: WebSocket, shown: LoginView) -> None:
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        if text is None:
            raise _Refused("Gestures are JSON in text messages.")
        try:
            gesture = read_gesture(text)
        except ValueError as error:
            raise _Refused(f"Not a gesture: {error}.") from None
        await shown.act(gesture)
