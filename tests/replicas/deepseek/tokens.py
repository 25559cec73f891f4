"""DeepSeek's login (fact sheet section 2): one opaque token in localStorage. Any process of the tests can mint one."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

KEY = b"deepseek replica"
HOST = "chat.deepseek.com"
HOME = f"https://{HOST}"
NAME_BYTES = 28
"""Names up to this length give the site's own 64 characters; longer ones a longer token."""


@dataclass(frozen=True, slots=True)
class Login:
    """Whom a token names, and until when (Unix seconds) it lives."""

    user: str
    expires_s: float


def mint(user: str, ttl_s: float = 900) -> str:
    """A new token of ``user``: a signature, a nonce, the time of its end in ms, the name."""
    name = user.encode().ljust(NAME_BYTES, b"\0")
    name += b"\0" * ((1 - len(name)) % 3)  # base64 without padding
    end_ms = max(0, int((time.time() + ttl_s) * 1000))
    said = secrets.token_bytes(4) + end_ms.to_bytes(6, "big") + name
    return base64.b64encode(_signature(said) + said).decode()


def read(token: str) -> Login | None:
    """What a token of this site says, expired or not; None for anything else."""
    try:
        data = base64.b64decode(token, validate=True)
    except ValueError:
        return None
    signature, said = data[:10], data[10:]
    if len(said) < 10 + NAME_BYTES or not hmac.compare_digest(signature, _signature(said)):
        return None
    return Login(said[10:].rstrip(b"\0").decode(), int.from_bytes(said[4:10], "big") / 1000)


def storage_state(user: str, *, ttl_s: float = 900, guest: bool = False) -> dict[str, Any]:
    """What Playwright's ``new_context(storage_state=...)`` takes, logged in as ``user``.

    No cookie is proof of a login; ``replica_account`` only names the account for choosing the scenario.
    ``guest``: the cookies alone, without a token.
    """
    names = {"replica_account": user, "ds_session_id": secrets.token_hex(16), "HWWAFSESID": secrets.token_hex(9)}
    cookies = [
        {
            "name": name,
            "value": value,
            "domain": HOST,
            "path": "/",
            "expires": -1,
            "httpOnly": True,
            "secure": True,
            "sameSite": "Lax",
        }
        for name, value in names.items()
    ]
    entry = {"name": "userToken", "value": json.dumps({"value": mint(user, ttl_s), "__version": "0"})}
    return {"cookies": cookies, "origins": [] if guest else [{"origin": HOME, "localStorage": [entry]}]}


def _signature(said: bytes) -> bytes:
    return hmac.digest(KEY, said, "sha256")[:10]
