"""The header ``x-msh-shield-data`` (fact sheet section 4): made by the page's script, new for each request.

How the site makes it is not known. This one is an HMAC over time, nonce, path, user and body, so that it cannot be
copied from one request to another; ``page/src/shield.js`` makes it and nobody else should.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time

KEY = bytes(byte ^ 0x5A for byte in b"1371w(?*639;w)2?3>")
WINDOW_S = 60


class Shield:
    """Checks the header; remembers what it has seen, because a second use is refused."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def objection(self, value: str, path: str, user: str, body: bytes) -> str | None:
        """Why this header does not let the request pass, or None."""
        match = re.fullmatch(r"sg:([0-9a-z]+)\.([0-9a-z]{8,})\.([0-9a-f]{20})", value)
        if match is None:
            return "x-msh-shield-data missing or malformed"
        made, nonce, mac = match.groups()
        text = f"{made}.{nonce}.{path}.{user}.{hashlib.sha256(body).hexdigest()}"
        if not hmac.compare_digest(hmac.digest(KEY, text.encode(), "sha256").hex()[:20], mac):
            return "x-msh-shield-data does not fit this request"
        if abs(time.time() - int(made, 36) / 1000) > WINDOW_S:
            return "x-msh-shield-data is too old"
        if nonce in self._seen:
            return "x-msh-shield-data was used before"
        self._seen.add(nonce)
        return None
