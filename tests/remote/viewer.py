"""A person at the viewer's page, with mouse or finger, who knows the login page by heart."""

from __future__ import annotations

import io
from types import TracebackType
from typing import Any, Self

import zxingcpp
from PIL import Image
from playwright.async_api import Browser, Page

from tests.remote.conftest import eventually


class Viewer:
    """`async with Viewer(browser, address) as viewer:` opens the address in a browser of its own."""

    page: Page

    def __init__(self, browser: Browser, address: str, *, phone: bool = False) -> None:
        self._browser = browser
        self.address = address
        self.phone = phone
        self.seen: list[str] = []

    async def __aenter__(self) -> Self:
        options: dict[str, Any] = {"viewport": {"width": 1000, "height": 800}}
        if self.phone:
            options = {
                "viewport": {"width": 390, "height": 844},
                "device_scale_factor": 3,
                "is_mobile": True,
                "has_touch": True,
            }
        self.context = await self._browser.new_context(permissions=["clipboard-read", "clipboard-write"], **options)
        self.page = await self.context.new_page()
        await self.page.goto(self.address)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.context.close()

    async def state(self) -> str:
        """connecting, waiting, live or ended."""
        return str(await self.page.evaluate("document.body.dataset.state"))

    async def says(self) -> str:
        """The state line."""
        return await self.page.inner_text("#status")

    async def settled(self) -> None:
        """Wait until the page has this viewer's size: before, it is shown smaller."""
        same = "picture.dataset.page === `${stage.clientWidth}x${stage.clientHeight}`"
        await eventually(lambda: self.page.evaluate(same))

    async def tap(self, place: tuple[int, int]) -> None:
        """Click, or tap with a finger, at a place of the remote page."""
        await self.settled()
        box = await self.page.locator("#picture").bounding_box()
        assert box is not None
        x, y = box["x"] + place[0], box["y"] + place[1]
        if self.phone:
            await self.page.touchscreen.tap(x, y)
        else:
            await self.page.mouse.click(x, y)

    async def keyboard(self) -> None:
        """On a telephone: show the keyboard."""
        if self.phone:
            await self.page.tap("#keyboard")

    async def compose(self, *shown: str, text: str) -> None:
        """Type by an input method that shows some things before the text."""
        session = await self.context.new_cdp_session(self.page)
        for step in shown:
            end = len(step)
            await session.send("Input.imeSetComposition", {"text": step, "selectionStart": end, "selectionEnd": end})
        await session.send("Input.insertText", {"text": text})
        await session.detach()

    async def codes(self) -> list[str]:
        """The QR codes in the picture that is seen."""
        shown = await self.page.locator("#picture").screenshot(type="png")
        self.seen = [code.text for code in zxingcpp.read_barcodes(Image.open(io.BytesIO(shown)))]
        return self.seen
