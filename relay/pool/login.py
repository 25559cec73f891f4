"""Logging in by hand: the site's login page in a browser, watched until the site says that the login lives.

Shared by the window on a display (`relay login`) and by the remote login.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from loguru import logger

from relay.browser.cdp import CdpError
from relay.browser.chromium import Chromium, Context
from relay.browser.tab import Tab
from relay.browser.windows import DialogListener, Windows, leave_to_person
from relay.browser.world import PageException
from relay.errors import BadRequest, BrowserFault, LoginNeeded, RelayError, TotalTimeout
from relay.pool.profiles import MAX_STATE_BYTES, Profile
from relay.private import read_private
from relay.settings import LoginSettings
from relay.sites.base import Login, LoginState, Site

LOOK_S = 0.5
"""How often the cookies are looked at: Chromium tells nobody of a change."""
QUIET_S = 1.0
FALLBACK_S = 20.0
"""A login that shows in neither cookies nor storage (IndexedDB, the site's own word) is found after this long."""
DOUBT_S = 3.0
PROBE_S = 60.0


@dataclass(slots=True)
class Rhythm:
    """When to ask the site (monotonic seconds): once what the browser keeps has changed and then been quiet for a
    moment, and now and then anyway.

    A probe's own page changes cookies too. So a change during a probe leads to another one only after a while, and
    after a longer one each time in a row.
    """

    ended_at: float
    """When the last probe ended (at first: when the page was opened)."""
    changed_at: float | None = None
    """The last change since then."""
    probing: bool = False
    doubts: int = 0
    """Probes in a row during which something changed."""
    _doubtful: bool = False

    def change(self, now: float) -> None:
        """Cookies or storage have changed."""
        if self.probing:
            self._doubtful = True
        else:
            self.changed_at, self.doubts = now, 0

    def begin(self) -> None:
        """A probe begins."""
        self.probing, self._doubtful, self.changed_at = True, False, None

    def end(self, now: float) -> None:
        """A probe is over, its page closed."""
        self.probing, self.ended_at = False, now
        self.doubts = self.doubts + 1 if self._doubtful else 0

    def due(self) -> float:
        """When the next probe is due."""
        latest = self.ended_at + FALLBACK_S
        if self.changed_at is not None:
            return min(self.changed_at + QUIET_S, latest)
        return min(self.ended_at + DOUBT_S * 2 ** (self.doubts - 1), latest) if self.doubts else latest


class LoginWatch:
    """`async with LoginWatch(...) as watch:` opens the login page in `watch.tab`; `await watch.live()` does the rest.

    The page is the person's: nothing of ours touches it. The site is asked from a page of its own, in the background.
    """

    context: Context
    windows: Windows
    """The person's pages."""
    tab: Tab
    """The first of them."""

    def __init__(
        self,
        profile: Profile,
        site: Site,
        chromium: Chromium,
        options: Mapping[str, object],
        settings: LoginSettings,
        *,
        on_dialog: DialogListener = leave_to_person,
    ) -> None:
        """Whoever calls holds the account's lock. `options` are Playwright's for the context: those of
        `AccountFile.context_options`, and what the window needs. `on_dialog`: see Windows."""
        self.profile = profile
        self.site = site
        self.chromium = chromium
        self.last: Login | None = None
        """What the newest probe found."""
        self.probes = 0
        self._options = dict(options)
        self._total_s = settings.total_s
        self._on_dialog = on_dialog
        self._rhythm = Rhythm(0)
        self._cookies = b""

    def __repr__(self) -> str:
        found = self.last.state.value if self.last else "not asked yet"
        return f"<LoginWatch {self.profile.site}/{self.profile.account} probes={self.probes} {found}>"

    async def __aenter__(self) -> Self:
        """Raises BadRequest where the login could not be saved afterwards, BrowserFault, SiteUnavailable."""
        self.context = await self._open_context()
        self.windows = Windows(self.context, self._on_dialog)
        try:
            self.tab = await self.windows.open()
            await self.tab.goto(self.site.login_page)
            self._cookies = await self.context.cookies_digest()
        except BaseException:
            await self._close()
            raise
        self._rhythm = Rhythm(time.monotonic(), changed_at=time.monotonic())
        self.windows.on_storage = lambda: self._rhythm.change(time.monotonic())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        self.windows.leave()
        await self.context.close()

    async def _open_context(self) -> Context:
        state = saved_state(self.profile)
        try:
            return await self.chromium.context(state, **self._options)
        except BrowserFault as error:
            if state is None or not self.chromium.alive:
                raise
            logger.info("{}: logging in without the saved state: {}", self.profile.folder, error.message)
            return await self.chromium.context(None, **self._options)

    async def live(self) -> Login:
        """The login, once the site says that it lives and the state is saved.

        Raises LoginNeeded when the person gave up (no page is open any more), TotalTimeout, BrowserFault when browser
        or page died, BadRequest when the state cannot be saved.
        """
        try:
            async with asyncio.timeout(self._total_s):
                over = False
                while not over:
                    over = await self._until_due()
                    login = await self._probe()
                    if login is not None and login.state is LoginState.LIVE:
                        await self._save()
                        return login
        except TimeoutError:
            raise TotalTimeout(f"Nobody had logged in after {self._total_s:g} s (RELAY_LOGIN__TOTAL_S).") from None
        await self._raise_if_dead()
        raise LoginNeeded("The login was given up: its window was closed before the site knew the login.")

    async def _until_due(self) -> bool:
        """Wait for the next probe's time. True where it is the last: the person has closed the window."""
        while True:
            try:
                await self._look()
            except BrowserFault:
                await self._raise_if_dead()
                raise
            if self.windows.gone.is_set():
                await self._raise_if_dead()
                return True
            left_s = self._rhythm.due() - time.monotonic()
            if left_s <= 0:
                return False
            with suppress(TimeoutError):
                await asyncio.wait_for(self.windows.gone.wait(), min(left_s, LOOK_S))

    async def _look(self) -> None:
        digest = await self.context.cookies_digest()
        if digest != self._cookies:
            self._cookies = digest
            self._rhythm.change(time.monotonic())

    async def _raise_if_dead(self) -> None:
        await self.chromium.check()  # when a browser dies, its pages are told to be closed first
        if not self.chromium.alive:
            raise BrowserFault("The browser died under the login. Begin again.")
        if self.windows.crashed and self.windows.gone.is_set():
            raise BrowserFault("The login page's renderer crashed. Begin again.")

    async def _probe(self) -> Login | None:
        """Ask the site, from a page of our own. None where it could not be asked."""
        self._rhythm.begin()
        self.probes += 1
        try:
            async with asyncio.timeout(PROBE_S):
                tab = await self.context.tab(behind=self.windows.tabs[0] if self.windows.tabs else None)
                try:
                    await self.site.open(tab)
                    self.last = await self.site.probe(tab)
                finally:
                    await tab.close()
        except (RelayError, CdpError, PageException, TimeoutError) as error:
            logger.debug("{}: the site could not be asked: {}", self, error or type(error).__name__)
            return None
        else:
            return self.last
        finally:
            with suppress(BrowserFault):
                await self._look()
            self._rhythm.end(time.monotonic())

    async def _save(self) -> None:
        try:
            self.profile.save(await self.context.state())
        except OSError as error:
            raise BadRequest(
                f"The login could not be saved in {self.profile.folder} ({error.strerror or error})."
            ) from None


def saved_state(profile: Profile) -> Mapping[str, Any] | None:
    """The account's state, or None where there is none or it is damaged.

    Raises BadRequest where it is encrypted under a key that we have not: what is logged in could not be saved.
    """
    try:
        return profile.load()
    except BadRequest as error:
        sealed = read_private(profile.sealed_file, MAX_STATE_BYTES)
        if sealed is not None:
            if profile.keys is None:
                raise
            profile.keys.key_of(sealed, profile.sealed_file)
        logger.info("logging in without the saved state: {}", error.message)
        return None
