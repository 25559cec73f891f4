"""One Chromium page with marked and KaTeX for all tests of this room."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import async_playwright

from tests.browser.markdown.watched import Watched

HERE = Path(__file__).parent


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched() -> AsyncIterator[Watched]:
    executable = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, chromium_sandbox=False)
        try:
            page = await browser.new_page()
            for name in ("vendor/marked.umd.js", "vendor/katex.min.js", "page.js"):
                await page.add_script_tag(content=(HERE / name).read_text(encoding="utf-8"))
            yield Watched(page)
        finally:
            await browser.close()
