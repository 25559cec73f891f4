"""Who calls: API keys, compared in constant time. Without keys every caller is the owner."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from relay.errors import Unauthorized

LOCAL = "local"
"""The caller where no keys are configured."""


class Keys:
    """The configured API keys, by their hashes."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._digests = [_digest(key) for key in keys if key]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __repr__(self) -> str:
        return f"<Keys {len(self._digests)}>"

    def caller(self, presented: str) -> str:
        """The id of the key's holder, `local` without keys. Raises Unauthorized."""
        if not self._digests:
            return LOCAL
        digest = _digest(presented)
        # All are compared, so that the time tells nothing of which one it was.
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if not presented or not any(matches):
            raise Unauthorized(
                "A valid API key is needed: send it as 'Authorization: Bearer <key>'. "
                "Keys are set with RELAY_API_KEYS on the server."
            )
        return f"key-{digest.hex()[:12]}"


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def presented_key(request: Request) -> str:
    """The Bearer token, else `x-api-key`; empty where there is none."""
    scheme, _, token = request.headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("x-api-key", "").strip()


async def require_caller(request: Request) -> str:
    """The caller's id. Raises Unauthorized."""
    keys: Keys = request.app.state.keys
    return keys.caller(presented_key(request))


Caller = Annotated[str, Depends(require_caller)]
SHOWN_IN_DOCS = Depends(HTTPBearer(auto_error=False, description="a relay API key, where keys are configured"))
"""A router dependency that gives `/docs` its box for the key; `Caller` is what checks."""
