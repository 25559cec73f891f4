"""One remote login, from its address to its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from loguru import logger

from relay.browser.asked import Asked
from relay.browser.cdp import CdpError
from relay.browser.remote_input import RemoteInput
from relay.browser.screencast import Screencast, Size
from relay.browser.tab import Tab
from relay.browser.world import PageException
from relay.errors import LoginNeeded, RelayError
from relay.pool.account import Account
from relay.pool.browsers import Browsers
from relay.pool.face import Copied, Gesture, Scene
from relay.pool.login import LoginWatch
from relay.pool.owner import AccountOwner
from relay.settings import LoginSettings
from relay.sites.base import Login

if TYPE_CHECKING:
    from relay.pool.remote_view import RemoteView

OPENING = "The page is being opened."
RETURNING = "The site knows the login; the account goes back to work."
TITLES_S = 0.5
"""How often the titles of the windows are asked for while somebody looks."""


class RemoteSession:
    """Lent account, browser, and whoever looks. `run` is its life; views come and go meanwhile."""

    def __init__(
        self,
        account: Account,
        options: Mapping[str, object],
        settings: LoginSettings,
        browsers: Browsers,
        owner: AccountOwner,
    ) -> None:
        """The account is lent; `options` are Playwright's for its context."""
        self.account = account
        self.viewer = ""
        """Whose it is: the cookie of the first viewer."""
        self.view: RemoteView | None = None
        self.cast: Screencast | None = None
        self.stopping = ""
        """Why the relay ends it."""
        self.copied: Copied | None = None
        self.state: Literal["waiting", "live", "ended"] = "waiting"
        self.over = False
        """Whether nobody can log in there any more; `state` says how it ended a little later."""
        self._why = OPENING
        self._options = dict(options)
        self._settings = settings
        self._browsers = browsers
        self._owner = owner
        self._asked = Asked(self.wake)
        self._inputs: dict[Tab, RemoteInput] = {}
        self._size: Size | None = None
        self._news = asyncio.Event()
        self._viewed = asyncio.Event()
        self._abandoned: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._clock: asyncio.TimerHandle | None = None
        self._titles: list[str] = []
        self._titled_at = 0.0
        self._wait_for_viewer(settings.open_within_s, "Nobody opened the address")

    def __repr__(self) -> str:
        looked = "looked at" if self.view else "unseen"
        return f"<RemoteSession {self.account.name} {self.state} {looked} {self.cast} {self._asked}>"

    # its life

    async def run(self) -> None:
        """Until the login lives or is given up; then the account is at work again."""
        name = self.account.name
        state: Literal["live", "ended"] = "ended"
        try:
            login = await self._log_in()
            state, why = "live", login.label
        except RelayError as error:
            why = error.message
        except asyncio.CancelledError:
            self._finish("ended", self.stopping or "The login was stopped.")
            raise
        except Exception:
            logger.opt(exception=True).error("{}: the remote login failed", name)
            why = "The relay failed unexpectedly; its log says more."
        finally:
            self.over = True
            if self._clock is not None:
                self._clock.cancel()
            await self._asked.close()
        logger.info("{}: remote login {}{}", name, state, "" if state == "live" else f": {why}")
        await self._take_back()
        self._finish(state, why)

    async def _log_in(self) -> Login:
        opened = asyncio.create_task(self._viewed.wait())
        await self._first_of(opened)
        if not opened.done():
            opened.cancel()
            raise LoginNeeded(self._abandoned.result())
        account = self.account
        browser = await self._browsers.get(account.profile.site)
        with self._browsers.held(browser):
            async with LoginWatch(
                account.profile,
                account.site,
                browser,
                self._options,
                self._settings,
                on_dialog=self._asked.on_dialog,
            ) as watch:
                return await self._show(watch)

    async def _first_of(self, task: asyncio.Future[Any]) -> None:
        """Until the task is done, or the login is abandoned."""
        waited: set[asyncio.Future[Any]] = {task, self._abandoned}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)

    async def _show(self, watch: LoginWatch) -> Login:
        """Let the person log in there. Raises what ended it otherwise."""
        cast = self.cast = Screencast(watch.windows, resizable="viewport" not in self._options)
        self._why = ""
        if self._size is not None:
            cast.resize(self._size)
        if self.view is not None:
            cast.start()
        self._asked.attend(self.view is not None)
        self.wake()
        live = asyncio.create_task(watch.live())
        try:
            await self._first_of(live)
            if not live.done():
                raise LoginNeeded(self._abandoned.result())
            return live.result()
        finally:
            live.cancel()
            await asyncio.gather(live, return_exceptions=True)
            self.cast = None
            await cast.stop()
            cast.changed.set()  # whoever waits for a picture learns that there will be none

    async def _take_back(self) -> None:
        """The account goes back to work, with what is saved now, whatever that is."""
        self._why = RETURNING
        self.wake()
        try:
            await self._owner.take_back(self.account.name)
        except (RelayError, CdpError, PageException) as error:
            logger.warning("{} is back after a remote login, unchecked: {}", self.account.name, error)

    def _finish(self, state: Literal["live", "ended"], why: str) -> None:
        self.state, self._why = state, why
        self.wake()

    def _wait_for_viewer(self, most_s: float, why: str) -> None:
        self._clock = asyncio.get_running_loop().call_later(most_s, self.give_up, f"{why} for {most_s:g} s.")

    def give_up(self, why: str) -> None:
        """End it, unless it is over."""
        if not self._abandoned.done():
            self._abandoned.set_result(why)

    # who looks

    def attach(self, view: RemoteView) -> None:
        """Somebody looks: whoever looked before is told to leave."""
        self.viewer = view.viewer
        self.view = view
        if self._clock is not None:
            self._clock.cancel()
        self._viewed.set()
        if self.cast is not None:
            self._asked.attend(True)
            self.cast.start()
        self.wake()

    async def detach(self, view: RemoteView) -> None:
        """Nobody looks any more, unless another has taken over: the casting ends."""
        if self.view is not view:
            return
        self.view = None
        if self.over:
            return
        self._wait_for_viewer(self._settings.idle_s, "Nobody looked at the page")
        self._asked.attend(False)
        for tab, hands in self._inputs.items():
            if tab.fault is None:
                await hands.release()
        if self.cast is not None:
            await self.cast.stop()

    def wake(self) -> None:
        """There is something to tell."""
        self._news.set()
        if self.cast is not None:
            self.cast.changed.set()

    async def wait(self) -> None:
        """Until there is something to tell or to show, or the titles may have changed: no event tells of those."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self.cast.wait() if self.cast is not None else self._news.wait(), TITLES_S)
        self._news.clear()

    async def scene(self) -> Scene:
        """How it stands now."""
        cast = self.cast
        if cast is None:
            return Scene((), 0, state=self.state, why=self._why)
        tabs = list(cast.windows)
        self._asked.watch(tabs)
        if len(tabs) != len(self._titles) or time.monotonic() - self._titled_at >= TITLES_S:
            self._titles, self._titled_at = await cast.titles(), time.monotonic()
            self._inputs = {tab: hands for tab, hands in self._inputs.items() if tab in tabs}
        kind, question = self._asked.dialog
        shown = tabs.index(cast.tab) if cast.tab in tabs else 0
        return Scene(
            windows=tuple(self._titles),
            shown=shown,
            address=tabs[shown].url if tabs else "",
            chooser=self._asked.chooser,
            dialog=kind,
            question=question,
            state=self.state,
            why=self._why,
        )

    # what is done

    async def act(self, gesture: Gesture) -> None:
        """Do it in the window that is shown. One that the page has no place for any more is dropped."""
        if gesture.kind == "resize":
            self._size = Size(round(gesture.x), round(gesture.y), gesture.scale)
        cast = self.cast
        if cast is None or cast.tab is None:
            return
        try:
            await self._act(cast, cast.tab, gesture)
        except (RelayError, CdpError, PageException) as error:
            logger.debug("{}: {} came to nothing: {}", self.account.name, gesture.kind, error)

    async def _act(self, cast: Screencast, tab: Tab, gesture: Gesture) -> None:
        match gesture.kind:
            case "resize" if self._size is not None:
                cast.resize(self._size)
            case "show":
                cast.show(gesture.window)
            case "close_window":
                if 0 <= gesture.window < len(cast.windows) and len(cast.windows) > 1:
                    await cast.windows[gesture.window].close()
            case "files":
                await self._asked.give(gesture.files)
            case "cancel_files":
                self._asked.cancel_files()
            case "accept" | "dismiss":
                self._asked.answer(accept=gesture.kind == "accept", text=gesture.text)
            case _:
                await self._input(self._inputs.setdefault(tab, RemoteInput(tab)), gesture)

    async def _input(self, hands: RemoteInput, gesture: Gesture) -> None:
        x, y, modifiers = gesture.x, gesture.y, gesture.modifiers
        match gesture.kind:
            case "move" | "down" | "up" as kind:
                await hands.mouse(kind, x, y, button=gesture.button, clicks=gesture.clicks, modifiers=modifiers)
            case "wheel":
                await hands.wheel(x, y, gesture.dx, gesture.dy, modifiers)
            case "touch_start":
                await hands.touch("start", x, y, modifiers)
            case "touch_move":
                await hands.touch("move", x, y, modifiers)
            case "touch_end":
                await hands.touch("end", x, y, modifiers)
            case "key_down" | "key_up" as kind:
                key, code, key_code = gesture.key, gesture.code, gesture.key_code
                down = kind == "key_down"
                taken = await hands.key(down=down, key=key, code=code, key_code=key_code, modifiers=modifiers)
                if taken:
                    self.copied = Copied(taken)
                    self.wake()
            case "compose":
                await hands.compose(gesture.text)
            case "text":
                await hands.text(gesture.text)
            case "back":
                await hands.back()
            case "reload":
                await hands.reload()
