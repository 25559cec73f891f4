"""Who may come in (fact sheet sections 2 and 9): every call of the API passes here first."""

from __future__ import annotations

import re
import time

from tests.replicas.chatgpt import refusals, tokens
from tests.replicas.exchange import Exchange, Refused

API = r"/backend-(?P<base>api|anon)"
PRIVATE = r"/backend-(?P<base>api)"
"""What anonymous visitors have no part in."""


def account(exchange: Exchange) -> str:
    """Whose request it is, for choosing the scenario: by Bearer, by session cookie, be they expired, or by name."""
    claims = tokens.read("access", exchange.header("authorization").removeprefix("Bearer "))
    claims = claims or tokens.read("session", tokens.session_of(exchange.request.cookies))
    return claims.sub if claims else exchange.request.cookies.get("replica_account", "")


def caller(exchange: Exchange, match: re.Match[str]) -> str:
    """The user of a call to the API; of an anonymous one, the device's account. Raises Refused (401, 403)."""
    if match["base"] == "anon":
        if exchange.header("authorization"):
            raise Refused(401, "a Bearer token on /backend-anon", refusals.EXPIRED)
        device = exchange.header("oai-device-id")
        if not device:
            raise Refused(403, "no OAI-Device-Id", refusals.UNUSUAL)
        return exchange.record.account or device
    scheme, _, token = exchange.header("authorization").partition(" ")
    claims = tokens.valid("access", token) if scheme == "Bearer" else None
    if claims is None:
        raise Refused(401, "no valid Bearer token", refusals.EXPIRED)
    match exchange.scenario.login:
        case "dead" | "guest":
            raise Refused(401, f"scenario: {exchange.scenario.login}", refusals.EXPIRED)
        case "banned":
            raise Refused(403, "scenario: banned", refusals.BANNED)
    return claims.sub


def session(exchange: Exchange) -> dict[str, object]:
    """The body of ``GET /api/auth/session``: of a dead login ``{}``, or a session without a token."""
    claims = tokens.valid("session", tokens.session_of(exchange.request.cookies))
    if claims is None or exchange.scenario.login == "guest":
        return {}
    expires = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(claims.exp))
    body: dict[str, object] = {"user": profile(claims.sub), "expires": expires}
    if exchange.scenario.login != "dead":
        body["accessToken"] = tokens.access_token(claims.sub, ttl_s=exchange.scenario.access_ttl_s)
        body["authProvider"] = "auth0"
    return body


def profile(user: str) -> dict[str, str]:
    """What the site knows of a user."""
    return {"id": f"user-{user}", "name": user, "email": f"{user}@example.org"}


CHAT_HEADERS = {
    "accept": "text/event-stream",
    "oai-device-id": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "oai-session-id": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "oai-language": r"[a-z]{2}(-[A-Z]{2})?",
    "oai-client-version": r"prod-\w+",
    "oai-client-build-number": r"\d+",
    "x-oai-turn-trace-id": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
}


def check_chat_headers(exchange: Exchange) -> None:
    """The headers of section 4, step 5, but the tokens. Raises Refused (400)."""
    path = re.escape(exchange.record.path)
    for name, pattern in {**CHAT_HEADERS, "x-openai-target-path": path, "x-openai-target-route": path}.items():
        if not re.fullmatch(pattern, exchange.header(name)):
            raise Refused(400, f"{name}: {exchange.header(name)!r}", {"detail": f"bad header {name}"})
    device = exchange.request.cookies.get("oai-did")
    if device and device != exchange.header("oai-device-id"):
        raise Refused(400, "OAI-Device-Id is not the cookie oai-did", {"detail": "bad header oai-device-id"})


def sentinel_headers(exchange: Exchange) -> dict[str, str]:
    """The ``OpenAI-Sentinel-*`` headers, by the rest of their names; empty ones for those that are missing."""
    names = ("chat-requirements-token", "proof-token", "turnstile-token", "so-token")
    return {name: exchange.header(f"openai-sentinel-{name}") for name in names}
