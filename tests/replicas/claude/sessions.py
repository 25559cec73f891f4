"""Claude's login (fact sheet section 2): the cookie ``sessionKey``, and the ids that follow from an account's name.

Session keys are signed with a key that both sides know, so tests mint logins themselves.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

KEY = b"claude replica"
HOME = "https://claude.ai"
DOMAIN = ".claude.ai"
COOKIE_LIFE_S = 28 * 86400
"""How long a browser keeps the cookie; the session behind it may end earlier."""
SESSION_KEY = re.compile(r"sk-ant-sid0[12]-(?P<payload>[\w-]+)-(?P<signature>[\w-]{43})")


class Claims(BaseModel):
    """What a session key says: the account, its session, and when it ends (Unix seconds)."""

    model_config = ConfigDict(extra="forbid")

    sub: str
    session: str
    exp: float


def made_uuid(*words: str) -> str:
    """A version 4 UUID that follows from ``words``."""
    return str(UUID(bytes=hashlib.sha256("\0".join(words).encode()).digest()[:16], version=4))


def organization(account: str) -> str:
    """The organization in which ``account`` chats."""
    return made_uuid(account, "chat organization")


def api_organization(account: str) -> str:
    """The other organization of ``account``: it pays for the developer API and cannot chat."""
    return made_uuid(account, "api organization")


def device_id(account: str) -> str:
    """The value of the cookie ``anthropic-device-id``."""
    return made_uuid(account, "device")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _signature(payload: str) -> str:
    return _encode(hmac.digest(KEY, payload.encode(), "sha256"))


def session_key(account: str, ttl_s: float = 900, *, session: str = "", kind: str = "sid01") -> str:
    """A session key of ``account`` that lives for ``ttl_s``; of a new session unless one is given."""
    claims = Claims(sub=account, session=session or secrets.token_hex(8), exp=time.time() + ttl_s)
    payload = _encode(claims.model_dump_json().encode())
    return f"sk-ant-{kind}-{payload}-{_signature(payload)}"


def read(key: str) -> Claims | None:
    """The claims of a session key that this site gave out, expired or not; None for anything else."""
    match = SESSION_KEY.fullmatch(key)
    if match is None or not hmac.compare_digest(match["signature"].encode(), _signature(match["payload"]).encode()):
        return None
    payload = match["payload"]
    try:
        return Claims.model_validate_json(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, ValidationError):
        return None


def set_cookie(claims: Claims, ttl_s: float) -> dict[str, str]:
    """The header by which the cookie slides: a new key of the same session that lives for ``ttl_s``."""
    fresh = session_key(claims.sub, ttl_s, session=claims.session, kind="sid02")
    attributes = f"Domain={DOMAIN}; Path=/; Max-Age={COOKIE_LIFE_S}; HttpOnly; Secure; SameSite=Lax"
    return {"set-cookie": f"sessionKey={fresh}; {attributes}"}


def storage_state(account: str, *, ttl_s: float = 900, guest: bool = False) -> dict[str, Any]:
    """What Playwright's ``new_context(storage_state=...)`` takes, logged in as ``account``.

    ``guest``: without a login; one cookie only names the account for choosing the scenario.
    """

    def cookie(name: str, value: str, *, http_only: bool = False) -> dict[str, Any]:
        return {
            "name": name,
            "value": value,
            "domain": DOMAIN,
            "path": "/",
            "expires": time.time() + COOKIE_LIFE_S,
            "httpOnly": http_only,
            "secure": True,
            "sameSite": "Lax",
        }

    if guest:
        return {"cookies": [cookie("replica_account", account, http_only=True)], "origins": []}
    cookies = [
        cookie("sessionKey", session_key(account, ttl_s), http_only=True),
        cookie("lastActiveOrg", organization(account)),
        cookie("anthropic-device-id", device_id(account)),
        cookie("activitySessionId", made_uuid(account, "activity")),
    ]
    return {"cookies": cookies, "origins": []}
