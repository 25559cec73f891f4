"""Site tokens that callers bring themselves: a throw-away account for each, in memory only."""

from __future__ import annotations

from relay.settings import Settings


class SiteTokens:
    """Implements `face.Tokens`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def check(self, token: str, site: str) -> bool:
        raise NotImplementedError
