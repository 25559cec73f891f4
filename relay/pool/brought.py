"""The tokens that a request brings, by their hashes, and what sites said of tokens. No token is in here."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

REMEMBER_S = 600.0
"""How long the site's word on a token is believed without asking again."""
MAX_REMEMBERED = 10_000
SHOWN = 10
"""Tokens of a request that an error names one by one."""

FATES = {
    "expired": "has expired",
    "guest": "is only a guest's",
    "banned": "is of an account that the site has closed",
    "challenge": "must first pass a challenge in its owner's browser",
}
"""Reasons for which a token serves no request, in words."""


def fate(reasons: Sequence[str]) -> str:
    """Which tokens of a request do not live, and why: `Token 1 of 2 has expired, token 2 of 2 is only a guest's`."""
    if len(reasons) == 1:
        return f"The token {FATES[reasons[0]]}"
    told = [f"token {n} of {len(reasons)} {FATES[reason]}" for n, reason in enumerate(reasons[:SHOWN], 1)]
    more = f", and {len(reasons) - SHOWN} more do not live" if len(reasons) > SHOWN else ""
    return f"T{', '.join(told)[1:]}{more}"


@dataclass(frozen=True, slots=True)
class Brought:
    """The tokens of one request, as the pool knows them."""

    site: str
    digests: tuple[bytes, ...]
    """In the caller's order."""
    accounts: tuple[str, ...]
    """Those that may serve it, without the site's name."""

    @property
    def names(self) -> str:
        """For `accounts_of`."""
        return ",".join(self.accounts)


class Verdicts:
    """What sites said of tokens: "" for a live one, else a key of FATES. Each is believed for REMEMBER_S."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Verdicts {len(self._said)}>"

    def note(self, digest: bytes, reason: str) -> None:
        """The newest word on a token."""
        self._said[digest] = reason, self._clock() + REMEMBER_S
        self._said.move_to_end(digest)
        while len(self._said) > MAX_REMEMBERED:
            self._said.popitem(last=False)

    def on(self, digest: bytes) -> str | None:
        """The last word that is still believed."""
        reason, until = self._said.get(digest, ("", 0.0))
        return reason if until > self._clock() else None
