"""What the routes share: errors, bodies with a limit, security headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 32 * 1024 * 1024
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

Body = TypeVar("Body", bound=BaseModel)


class ApiError(Exception):
    """What a route answers instead: status, code, message."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers

    def response(self) -> JSONResponse:
        """As JSON."""
        return JSONResponse({"error": {"code": self.code, "message": self.message}}, self.status, self.headers)


async def read_body(request: Request) -> bytes:
    """The whole body. Raises ApiError 413 beyond `MAX_BODY_BYTES`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ApiError(413, "too_large", f"The limit is {MAX_BODY_BYTES} bytes.")
    return bytes(body)


async def read_json(request: Request, model: type[Body]) -> Body:
    """The body as `model`. Raises ApiError 400 with the first thing that is wrong."""
    if not request.headers.get("content-type", "").startswith("application/json"):
        # Other types can be sent by a foreign page's form without asking first.
        raise ApiError(415, "bad_request", "Send application/json.")
    try:
        return model.model_validate_json(await read_body(request))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise ApiError(400, "bad_request", f"{where}: {first['msg']}") from error


class SecurityHeaders:
    """ASGI middleware: the page's scripts, styles and connections are its own, nothing inline."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to every response."""

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["content-security-policy"] = CONTENT_SECURITY_POLICY
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "same-origin"
            await send(message)

        await self._app(scope, receive, secured if scope["type"] == "http" else send)
