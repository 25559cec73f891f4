"""ChatGPT's page: what it shows, its menus, and how it sends a prompt (sections 4 and 6 of the fact sheet)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from loguru import logger

from relay.browser.answer import Answer
from relay.browser.screen import MissingRole, Screen
from relay.browser.tab import Tab
from relay.browser.traffic import Exchange, Traffic
from relay.errors import LoginNeeded, SiteUnavailable

PAGE_S = 15.0
"""How long the page may take until one can type in it."""
PERSON_S = 2.0
"""How long it may take from then on until it shows who is logged in."""
MENU_S = 3.0
"""How long a menu may take until it shows an entry."""
NESTED_S = 1.0
GIVES_UP_S = 3.0
"""A page that was refused a token and sends nothing for so long has given up."""
SEND = re.compile(r"/backend-(api|anon)/(f/)?conversation$")
TOKENS = re.compile(r"/(sentinel/chat-requirements(/\w+)?|f/conversation/prepare)$")


async def challenge_shown(tab: Tab, screen: Screen) -> bool:
    """Whether the page is Cloudflare's, or asks for a captcha."""
    title = str(await tab.evaluate("function() { return document.title; }"))
    return title.startswith("Just a moment") or bool(await screen.count("challenge"))


async def any_of(screen: Screen, *roles: str, timeout_s: float = PAGE_S) -> str:
    """The first of these roles that the page comes to show; empty where it shows none in time."""
    waits = {asyncio.create_task(screen.wait(role, timeout_s=timeout_s)): role for role in roles}
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


async def sending(traffic: Traffic, accepted: Callable[[Answer], Awaitable[None]]) -> Exchange:
    """The request that sends the prompt.

    Before it the page asks for tokens; where it was refused some, it may ask again, or go on without, or give up: then
    `accepted` raises the refusal. Raises LoginNeeded where the page chats as a guest.
    """
    refused: dict[str, Answer] = {}
    while True:
        try:
            async with asyncio.timeout(GIVES_UP_S if refused else None):
                exchange = await traffic.next()
        except TimeoutError:
            await accepted(next(iter(refused.values())))
            raise
        path = urlsplit(exchange.url).path
        if exchange.method == "POST" and (found := SEND.search(path)):
            if found[1] == "anon":
                raise LoginNeeded("ChatGPT's page chats as a guest: its login is gone.")
            return exchange
        if TOKENS.search(path):
            refused.pop(path, None)
            try:
                answer = await exchange.answer()
            except SiteUnavailable as error:
                logger.debug("the page could not ask for a token: {}", error)
                continue
            if answer.status in (401, 403, 429):
                refused[path] = answer
