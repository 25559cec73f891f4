"""Errors as HTTP answers: always `{"error": {"message", "type", "param", "code"}}`, never `detail`, never 422.

Where clients of Anthropic's API call, its own shape: `anthropic.error_body`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from loguru import logger
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from relay.api.anthropic.error_body import error_body, is_spoken_at
from relay.errors import BadRequest, QueueFull, RelayError, Unauthorized

PART = "part:"
"""Begins the tags of unions in our models, so that they can be left out of the path of a wrong value."""
_DEFAULT_WAIT_S = 60.0
_QUEUE_WAIT_S = 5.0
_MAX_SDK_WAIT_S = 120.0
"""OpenAI's SDKs obey longer waits with a short back-off of their own: better that they do not retry at all."""


def body_of(error: RelayError) -> dict[str, dict[str, str | None]]:
    """The JSON body of an error."""
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


def headers_of(error: RelayError) -> dict[str, str]:
    """When to try again, and whether to."""
    headers: dict[str, str] = {}
    wait_s = error.retry_after_s
    if wait_s is None and error.status == 429:
        wait_s = _QUEUE_WAIT_S if isinstance(error, QueueFull) else _DEFAULT_WAIT_S
    if wait_s is not None:
        wait_s = max(wait_s, 0.0)
        headers["retry-after"] = str(math.ceil(wait_s))
        headers["retry-after-ms"] = str(math.ceil(wait_s * 1000))
    if not error.retryable or (wait_s or 0) > _MAX_SDK_WAIT_S:
        headers["x-should-retry"] = "false"
    if isinstance(error, Unauthorized):
        headers["www-authenticate"] = "Bearer"
    return headers


def response_of(error: RelayError, scope: Scope | None = None) -> Response:
    """The whole answer, in the words of the API that the request of `scope` was for."""
    return _response(error.status, body_of(error), headers_of(error), scope)


def _response(status: int, body: dict[str, Any], headers: Mapping[str, str], scope: Scope | None) -> Response:
    if scope is not None and is_spoken_at(scope["path"]):
        said = body["error"]
        body = error_body(status, said["message"], said["code"], scope["state"]["request_id"])
    content = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
    return Response(content, status, headers, media_type="application/json")


def param_path(location: tuple[int | str, ...]) -> str | None:
    """A validator's location as OpenAI spells it: `messages[0].content[1].text`."""
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        elif not step.startswith(PART):
            path += f".{step}" if path else step
    return path or None


def bad_request(errors: list[Any]) -> BadRequest:
    """The first fault that a validator found. Its message never repeats the input: that may be a prompt."""
    first = errors[0]
    param = param_path(tuple(first["loc"]))
    said = str(first["msg"]).removeprefix("Value error, ")
    return BadRequest(f"{param}: {said}" if param else said, param=param)


def invalid(error: ValidationError) -> BadRequest:
    """What pydantic refused."""
    return bad_request(list(error.errors(include_url=False, include_input=False)))


def install(app: FastAPI) -> None:
    """Give every expected exception its answer; the gate catches the others."""
    app.add_exception_handler(RelayError, _on_relay_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_relay_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RelayError)
    log = logger.warning if error.status >= 500 else logger.info
    told = error.message[:300] if error.status >= 500 and not error.quotes else error.param or "-"
    log("{} {}: {}", error.status, error.code, told)
    return response_of(error, request.scope)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    places = [{**fault, "loc": fault["loc"][1:]} for fault in error.errors()]  # without "query", "body"...
    return response_of(bad_request(places), request.scope)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """The framework's own refusals: no such route, wrong method."""
    assert isinstance(error, HTTPException)
    where = f"{request.method} {request.url.path[:200]}"
    code, message = {
        404: ("unknown_url", f"There is no route {where}. GET /docs lists the routes."),
        405: ("method_not_allowed", f"{where}: the route does not take this method."),
    }.get(error.status_code, ("invalid_request", str(error.detail)))
    body = {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}
    return _response(error.status_code, body, {"x-should-retry": "false", **(error.headers or {})}, request.scope)


def crash_response(scope: Scope) -> Response:
    """The answer to an unexpected exception: nothing of it is told."""
    return response_of(RelayError("relay failed unexpectedly; its log says more under this request id."), scope)
