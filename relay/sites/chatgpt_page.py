"""ChatGPT's page and its menus, used as a person uses them (section 6 of the fact sheet)."""

from __future__ import annotations

import asyncio

from relay.browser.screen import MissingRole, Screen
from relay.browser.tab import Tab

PAGE_S = 15.0
"""How long the page may take until one can type in it."""
MENU_S = 3.0
"""How long a menu may take until it shows an entry."""
NESTED_S = 1.0


async def challenge_shown(tab: Tab, screen: Screen) -> bool:
    """Whether the page is Cloudflare's, or asks for a captcha."""
    title = str(await tab.evaluate("function() { return document.title; }"))
    return title.startswith("Just a moment") or bool(await screen.count("challenge"))


async def any_of(screen: Screen, *roles: str) -> str:
    """The first of these roles that the page comes to show; empty where it shows none in time."""
    waits = {asyncio.create_task(screen.wait(role, timeout_s=PAGE_S)): role for role in roles}
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return next((waits[task] for task in done if task.result()), "")
    finally:
        for task in waits:
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


async def pick_model(screen: Screen, title: str) -> None:
    """Pick a model by its title. The newer picker has the models in a menu of their own. Raises MissingRole."""
    await _press(screen, "picker")
    if await screen.wait("picker_models", timeout_s=NESTED_S):
        await _press(screen, "picker_models")
    await _press(screen, "picker_entry", title)


async def pick_tool(screen: Screen, entry: str) -> None:
    """Pick an entry of the "+" menu. Raises MissingRole."""
    await _press(screen, "tools")
    await _press(screen, entry)


async def _press(screen: Screen, role: str, text: str = "") -> None:
    try:
        await screen.press(role, text, timeout_s=MENU_S)
    except MissingRole as error:
        error.refused = True  # nothing is typed yet
        raise
