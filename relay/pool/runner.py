"""A leased chat: build the turn, try the drivers in order, watch the clocks, learn from what fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing

from loguru import logger

from relay.browser.cdp import CdpError
from relay.browser.clocks import clocked
from relay.browser.screen import MissingRole
from relay.browser.tab import Tab
from relay.browser.world import PageException
from relay.chat.events import CONTENT, Finished, Retracted
from relay.chat.prompt import attachments, flatten
from relay.chat.request import ChatRequest, Turn
from relay.errors import (
    BadRequest,
    BrowserFault,
    ChallengeNeeded,
    ClockRanOut,
    ContentRefused,
    ContextTooLong,
    CutAnswer,
    LoginNeeded,
    RateLimited,
    RelayError,
    SiteChanged,
)
from relay.pool.account import Account, Cooling, Slot
from relay.pool.chat import PooledChat
from relay.settings import Settings
from relay.sites.base import Site
from relay.sites.drivers import run

REST_S = 30.0
"""Cool-down where the site limits an account without saying for how long."""


def build_turn(request: ChatRequest, site: Site) -> Turn:
    """What the site is asked to do. Raises BadRequest for what it cannot, before anything is sent."""
    choice, can = request.choice, site.capabilities
    for wanted, able, what in (
        (choice.thinking, can.thinking, "a thinking mode"),
        (choice.search, can.search, "web search"),
        (choice.research, False, "deep research"),
        (bool(choice.agent), bool(can.agents), "agents"),
    ):
        if wanted and not able:
            raise BadRequest(f"{site.name} has no {what} that relay can use.", param="model")
    files = attachments(request.messages)
    if files and not (can.files or can.images):
        raise BadRequest(f"{site.name} takes no files through relay.", param="messages")
    for file in files:
        if not can.files and file.kind != "image":
            raise BadRequest(f"{site.name} takes images only, not {file.mime}.", param="messages")
        if can.max_file_bytes is not None and len(file.data) > can.max_file_bytes:
            raise BadRequest(f"{file.name} is larger than {site.name} takes.", param="messages")
    prompt = flatten(request.messages)
    if can.max_prompt_chars is not None and len(prompt) > can.max_prompt_chars:
        raise ContextTooLong(
            f"The prompt has {len(prompt)} characters; {site.name} takes {can.max_prompt_chars}.", param="messages"
        )
    return Turn(prompt, choice.model, choice.thinking, choice.search, choice.research, choice.agent, None, files)


def drivers_of(site: Site, settings: Settings) -> Sequence[str]:
    """The drivers to try, in order: the setting's, else the site's own."""
    own = settings.sites.get(site.id)
    return own.drivers if own and own.drivers else site.drivers


async def run_chat(chat: PooledChat, account: Account, slot: Slot, settings: Settings) -> None:
    """Run a leased chat to its end; whatever happens, the chat ends with Finished or one error."""
    with logger.contextualize(request_id=chat.id):
        started = time.perf_counter()
        try:
            turn = build_turn(chat.request, account.site)
            chat.progress("opening a page")
            tab = await account.tab(slot)
            await _try_drivers(chat, account, tab, turn, settings)
            chat.end()
            account.proved()
        except asyncio.CancelledError:
            chat.end(CutAnswer("The request was cancelled."))
            logger.info("{} cancelled after {:.0f} ms", chat, (time.perf_counter() - started) * 1000)
            raise
        except Exception as error:
            known = _known(error)
            chat.end(known)
            logger.warning("{} failed with {}: {}", chat, known.code, known.message)
            await _learn(known, chat, account, slot, settings)
        else:
            logger.debug("{} answered in {:.0f} ms", chat, (time.perf_counter() - started) * 1000)


def _known(error: Exception) -> RelayError:
    """One of the tree's errors for whatever was raised."""
    if isinstance(error, RelayError):
        return error
    if isinstance(error, CdpError):
        return BrowserFault(f"The browser refused a command ({error}).")
    if isinstance(error, PageException):
        return SiteChanged("a page in which relay's functions run", str(error))
    logger.opt(exception=error).error("a chat failed in an unforeseen way")
    return RelayError("Something unforeseen failed inside relay; its log says what.")


async def _try_drivers(chat: PooledChat, account: Account, tab: Tab, turn: Turn, settings: Settings) -> None:
    site = account.site
    drivers = drivers_of(site, settings)
    clocks = settings.clocks_for(site.id, site.clocks)
    for number, driver in enumerate(drivers):
        chat.driver = driver
        chat.progress(f"asking {site.name}")
        shown = False
        try:
            async with aclosing(clocked(run(site, driver, tab, turn), clocks)) as events:
                async for event in events:
                    shown = shown or isinstance(event, CONTENT)
                    chat.put(event)
                    if isinstance(event, Finished | Retracted):
                        return
            raise CutAnswer("The site's answer ended without its end mark. Send the request again.")
        except RelayError as error:
            last = number + 1 == len(drivers)
            if shown or last or not error.refused or isinstance(error, RateLimited):
                raise
            logger.info("driver {} was refused ({}), trying {}", driver, error.code, drivers[number + 1])


async def _learn(error: RelayError, chat: PooledChat, account: Account, slot: Slot, settings: Settings) -> None:
    """What an error says of the account and its page. A refused login is believed once the probe confirms it."""
    if isinstance(error, MissingRole) and error.screenshot:
        folder = settings.home / "screenshots"
        folder.mkdir(mode=0o700, exist_ok=True)
        file = folder / f"{chat.site}-{error.role}.png"
        file.write_bytes(error.screenshot)
        file.chmod(0o600)
        logger.warning("what the page showed: {}", file)
    if isinstance(error, RateLimited):
        rest_s = error.retry_after_s or REST_S
        account.cooling[chat.model] = Cooling(time.monotonic() + rest_s, error.message)
    try:
        if isinstance(error, LoginNeeded | ChallengeNeeded) and slot.tab is not None:
            await account.check(slot.tab)
        elif isinstance(error, BrowserFault | ClockRanOut | SiteChanged):
            await account.drop(slot)
        elif not isinstance(error, BadRequest | ContentRefused) and slot.tab is not None:
            slot.tab.fresh = False
    except (RelayError, CdpError) as failure:
        logger.warning("{}: the page is closed after a failed check: {}", account.name, failure)
        await account.drop(slot)
