"""How Claude refuses (fact sheet sections 2 and 9)."""

from __future__ import annotations

from typing import Any

from tests.replicas.exchange import Refused

INVALID = "invalid_request_error"


def error(kind: str, message: str, **details: Any) -> dict[str, Any]:
    """The site's error object."""
    return {"type": "error", "error": {"type": kind, "message": message, **({"details": details} if details else {})}}


def bad(why: str) -> Refused:
    """400: the request is not what the site takes."""
    return Refused(400, why, error(INVALID, why))


def missing(why: str) -> Refused:
    """404: the account has no such thing."""
    return Refused(404, why, error("not_found_error", why))


def unauthorized(why: str) -> Refused:
    """403: a login that is none."""
    return Refused(403, why, error("permission_error", "Invalid authorization"))


def expired(why: str) -> Refused:
    """401: a login that was one."""
    return Refused(401, why, error("authentication_error", "Your session has expired"))


def disabled(why: str) -> Refused:
    """400: the account is closed."""
    return Refused(400, why, error(INVALID, "This organization has been disabled."))


def unavailable(model: str) -> Refused:
    """403: the plan does not hold this model."""
    text = f"The model {model} is not available on your plan."
    return Refused(403, text, error("permission_error", text, error_code="model_not_available"))
