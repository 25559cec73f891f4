"""The pages that a person has open in a context: the first, and whatever opens from it. Ours are not among them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from loguru import logger
from playwright.async_api import Dialog, Page

from relay.browser.cdp import GONE, CdpError
from relay.browser.chromium import Context
from relay.browser.driver import DRIVER_ERRORS
from relay.browser.tab import Tab
from relay.errors import BrowserFault, RelayError

STORAGE_EVENTS = (
    "DOMStorage.domStorageItemAdded",
    "DOMStorage.domStorageItemUpdated",
    "DOMStorage.domStorageItemRemoved",
    "DOMStorage.domStorageItemsCleared",
)
DialogListener = Callable[[Tab | None, Dialog], None]


def leave_to_person(tab: Tab | None, dialog: Dialog) -> None:
    """On a display the person answers; without any listener Playwright would."""


class Windows:
    """In the order in which they opened. One that is closed, or whose renderer crashed, leaves the list."""

    def __init__(self, context: Context, on_dialog: DialogListener = leave_to_person) -> None:
        """`on_dialog` is told of a page's `alert`, `confirm`..., which waits for its answer. (The tab is None for a
        popup that asks before it is in the list.)"""
        self.tabs: list[Tab] = []
        self.gone = asyncio.Event()
        """Set when the last one went."""
        self.crashed = False
        """Whether the last one that went had crashed."""
        self.on_change: Callable[[], None] = lambda: None
        """Called when a window came or went."""
        self.on_storage: Callable[[], None] = lambda: None
        """Called when one wrote localStorage or sessionStorage."""
        self._context = context
        self._on_dialog = on_dialog
        self._tasks: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Windows {len(self.tabs)} open>"

    async def open(self) -> Tab:
        """Open the first one, and take in what opens from now on. Raises BrowserFault."""
        self._context.on_window = self._opened
        tab = await self._context.tab()
        tab.page.on("dialog", lambda dialog: self._on_dialog(tab, dialog))
        try:
            await self._add(tab)
        except CdpError as error:
            raise BrowserFault(f"The page could not be watched ({error}).") from None
        return tab

    def leave(self) -> None:
        """Take in no more."""
        self._context.on_window = lambda _: None
        for task in self._tasks:
            task.cancel()

    def _opened(self, page: Page) -> None:
        self._spawn(self._attach(page))

    async def _attach(self, page: Page) -> None:
        found: list[Tab] = []
        # Registered before anything is awaited: the page runs already.
        page.on("dialog", lambda dialog: self._on_dialog(found[0] if found else None, dialog))
        try:
            tab = await self._context.attach(page)
            found.append(tab)
            await self._add(tab)
        except (*DRIVER_ERRORS, CdpError, RelayError) as error:
            logger.debug("a window went before it was taken in: {}", str(error).partition("\n")[0][:200])

    async def _add(self, tab: Tab) -> None:
        for event in STORAGE_EVENTS:
            tab.session.on(event, lambda _: self.on_storage())
        tab.session.on(GONE, lambda _: self._lose(tab))
        await tab.session.send("DOMStorage.enable")
        if tab.fault is None:
            self.tabs.append(tab)
            self.on_change()

    def _lose(self, tab: Tab) -> None:
        if tab not in self.tabs:
            return
        self.tabs.remove(tab)
        self.crashed = not tab.page.is_closed()
        if self.crashed:
            self._spawn(tab.close())  # nobody can use it any more
        if not self.tabs:
            self.gone.set()
        self.on_change()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
