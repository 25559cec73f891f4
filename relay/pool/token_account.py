"""A throw-away account: one site token that a caller brought, its login in memory only."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from relay.browser.cdp import CdpError
from relay.browser.chromium import Chromium, Context, State
from relay.browser.world import PageException
from relay.errors import BrowserFault, LoginNeeded
from relay.pool.account import Account
from relay.pool.account import State as AccountState
from relay.pool.browsers import Browsers
from relay.pool.measures import PageEvent
from relay.pool.pacing import Limits, Pace
from relay.pool.pages import Pages
from relay.pool.profiles import Profile
from relay.pool.store import Store
from relay.settings import Settings
from relay.sites.base import Login, Site, SiteConfig
from relay.sites.registry import site_class

ADOPT_S = 30.0
TRY_S = 90.0


@dataclass(frozen=True, slots=True)
class TokenProfile(Profile):
    """A profile without files. Its folder is only a name."""

    kept: list[bytes] = field(default_factory=list, repr=False, compare=False)
    """The state, once there is one: what the site's page has made of the token since."""

    def stamp(self) -> int:
        """Nobody else writes it."""
        return 0

    def load(self) -> Mapping[str, Any] | None:
        """The state as it was saved last."""
        return json.loads(self.kept[0]) if self.kept else None

    def save(self, state: Mapping[str, Any]) -> None:
        """Keep the state, as bytes: smaller than objects, and nobody changes them."""
        self.kept[:] = [json.dumps(state).encode("ascii")]

    @property
    def size_bytes(self) -> int:
        """Of the state."""
        return len(self.kept[0]) if self.kept else 0


@dataclass(eq=False, repr=False)
class TokenAccount(Account):
    """An ordinary account otherwise."""

    digest: bytes = b""
    """The token's, under a key of this process."""
    used_at: float = 0.0
    """When it was made, or its last chat ended (monotonic seconds). What is only a chore is no use."""
    _chatting: bool = False

    @classmethod
    def made(
        cls,
        profile: TokenProfile,
        digest: bytes,
        token: str,
        base_url: str,
        *,
        settings: Settings,
        browsers: Browsers,
        store: Store,
        on_page: Callable[[PageEvent, str], None],
    ) -> TokenAccount:
        """The account of a token; its first page opens in a context that the token logs in, or the saved state."""
        kind = site_class(profile.site)
        site = kind(SiteConfig(profile.account, base_url, settings.home / "sites"))

        async def adopt(context: Context) -> None:
            try:
                async with asyncio.timeout(ADOPT_S):
                    await site.adopt(context, token)
            except TimeoutError:
                raise BrowserFault(f"A token could not be put into the browser within {ADOPT_S:g} s.") from None
            except LoginNeeded as error:
                account.park(AccountState.LOGIN_NEEDED, error.message, "expired")
                raise

        pages = Pages(profile, site, browsers, {}, lambda why: account.spoil(why), on_page, adopt)
        account = cls(
            profile,
            site,
            kind.concurrency,
            pages,
            Pace(Limits()),
            store,
            profile.lock(),  # never taken: there is no folder
            login_hint="Bring a new token.",
            models=tuple(kind.models),
            checked_at=time.monotonic(),
            digest=digest,
            used_at=time.monotonic(),
        )
        return account

    def started(self, model: str) -> None:
        self._chatting = True
        super().started(model)

    def ended(self) -> None:
        super().ended()
        if self._chatting:
            self.used_at = time.monotonic()
            self._chatting = self.running > 0


async def adopted_state(
    site: Site, token: str, browser: Chromium, options: Mapping[str, object]
) -> tuple[Login, State]:
    """What the site says of a pasted token, and the state that a context has after it was adopted and asked about.

    `options` are Playwright's for the context (proxy, locale, timezone_id). The state is worth keeping only where the
    login is live. Raises BadRequest where the site has no such token, LoginNeeded where it refuses this one at once,
    SiteUnavailable, BrowserFault.
    """
    context = await browser.context(None, **options)
    try:
        async with asyncio.timeout(TRY_S):
            await site.adopt(context, token)
            tab = await context.tab()
            await site.open(tab)
            login = await site.probe(tab)
            return login, await context.state()
    except TimeoutError:
        raise BrowserFault(f"{site.name} did not show within {TRY_S:g} s whether the token lives.") from None
    except (CdpError, PageException) as error:
        raise BrowserFault(f"The token could not be tried ({error}).") from None
    finally:
        await context.close()
