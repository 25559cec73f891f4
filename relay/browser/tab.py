"""A tab: one page of a logged-in context, and everything a site may ask of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urljoin

from loguru import logger
from playwright.async_api import Page
from playwright.async_api import TimeoutError as PlaywrightTimeout

from relay.browser import fetch as in_page
from relay.browser.answer import Answer
from relay.browser.background import spawn
from relay.browser.cdp import CdpError, CdpSession, dead_or_refused
from relay.browser.driver import DRIVER_ERRORS, said
from relay.browser.traffic import Traffic, TrafficTap
from relay.browser.world import World, WorldName, navigated
from relay.errors import BrowserFault, PageLeft, RelayError, SiteUnavailable

CLOSE_S = 10.0
CLOSE_AGAIN_S = 0.5
"""Chromium may forget that it was to close a page at the moment a navigation begins to show; so it is told again."""
Command = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Response:
    """A whole HTTP answer."""

    status: int
    headers: Mapping[str, str]
    url: str
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8, with what is not UTF-8 replaced."""
        return self.body.decode("utf-8", "replace")


class Tab:
    """One page. It is held by one chat at a time; `fault` is set once it is dead for good."""

    def __init__(self, page: Page, session: CdpSession, command: Command) -> None:
        self.page = page
        self.session = session
        self._command = command
        self.fault: RelayError | None = None
        self.calls: dict[str, in_page.FetchCall] = {}
        self.observers: dict[str, Answer] = {}
        self.fresh = False
        """Whether the page shows an empty chat, ready for the screen drivers."""
        self.sent_at: float | None = None
        """When the newest prompt left, by `time.perf_counter()`."""
        self.draining: Answer | None = None
        """An answer that was read to its end mark while the page still reads on."""
        self._main_frame = ""
        self._main_context: int | None = None
        self._worlds: dict[WorldName, World] = {
            name: World(session, name, self._on_message, lambda: self._main_context) for name in ("isolated", "main")
        }
        self._tap = TrafficTap(session)
        page.on("crash", lambda _: self.fail(BrowserFault("The page's renderer crashed. Send the request again.")))
        page.on("close", lambda _: self.fail(BrowserFault("The page was closed under the chat.")))
        session.on("Runtime.executionContextCreated", self._on_context)
        session.on("Runtime.executionContextDestroyed", lambda p: self._lost(p["executionContextId"]))
        session.on("Runtime.executionContextsCleared", lambda _: self._lost(None))

    def __repr__(self) -> str:
        return f"<Tab {self.page.url} calls={len(self.calls)} {'dead' if self.fault else 'alive'}>"

    @classmethod
    async def attach(cls, page: Page, session: CdpSession, command: Command) -> Tab:
        """Make a tab of a new page; `command` sends one to the browser itself."""
        tab = cls(page, session, command)
        tree = await session.send("Page.getFrameTree")
        tab._main_frame = tree["frameTree"]["frame"]["id"]
        await session.send("Runtime.enable")
        return tab

    @property
    def url(self) -> str:
        """The address the page shows."""
        return self.page.url

    def world(self, name: WorldName = "isolated") -> World:
        """The world by that name."""
        return self._worlds[name]

    # what the page tells us

    def _on_context(self, params: dict[str, Any]) -> None:
        context = params["context"]
        aux = context.get("auxData", {})
        if aux.get("isDefault") and aux.get("frameId") == self._main_frame:
            self._main_context = context["id"]

    def _lost(self, context: int | None) -> None:
        gone = [world.lost(context) for world in self._worlds.values()]
        if context in (None, self._main_context):
            self._main_context = None
        if any(gone):
            self._cut()
        if context is None:
            self._tap.interrupt(_away())

    def _cut(self) -> None:
        """What runs in the page ends: its document goes."""
        for call in tuple(self.calls.values()):
            call.fail(_away())
        for observer in self.observers.values():
            observer.finish(_away())

    def _on_message(self, message: str) -> None:
        nonce, kind, payload = message[:16], message[16:17], message[17:]
        if (call := self.calls.get(nonce)) is not None:
            call.receive(kind, payload)
        elif (observer := self.observers.get(nonce)) is not None:
            observer.push(payload.encode())

    def fail(self, error: RelayError) -> None:
        """The page is dead for good: everything that waits on it fails now."""
        if self.fault is not None:
            return
        self.fault = error
        for call in tuple(self.calls.values()):
            call.fail(error)
        for observer in self.observers.values():
            observer.finish(error)
        self._tap.fail(error)
        self.session.fail(error)

    def post_call(self, function: str, *arguments: Any, world: WorldName = "isolated") -> None:
        """Call one of our functions without waiting; a page that is gone needs nothing from us."""

        async def quietly() -> None:
            try:
                await self.world(world).call(function, *arguments, timeout_s=5)
            except (RelayError, CdpError) as error:
                logger.debug("{} not delivered: {}", function, error)

        spawn(quietly())

    # what a site asks of the page

    async def goto(self, url: str, *, timeout_s: float = 30) -> None:
        """Load an address and wait for its document. Raises SiteUnavailable, BrowserFault."""
        self.check()
        target = urljoin(self.url, url) if self.url.startswith("http") else url
        # By the debug socket the end of the old document may be told after Playwright has told of the new one: nothing
        # may take the old one's context for the new one's.
        self._cut()
        for world in self._worlds.values():
            world.lost()
        try:
            await self._navigate(target, timeout_s)
        except PlaywrightTimeout:
            raise SiteUnavailable(f"{target} did not load within {timeout_s:g} s.") from None
        except DRIVER_ERRORS as error:
            self.check()
            if isinstance(dead_or_refused(str(error)), BrowserFault):
                raise BrowserFault(f"The page died while it opened {target}.") from None
            raise SiteUnavailable(f"{target} could not be opened ({said(error)}).") from None
        try:
            await self.world().ready()
        except CdpError as error:
            if not navigated(error):
                raise
            # The page's own script has gone on at once (to a login, say): what is asked next is asked there.

    async def _navigate(self, target: str, timeout_s: float) -> None:
        for last in (False, False, True):
            try:
                await self.page.goto(target, wait_until="domcontentloaded", timeout=timeout_s * 1000)
                return
            except DRIVER_ERRORS as error:
                # Chromium shows its page for an address that could not be loaded a moment after it has said so; and
                # the page that is left may just be going elsewhere, to its login, say. It is let go there first.
                if last or "interrupted by another navigation to" not in str(error):
                    raise
            with suppress(*DRIVER_ERRORS):
                await self.page.wait_for_load_state("domcontentloaded", timeout=5000)

    def check(self) -> None:
        """Raise what killed the page, if it is dead."""
        if self.fault is not None:
            raise self.fault

    def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: in_page.Body = None,
        world: WorldName = "isolated",
        redirect: Literal["follow", "manual", "error"] = "follow",
        credentials: in_page.Credentials = "include",
    ) -> AbstractAsyncContextManager[Answer]:
        """Fetch from inside the page. Yields the Answer at its head; leaving the block early aborts the fetch.

        Raises SiteUnavailable where no answer came, BrowserFault where the page died.
        """
        self.check()
        self.sent_at = time.perf_counter()
        return in_page.stream(
            self,
            method,
            url,
            headers=headers or {},
            body=body,
            world=world,
            redirect=redirect,
            credentials=credentials,
        )

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: in_page.Body = None,
        world: WorldName = "isolated",
        redirect: Literal["follow", "manual", "error"] = "follow",
        credentials: in_page.Credentials = "include",
        timeout_s: float = 30,
    ) -> Response:
        """Fetch from inside the page and read the whole answer. Raises also SiteUnavailable when out of time."""
        try:
            async with asyncio.timeout(timeout_s):
                async with self.stream(
                    method, url, headers=headers, body=body, world=world, redirect=redirect, credentials=credentials
                ) as answer:
                    return Response(answer.status, answer.headers, answer.url, await answer.read())
        except TimeoutError:
            raise SiteUnavailable(f"{url} did not answer within {timeout_s:g} s.") from None

    async def evaluate(self, code: str, *arguments: Any, world: WorldName = "isolated", timeout_s: float = 15) -> Any:
        """Call a JavaScript function given as source with JSON arguments; awaits its promise; returns JSON."""
        self.check()
        return await self.world(world).evaluate(code, *arguments, timeout_s=timeout_s)

    async def local_storage(self, *keys: str) -> list[str | None]:
        """Values of localStorage of the page's origin."""
        values = await self.evaluate("function(...keys) { return keys.map(k => localStorage.getItem(k)); }", *keys)
        return list(values)

    @asynccontextmanager
    async def traffic(self, *patterns: str) -> AsyncIterator[Traffic]:
        """Watch the page's own requests and sockets whose address matches one of the globs.

        Of a WebSocket that the page opened before the tab's first watch nothing is seen. Raises BrowserFault.
        """
        self.check()
        await self._tap.enable()
        self.check()
        traffic = Traffic(patterns)
        self._tap.watchers.append(traffic)
        try:
            yield traffic
        finally:
            self._tap.watchers.remove(traffic)

    async def disable_cache(self) -> None:
        """Load from the network and keep nothing."""
        await self.session.send("Network.enable")
        await self.session.send("Network.setCacheDisabled", {"cacheDisabled": True})

    async def drain(self, timeout_s: float) -> None:
        """Let the page finish reading an answer that we have read, so that leaving the page cuts nothing off."""
        answer, self.draining = self.draining, None
        if answer is not None:
            try:
                async with asyncio.timeout(timeout_s):
                    await answer.read()
            except (TimeoutError, RelayError) as error:
                logger.debug("not drained: {}", error)

    async def terminate(self) -> None:
        """Stop a script that hangs."""
        await self.session.send("Runtime.terminateExecution", timeout_s=5)

    async def close(self) -> None:
        """Close the page; a dead one too. It is closed as well where the caller is cancelled."""
        self.fail(BrowserFault("The page was closed."))
        await asyncio.shield(spawn(self._close()))

    async def _close(self) -> None:
        closing = asyncio.ensure_future(self.page.close())
        try:
            async with asyncio.timeout(CLOSE_S):
                while not (await asyncio.wait({closing}, timeout=CLOSE_AGAIN_S))[0]:
                    with suppress(CdpError):  # it has gone meanwhile
                        await self._command("Target.closeTarget", {"targetId": self._main_frame})
                await closing
        except (*DRIVER_ERRORS, BrowserFault, TimeoutError) as error:
            logger.debug("page not closed cleanly: {}", said(error) or "it goes on")
        finally:
            closing.cancel()


def _away() -> PageLeft:
    return PageLeft("The page navigated away in the middle of the answer. Send the request again.")
