"""How the site has come to treat a user: for tests of what becomes of a login. Set by `POST /api/fate` {user, fate}.

| fate | what the site does |
|---|---|
| `expired` | 401 `not_logged_in` |
| `guest` | `GET /api/me` says `guest: true`; the rest is 403 `guest` |
| `challenge` | 403, a page that asks whether it is a person |
| `banned` | 403 `account_banned` |
| `down` | 503 with `Retry-After` |
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel
from starlette.responses import HTMLResponse, Response

from relay.demo.http import ApiError

REPAIR_S = 60
Fate = Literal["", "expired", "guest", "challenge", "banned", "down"]

_CHALLENGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>One moment</title></head>
<body><main id="challenge"><h1>Are you a person?</h1><p>This page only pretends to ask.</p></main></body></html>
"""


class FateBody(BaseModel):
    """`POST /api/fate`; an empty fate is none."""

    user: str
    fate: Fate


class Challenged(Exception):
    """The page of `challenge_page` is all that the user gets."""


def challenge_page() -> Response:
    """A challenge, as real sites put it in the place of any answer."""
    return HTMLResponse(_CHALLENGE, status_code=403)


class Fates:
    """By user."""

    def __init__(self) -> None:
        self._fates: dict[str, Fate] = {}

    def __repr__(self) -> str:
        return f"<Fates {self._fates}>"

    def set(self, body: FateBody) -> None:
        """From now on."""
        self._fates[body.user] = body.fate

    def is_guest(self, user: str) -> bool:
        """Whether the site treats the user as a guest."""
        return self._fates.get(user) == "guest"

    def meet(self, user: str, *, guests: bool = False) -> None:
        """Let a request of the user pass, or raise ApiError or Challenged; a guest passes where `guests` may."""
        match self._fates.get(user, ""):
            case "expired":
                raise ApiError(401, "not_logged_in", "Your session has ended. Log in again.")
            case "guest" if not guests:
                raise ApiError(403, "guest", "Guests cannot do this. Log in.")
            case "challenge":
                raise Challenged
            case "banned":
                raise ApiError(403, "account_banned", "This account was closed. Write to our support.")
            case "down":
                raise ApiError(503, "unavailable", "We are being repaired.", {"retry-after": str(REPAIR_S)})
