"""Chromium: launched once, a context per account, tabs on demand."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from loguru import logger
from playwright.async_api import Browser, BrowserContext, Page, Playwright, async_playwright

from relay.browser.background import unless_left
from relay.browser.cdp import CdpError, CdpSession, DevToolsSocket, PipeSession
from relay.browser.display import VirtualDisplay, has_display
from relay.browser.driver import DRIVER_ERRORS, said
from relay.browser.executable import find
from relay.browser.tab import Tab
from relay.errors import BrowserFault
from relay.settings import BrowserSettings

ARGUMENTS = (
    "--disable-quic",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
    # One process and one hop fewer for every chunk.
    "--enable-features=NetworkServiceInProcess2",
)
"""No calls but to the sites; nothing here hides that the browser is driven."""

State = Mapping[str, Any]
"""Playwright's storage state: cookies, and origins with localStorage and IndexedDB."""


class Context:
    """The browser context that is logged in as one account."""

    def __init__(self, chromium: Chromium, context: BrowserContext) -> None:
        self._chromium = chromium
        self._context = context
        self.closed = False
        self.on_window: Callable[[Page], None] = lambda _: None
        """Told of each page that was not opened by `tab`: a popup, or what a person opened in a window."""
        self._opening = 0
        self._undecided: list[Page] = []
        context.on("close", self._on_close)
        context.on("page", self._on_page)

    def __repr__(self) -> str:
        return f"<Context pages={len(self._context.pages)} {'closed' if self.closed else 'open'}>"

    def _on_close(self, _: Any) -> None:
        self.closed = True

    @property
    def empty(self) -> bool:
        """Whether no page is open in it."""
        return not self._context.pages

    def _on_page(self, page: Page) -> None:
        if self._opening:  # it may be ours
            self._undecided.append(page)
        else:
            self.on_window(page)

    @contextmanager
    def _opened_by_us(self) -> Iterator[None]:
        self._opening += 1
        try:
            yield
        finally:
            self._opening -= 1
            if not self._opening:
                theirs, self._undecided = self._undecided, []
                for page in theirs:
                    self.on_window(page)

    async def tab(self, *, behind: Tab | None = None) -> Tab:
        """Open a page; with `behind`, a tab of this context, without coming to the front of it. Raises BrowserFault."""
        return await unless_left(self._tab(behind), Tab.close)

    async def _tab(self, behind: Tab | None) -> Tab:
        with self._opened_by_us():
            try:
                page = await (self._context.new_page() if behind is None else self._page_behind(behind))
                if page in self._undecided:
                    self._undecided.remove(page)
                return await self.attach(page)
            except (*DRIVER_ERRORS, CdpError) as error:
                await self._chromium.check()
                raise BrowserFault(f"No page could be opened ({said(error)}).") from None

    async def _page_behind(self, tab: Tab) -> Page:
        """Playwright opens pages in front only, and a new one takes the keyboard from whoever types."""
        target = (await tab.session.send("Target.getTargetInfo"))["targetInfo"]
        url = f"about:blank#{secrets.token_hex(8)}"
        async with self._context.expect_page(lambda page: page.url == url, timeout=15_000) as opened:
            await self._chromium.command(
                "Target.createTarget",
                {"url": url, "browserContextId": target["browserContextId"], "background": True},
            )
        return await opened.value

    async def attach(self, page: Page) -> Tab:
        """A tab of an open page; where that fails, the page is closed. Raises what Playwright raises, CdpError."""
        try:
            session = await self._chromium.session(self._context, page)
            return await Tab.attach(page, session, self._chromium.command)
        except BaseException:
            await page.close()
            raise

    async def cookies_digest(self) -> bytes:
        """Changes when a cookie does. Raises BrowserFault."""
        try:
            cookies = await self._context.cookies()
        except DRIVER_ERRORS as error:
            await self._chromium.check()
            raise BrowserFault(f"The cookies could not be read ({said(error)}).") from None
        kept = sorted((one.get("domain"), one.get("path"), one.get("name"), one.get("value")) for one in cookies)
        return hashlib.sha256(repr(kept).encode("utf-8", "backslashreplace")).digest()

    async def set_state(self, state: State) -> None:
        """Replace cookies, localStorage and IndexedDB by these, before a page is opened. Raises BrowserFault."""
        try:
            await self._context.set_storage_state(state)  # type: ignore[arg-type]
        except DRIVER_ERRORS:  # what it says may quote the state
            await self._chromium.check()
            raise BrowserFault("The login could not be put into the browser.") from None

    async def state(self) -> State:
        """Cookies, localStorage and IndexedDB as they are now."""
        try:
            return dict(await self._context.storage_state(indexed_db=True))
        except DRIVER_ERRORS as error:
            await self._chromium.check()
            raise BrowserFault(f"The account's state could not be read ({said(error)}).") from None

    async def close(self) -> None:
        """Close the context and its pages."""
        with suppress(*DRIVER_ERRORS):
            await self._context.close()
        self.closed = True


class Chromium:
    """One browser process tree. `on_gone` is called once when it died without being asked to."""

    def __init__(self, settings: BrowserSettings, on_gone: Callable[[], None] | None = None) -> None:
        self._settings = settings
        self._on_gone = on_gone
        self._playwright: Playwright | None = None
        self._browser: Browser | None = None
        self._pipe: PipeSession | None = None
        self._socket: DevToolsSocket | None = None
        self._display: VirtualDisplay | None = None
        self._stopping = False
        self.version = ""

    def __repr__(self) -> str:
        path = "socket" if self._socket else "pipe"
        return f"<Chromium {self.version or 'stopped'} {self._settings.mode} by {path}>"

    @property
    def alive(self) -> bool:
        """Whether the browser can be used."""
        told = self._pipe is not None and self._pipe.fault is not None
        return self._browser is not None and self._browser.is_connected() and not told

    async def check(self) -> None:
        """Ask the browser whether it lives: when Playwright's own process dies, no event tells us."""
        if self._pipe is not None and self.alive:
            try:
                await self._pipe.send("Browser.getVersion", timeout_s=5)
            except (BrowserFault, CdpError) as error:
                logger.debug("the browser does not answer: {}", error)
                self._on_disconnected(None)

    async def start(self) -> None:
        """Launch the browser, after what is left of an earlier one was ended. Raises BrowserFault with what to do."""
        await self.stop()
        self._stopping = False
        # The driver only passes messages on: a small young generation saves some 30 MiB of the node process.
        os.environ.setdefault("NODE_OPTIONS", "--max-semi-space-size=1")
        self._playwright = await async_playwright().start()
        try:
            self._browser = await (self._connect if self._settings.cdp_url else self._launch)(self._playwright)
            self._pipe = PipeSession(await self._browser.new_browser_cdp_session())
        except DRIVER_ERRORS as error:
            await self.stop()
            raise BrowserFault(_unstarted(str(error), self._settings.cdp_url)) from None
        except BaseException:
            await self.stop()
            raise
        self.version = self._browser.version
        self._browser.on("disconnected", self._on_disconnected)

    async def command(self, method: str, params: Mapping[str, Any]) -> Mapping[str, Any]:
        """A DevTools command to the browser itself. Raises BrowserFault, CdpError."""
        if self._pipe is None:
            raise BrowserFault("The browser is not running.")
        return await self._pipe.send(method, dict(params))

    async def _connect(self, playwright: Playwright) -> Browser:
        assert self._settings.cdp_url is not None
        return await playwright.chromium.connect_over_cdp(self._settings.cdp_url)

    async def _launch(self, playwright: Playwright) -> Browser:
        settings = self._settings
        executable = find(settings.executable, Path(playwright.chromium.executable_path), settings.mode)
        arguments = [*ARGUMENTS]
        if settings.host_rules:
            arguments.append(f"--host-resolver-rules={settings.host_rules}")
        if settings.trusted_spki:
            arguments.append(f"--ignore-certificate-errors-spki-list={settings.trusted_spki}")
        port = _free_port() if settings.direct else 0
        if port:
            arguments.append(f"--remote-debugging-port={port}")
        sandbox = settings.sandbox
        if sandbox and hasattr(os, "geteuid") and os.geteuid() == 0:
            logger.warning("running as root: Chromium's own sandbox is off. Run relay as an ordinary user to have it.")
            sandbox = False
        if settings.mode == "headed" and not has_display():
            self._display = await VirtualDisplay.start()
        logger.info("starting {} ({})", executable, settings.mode)
        browser = await playwright.chromium.launch(
            executable_path=executable,
            headless=settings.mode != "headed",
            args=arguments,
            chromium_sandbox=sandbox,
            env={**os.environ, **self._display.environment} if self._display else None,
            handle_sigint=False,
            handle_sigterm=False,
            handle_sighup=False,
        )
        self._browser = browser
        if port:
            self._socket = await DevToolsSocket.connect(await _endpoint(port))
        return browser

    def _on_disconnected(self, _: Any) -> None:
        if self._pipe is None or self._pipe.fault is not None:
            return
        self._pipe.fail(BrowserFault("The browser died."))
        if not self._stopping and self._on_gone is not None:
            self._on_gone()

    async def session(self, context: BrowserContext, page: Any) -> CdpSession:
        """A DevTools session with a page, by the byte path that is set."""
        pipe = PipeSession(await context.new_cdp_session(page), self._pipe)
        if self._socket is None:
            return pipe
        target = (await pipe.send("Target.getTargetInfo"))["targetInfo"]["targetId"]
        await pipe.detach()
        return await self._socket.attach(target)

    async def context(self, state: State | None = None, **options: Any) -> Context:
        """A context restored from state. `options` are Playwright's (proxy, locale, timezone_id, viewport)."""
        return await unless_left(self._context(state, options), Context.close)

    async def _context(self, state: State | None, options: Mapping[str, Any]) -> Context:
        if self._browser is None:
            raise BrowserFault("The browser is not running.")
        try:
            made = await self._browser.new_context(storage_state=state, **options)  # type: ignore[arg-type]
        except DRIVER_ERRORS as error:
            await self.check()
            raise BrowserFault(f"No context could be made ({said(error)}).") from None
        return Context(self, made)

    async def stop(self) -> None:
        """End the browser and its driver."""
        self._stopping = True
        if self._socket is not None:
            with suppress(BrowserFault, OSError):
                await self._socket.detach()
        for end in (self._browser and self._browser.close, self._playwright and self._playwright.stop):
            if end:
                try:
                    await asyncio.wait_for(end(), 15)
                except (*DRIVER_ERRORS, TimeoutError) as error:
                    logger.debug("while stopping the browser: {}", error)
        if self._display is not None:
            await self._display.stop()
        self._browser = self._playwright = self._pipe = self._socket = self._display = None


def _unstarted(said: str, remote: str | None) -> str:
    """What a person can do about a browser that did not start, with what it said itself."""
    first = said.splitlines()[0][:200]
    if remote:
        return f"No browser could be reached at RELAY_BROWSER__CDP_URL={remote} ({first})."
    own = " ".join(line.partition("[err]")[2].strip() for line in said.splitlines() if "[err]" in line)
    return (
        f"Chromium did not start ({first}). It said: {own[:400] or 'nothing'}. Install what it misses "
        "(`playwright install-deps chromium`), or name another with RELAY_BROWSER__EXECUTABLE."
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _endpoint(port: int) -> str:
    """The browser's own WebSocket address, asked of its debugging port."""
    import httpx  # it takes a while, and only this path needs it

    try:
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(10):
            while True:
                try:
                    reply = await client.get(f"http://127.0.0.1:{port}/json/version")
                    return str(reply.json()["webSocketDebuggerUrl"])
                except httpx.TransportError:
                    await asyncio.sleep(0.02)  # the port opens a moment after the pipe does
    except (TimeoutError, ValueError, KeyError):
        raise BrowserFault(
            f"Chromium's debugging port {port} on loopback did not answer; another program may hold it. "
            "Start again, or set RELAY_BROWSER__DIRECT_CDP=false."
        ) from None
