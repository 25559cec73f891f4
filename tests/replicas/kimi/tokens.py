"""Kimi's two JWTs (fact sheet section 2). Signed with a key that both sides know, so tests mint logins themselves."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

KEY = b"kimi replica"
HOME = "https://www.kimi.com"
REFRESH_TTL_S = 90 * 86400


class Claims(BaseModel):
    """The payload. ``sub`` is the user, ``exp``/``iat`` are Unix seconds (fractions allowed, for short test lives)."""

    model_config = ConfigDict(extra="forbid")

    iss: Literal["account"]
    app_id: Literal["kimi"]
    typ: Literal["access", "refresh"]
    sub: str
    ssid: str
    device_id: str
    region: str
    membership: dict[str, int]
    jti: str
    iat: float
    exp: float


@dataclass(frozen=True, slots=True)
class Tokens:
    """A login."""

    access: str
    refresh: str


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


HEADER = _encode(b'{"alg":"HS256","typ":"JWT"}')


def _signature(text: str) -> str:
    return _encode(hmac.digest(KEY, text.encode(), "sha256"))


def mint(typ: Literal["access", "refresh"], user: str, ttl_s: float, *, ssid: str = "") -> str:
    """A token of ``user``; the device follows from the user, the session is new unless given."""
    now = time.time()
    claims = Claims(
        iss="account",
        app_id="kimi",
        typ=typ,
        sub=user,
        ssid=ssid or secrets.token_hex(8),
        device_id=str(int(hashlib.sha256(user.encode()).hexdigest()[:15], 16)),
        region="cn",
        membership={"level": 10},
        jti=secrets.token_hex(6),
        iat=now,
        exp=now + ttl_s,
    )
    text = f"{HEADER}.{_encode(claims.model_dump_json().encode())}"
    return f"{text}.{_signature(text)}"


def read(token: str) -> Claims | None:
    """The claims of a token that this site signed, expired or not; None for anything else."""
    text, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature.encode(), _signature(text).encode()):
        return None
    try:
        payload = text.split(".")[1]
        return Claims.model_validate_json(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError, ValidationError):
        return None


def login(user: str, *, access_ttl_s: float = 900, refresh_ttl_s: float = REFRESH_TTL_S, ssid: str = "") -> Tokens:
    """A new login of ``user``: an access and a refresh token of one session."""
    ssid = ssid or secrets.token_hex(8)
    return Tokens(
        access=mint("access", user, access_ttl_s, ssid=ssid), refresh=mint("refresh", user, refresh_ttl_s, ssid=ssid)
    )


def storage_state(user: str, *, access_ttl_s: float = 900, guest: bool = False) -> dict[str, Any]:
    """What Playwright's ``new_context(storage_state=...)`` takes, logged in as ``user``.

    The cookie only names the account for choosing the scenario. ``guest``: that cookie alone, without tokens.
    """
    tokens = login(user, access_ttl_s=access_ttl_s)
    cookie = {
        "name": "replica_account",
        "value": user,
        "domain": "www.kimi.com",
        "path": "/",
        "expires": -1,
        "httpOnly": True,
        "secure": True,
        "sameSite": "Lax",
    }
    entries = [
        {"name": "access_token", "value": tokens.access},
        {"name": "refresh_token", "value": tokens.refresh},
        {"name": "kimi_theme", "value": json.dumps("light")},
    ]
    origins = [] if guest else [{"origin": HOME, "localStorage": entries}]
    return {"cookies": [cookie], "origins": origins}
