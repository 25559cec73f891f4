"""Logins: signed cookies, so that a session survives a restart with the same secret."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time

COOKIE = "relay_demo_session"
LIFETIME_S = 30 * 24 * 3600


def _sign(secret: str, payload: str) -> str:
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def session_cookie(secret: str, user: str, now_s: float | None = None) -> tuple[str, str]:
    """(cookie name, value) that logs `user` in where the `secret` is the same, for 30 days from `now_s` (Unix s)."""
    expires_s = int(time.time() if now_s is None else now_s) + LIFETIME_S
    claims = json.dumps({"user": user, "expires": expires_s}, separators=(",", ":"))
    payload = base64.urlsafe_b64encode(claims.encode()).decode().rstrip("=")
    return COOKIE, f"{payload}.{_sign(secret, payload)}"


class Sessions:
    """Checks logins and cookies. A logged-out cookie is dead until the site restarts; so is one of an unknown user."""

    def __init__(self, secret: str, accounts: dict[str, str]) -> None:
        self._secret = secret
        self._accounts = dict(accounts)
        self._ended: set[str] = set()

    def __repr__(self) -> str:
        return f"<Sessions accounts={len(self._accounts)} ended={len(self._ended)}>"

    def log_in(self, user: str, password: str) -> str | None:
        """The cookie's value, or None if the password is wrong."""
        expected = self._accounts.get(user)
        if expected is None or not hmac.compare_digest(expected.encode(), password.encode()):
            return None
        return session_cookie(self._secret, user)[1]

    def log_out(self, cookie: str) -> None:
        """From now on `cookie` is dead; one that never lived is not remembered."""
        if self.user_of(cookie) is not None:
            self._ended.add(cookie)

    def user_of(self, cookie: str | None) -> str | None:
        """Whose live session it is, or None."""
        if not cookie or cookie in self._ended:
            return None
        payload, _, signature = cookie.partition(".")
        if not hmac.compare_digest(_sign(self._secret, payload).encode(), signature.encode()):
            return None
        try:
            claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        except (binascii.Error, ValueError):
            return None
        user: str = claims["user"]
        return user if user in self._accounts and claims["expires"] > time.time() else None
