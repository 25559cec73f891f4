"""Errors in Anthropic's words. Imports nothing of the API: `relay.api.errors` chooses between these and OpenAI's."""

from __future__ import annotations

import re
from typing import Any

_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_PATH = re.compile(r"/v1/messages(/.*)?", re.DOTALL)


def is_spoken_at(path: str) -> bool:
    """Whether a path's clients expect this shape."""
    return _PATH.fullmatch(path) is not None


def error_body(status: int, message: str, code: str | None, request_id: str) -> dict[str, Any]:
    """`{"type": "error", "error": {"type", "message"}, "request_id"}`; beside the message also relay's own `code`."""
    kind = _TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": message, "code": code}, "request_id": request_id}
