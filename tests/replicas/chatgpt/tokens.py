"""ChatGPT's tokens (fact sheet section 2). Signed with a key that both sides know, so tests mint logins themselves.

The login is the session cookie, shaped like a JWE; ``/api/auth/session`` trades it for an access JWT. Conduit, resume
and socket tokens are JWTs too, each good for one purpose only.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
import uuid
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

KEY = b"chatgpt replica"
HOME = "https://chatgpt.com"
COOKIE = "__Secure-next-auth.session-token"
DOMAIN = ".chatgpt.com"
PART_CHARS = 3900
"""Of a cookie's value: browsers refuse more than 4096 bytes with the name."""

Purpose = Literal["session", "access", "conduit", "resume", "socket"]


class Claims(BaseModel):
    """What a token says. ``exp``/``iat`` are Unix seconds (fractions allowed, for short test lives)."""

    model_config = ConfigDict(extra="forbid")

    typ: Purpose
    sub: str
    jti: str
    iat: float
    exp: float
    about: dict[str, str] = {}
    """What a conduit or resume token is bound to."""
    padding: str = ""


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


JWT_HEADER = _encode(b'{"alg":"RS256","typ":"JWT"}')
JWE_HEADER = _encode(b'{"alg":"dir","enc":"A256GCM"}')


def _signature(text: str) -> str:
    return _encode(hmac.digest(KEY, text.encode(), "sha256"))


def mint(typ: Purpose, user: str, ttl_s: float, *, about: dict[str, str] | None = None, padding: str = "") -> str:
    """A new token of ``user``."""
    now = time.time()
    claims = Claims(
        typ=typ,
        sub=user,
        jti=secrets.token_hex(6),
        iat=now,
        exp=now + ttl_s,
        about=about or {},
        padding=padding,
    )
    payload = _encode(claims.model_dump_json(exclude_defaults=True).encode())
    text = f"{JWE_HEADER}..{secrets.token_hex(8)}.{payload}" if typ == "session" else f"{JWT_HEADER}.{payload}"
    return f"{text}.{_signature(text)}"


def read(typ: Purpose, token: str) -> Claims | None:
    """The claims of a ``typ`` token that this site signed, expired or not; None for anything else."""
    text, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(text).encode()):
        return None
    try:
        claims = Claims.model_validate_json(_decode(text.split(".")[-1]))
    except (ValueError, ValidationError):
        return None
    return claims if claims.typ == typ else None


def valid(typ: Purpose, token: str) -> Claims | None:
    """The same, but only while it lives."""
    claims = read(typ, token)
    return claims if claims and claims.exp > time.time() else None


def session_token(user: str, *, ttl_s: float = 900, long: bool = False) -> str:
    """What a person would paste: the session cookie's value; ``long``: one that needs two cookies."""
    return mint("session", user, ttl_s, padding="=" * 3600 if long else "")


def access_token(user: str, *, ttl_s: float = 900) -> str:
    """The JWT of the API."""
    return mint("access", user, ttl_s)


def session_of(cookies: dict[str, str]) -> str:
    """The session token in a request's cookies, whole or in its parts ``.0``, ``.1``, ...; empty without one."""
    if whole := cookies.get(COOKIE):
        return whole
    parts: list[str] = []
    while (part := cookies.get(f"{COOKIE}.{len(parts)}")) is not None:
        parts.append(part)
    return "".join(parts)


def device_id(user: str) -> str:
    """The ``oai-did`` of a login's browser: it follows from the user."""
    return str(uuid.UUID(bytes=hashlib.sha256(user.encode()).digest()[:16], version=4))


def storage_state(user: str, *, ttl_s: float = 900, guest: bool = False, long: bool = False) -> dict[str, Any]:
    """What Playwright's ``new_context(storage_state=...)`` takes, logged in as ``user`` for ``ttl_s``.

    ``replica_account`` only names the account for choosing the scenario. ``guest``: without the session.
    """
    values = {"replica_account": user, "oai-did": device_id(user)}
    if not guest:
        token = session_token(user, ttl_s=ttl_s, long=long)
        parts = [token[at : at + PART_CHARS] for at in range(0, len(token), PART_CHARS)]
        values |= {COOKIE: token} if len(parts) == 1 else {f"{COOKIE}.{at}": part for at, part in enumerate(parts)}
    cookies = [
        {
            "name": name,
            "value": value,
            "domain": DOMAIN,
            "path": "/",
            "expires": -1,
            "httpOnly": name != "oai-did",
            "secure": True,
            "sameSite": "Lax",
        }
        for name, value in values.items()
    ]
    return {"cookies": cookies, "origins": []}
