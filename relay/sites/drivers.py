"""The drivers: ways to run a turn. `fetch` is the site's own; `screen` and `dom` are the same for all sites."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from loguru import logger

from relay.browser.answer import Answer
from relay.browser.cdp import CdpError
from relay.browser.screen import FAULTS, MissingRole, Screen
from relay.browser.tab import Tab
from relay.browser.traffic import Traffic
from relay.browser.world import PageException
from relay.chat.events import Event, Finished, Media, Retracted, Started, Text, Turned
from relay.chat.request import Turn
from relay.errors import (
    BadRequest,
    BrowserFault,
    CutAnswer,
    LoginNeeded,
    PageLeft,
    RelayError,
    SiteChanged,
    SiteError,
    SiteUnavailable,
)
from relay.sites.base import Reader, ScreenRecipe, Site

Verdict = Finished | Retracted | None
UPLOAD_S = 120.0
WALL_S = 3.0
"""How long a page that left under a chat may take to show its login."""
LEAVES = 3
"""How often it may go on from there meanwhile."""
VERDICT_S = 1.0
"""How long after its page an answer's traffic may take to say how it ended."""
RESEND_S = 8.0
"""How long the page may take to renew its login and send the prompt again by itself after a 401."""


def run(site: Site, driver: str, tab: Tab, turn: Turn) -> AsyncGenerator[Event, None]:
    """The events of a turn by one driver. Close the iterator to stop the answer on the site."""
    match driver.partition(":")[0]:
        case "fetch":
            return _or_login(site, tab, _renewing(site, tab, lambda: site.chat(tab, turn, driver)), PageLeft)
        case "screen" if site.screen is not None and site.screen.retypes:
            return _or_login(site, tab, _renewing(site, tab, lambda: _screen(site, tab, turn)), PageLeft)
        case "screen":
            return _or_login(site, tab, _screen(site, tab, turn), BrowserFault, CutAnswer)
        case "dom":
            return _or_login(site, tab, _dom(site, tab, turn), BrowserFault, CutAnswer)
        case _:
            raise BadRequest(f"{driver!r} is no driver; {site.name} has {', '.join(site.drivers)}.")


async def _renewing(
    site: Site, tab: Tab, ask: Callable[[], AsyncGenerator[Event, None]]
) -> AsyncGenerator[Event, None]:
    """The events of `ask`; a login refused before anything came is renewed by the page, once."""
    for attempt in (1, 2):
        started = False
        try:
            async with aclosing(ask()) as events:
                async for event in events:
                    started = True
                    yield event
            return
        except LoginNeeded as error:
            if started or attempt == 2 or not (error.refused and error.renewable):
                raise
            logger.debug("login refused, letting the page renew it: {}", error)
        await site.refresh(tab)


def _recipe(site: Site) -> ScreenRecipe:
    if site.screen is None:
        raise SiteChanged("a screen recipe", f"none for {site.name}", refused=True)
    return site.screen


async def _ready(site: Site, tab: Tab, turn: Turn) -> bool:
    """Bring the page to where the turn is typed; returns whether it had been loaded ahead of the turn."""
    ahead = tab.fresh
    try:
        await site.prepare(tab, turn)
    except MissingRole as error:  # a switch, where the page shows none
        error.refused = True  # nothing was typed yet
        await _say_what_stands_before(site, site.on_screen(tab))
        raise
    return ahead


async def _say_what_stands_before(site: Site, screen: Screen) -> None:
    """Raise the error of a challenge or a login wall that the page shows in the place of the chat."""
    for role in ("challenge", "wall"):
        if screen.has(role) and await screen.count(role):
            raise FAULTS[role](f"{site.name}'s page shows a {role} in place of the chat.", refused=True) from None


@contextmanager
def _setting_up(tab: Tab) -> Iterator[None]:
    """A page whose chat is cancelled while it is set up or typed into serves no other.

    What was asked of it goes on in the page: it may still type and send, or finish an upload into the next chat.
    """
    try:
        yield
    except asyncio.CancelledError:
        tab.fail(BrowserFault("The chat was left while it was being typed."))
        raise


async def _type(site: Site, recipe: ScreenRecipe, tab: Tab, turn: Turn, screen: Screen, *, ahead: bool) -> None:
    """Attach and send. After this the prompt must count as accepted.

    A page that was loaded ahead may have aged, or been caught half loaded by a change at the site: if it lacks what is
    needed it is loaded anew, once.
    """
    tab.fresh = False
    if turn.attachments:
        if not screen.has("attach"):
            raise BadRequest(f"{site.name} takes no files on its screen.")
        async with tab.traffic(*_globs(recipe.upload)) as uploads:
            for attachment in turn.attachments:  # one by one: many inputs silently take the first of several
                await screen.attach([attachment])
                if recipe.upload:
                    await _uploaded(site, uploads)
    try:
        await screen.submit(turn.prompt)
    except MissingRole as error:
        if not error.refused:
            raise
        await _say_what_stands_before(site, screen)
        if not ahead:
            raise
        logger.debug("loading the page anew: {}", error)
        await site.prepare(tab, turn)
        await _type(site, recipe, tab, turn, screen, ahead=False)


def _globs(patterns: str | tuple[str, ...]) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else patterns


async def _uploaded(site: Site, uploads: Traffic) -> None:
    """Wait until the page has uploaded a file."""
    try:
        async with asyncio.timeout(UPLOAD_S):
            await site.uploaded(uploads)
    except TimeoutError:
        raise SiteUnavailable(f"The page did not upload the file within {UPLOAD_S:g} s.", refused=True) from None


async def _screen(site: Site, tab: Tab, turn: Turn) -> AsyncGenerator[Event, None]:
    """Type in the page and read its own traffic."""
    recipe = _recipe(site)
    if recipe.reader is None:
        raise SiteChanged("a reader of the page's traffic", f"none for {site.name}", refused=True)
    with _setting_up(tab):
        ahead = await _ready(site, tab, turn)
    screen = site.on_screen(tab)
    finished = False
    async with tab.traffic(*_globs(recipe.answer)) as traffic:
        with _setting_up(tab):
            await _type(site, recipe, tab, turn, screen, ahead=ahead)
        try:
            answer = _read(site, recipe, recipe.reader(), tab, turn, traffic)
            async with aclosing(named(answer, recipe, tab)) as events:
                async for event in events:
                    finished = isinstance(event, Finished)
                    yield await site.located(tab, event) if isinstance(event, Media) else event
        except RelayError:
            finished = True  # the site ended it; there is nothing to stop
            raise
        finally:
            if not finished:
                await _stop(screen)


async def _read(
    site: Site, recipe: ScreenRecipe, reader: Reader[Any], tab: Tab, turn: Turn, traffic: Traffic
) -> AsyncGenerator[Event, None]:
    """The page's answer; where it is spread over several requests, one after the other until the reader says so."""
    while True:
        answer = await _accepted(site, recipe, traffic)
        tab.draining = answer
        try:
            async for event in reader.read(answer):
                yield event
            return
        except CutAnswer as error:
            tab.check()
            rest = site.reading_on(tab, turn, reader, traffic)
            if rest is None and not reader.goes_on:
                raise
            logger.debug("reading on elsewhere: {}", error)
        if rest is not None:
            async with aclosing(rest) as events:
                async for event in events:
                    yield event
            return


async def _accepted(site: Site, recipe: ScreenRecipe, traffic: Traffic) -> Answer:
    """The answer the page got, after the page's own renewal of a refused login if it makes one."""
    answer = await (await site.answering(traffic)).answer()
    if answer.status == 401 and recipe.renews:
        try:
            async with asyncio.timeout(RESEND_S):
                answer = await (await site.answering(traffic)).answer()
        except TimeoutError:
            logger.debug("the page did not send again after its 401")
    await site.accepted(answer)
    return answer


async def _dom(site: Site, tab: Tab, turn: Turn) -> AsyncGenerator[Event, None]:
    """Type in the page and read the page: the last resort. Whether the answer is whole, its traffic may tell."""
    recipe = _recipe(site)
    with _setting_up(tab):
        ahead = await _ready(site, tab, turn)
    screen = site.on_screen(tab)
    before, thoughts = await screen.count("answer"), await screen.count("reasoning")
    finished = False
    async with tab.traffic(*_globs(recipe.answer)) as traffic:
        with _setting_up(tab):
            await _type(site, recipe, tab, turn, screen, ahead=ahead)
        verdict = asyncio.create_task(_verdict(site, recipe, tab, turn, traffic))
        try:
            drop = site.selectors.current().drop
            answer = screen.answer(
                before=before, thoughts=thoughts, drop=drop, settle_ms=recipe.settle_ms, dedented=recipe.dedented
            )
            async with aclosing(named(_judged(answer, verdict), recipe, tab)) as events:
                async for event in events:
                    finished = isinstance(event, Finished)
                    yield event
        except RelayError:
            finished = True
            raise
        finally:
            verdict.cancel()
            await asyncio.gather(verdict, return_exceptions=True)
            if not finished:
                await _stop(screen)


async def _verdict(site: Site, recipe: ScreenRecipe, tab: Tab, turn: Turn, traffic: Traffic) -> Verdict:
    """How the answer that the page shows ended, by its traffic: its end mark, or what is raised against it.

    Pages show little of what goes wrong. None where the traffic says nothing: the site's reader may not understand it,
    and that may be why the page is read at all.
    """
    if recipe.reader is None:
        return None
    reader, understood = recipe.reader(), False
    while True:
        answer: Answer | None = None
        try:
            answer = tab.draining = await _accepted(site, recipe, traffic)
            async with aclosing(reader.read(answer)) as events:
                async for event in events:
                    understood = understood or isinstance(event, Text)
                    if isinstance(event, Finished | Retracted):
                        return event
        except SiteChanged as error:
            logger.debug("the traffic is not understood: {}", error)
            return None
        except CutAnswer:
            if answer is None:
                raise
            rest = site.reading_on(tab, turn, reader, traffic)
            if rest is not None:
                await rest.aclose()
                return None
            if not reader.goes_on:
                if answer.torn or understood:
                    raise
                return None


async def _judged(answer: AsyncGenerator[Event, None], verdict: asyncio.Task[Verdict]) -> AsyncGenerator[Event, None]:
    """The events of an answer with the verdict's end, or what the verdict raises before that."""
    async with aclosing(answer):
        while True:
            coming = asyncio.ensure_future(anext(answer, None))
            try:
                await asyncio.wait({coming, verdict}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done() and verdict.done():
                    verdict.result()
                event = await coming
            except SiteError:  # a page shows that something is wrong, seldom what
                if not isinstance(event := await _told(verdict), Retracted):
                    raise
            finally:
                coming.cancel()
                await asyncio.gather(coming, return_exceptions=True)
            if event is None:
                return
            yield (await _told(verdict) or event) if isinstance(event, Finished) else event


async def _told(verdict: asyncio.Task[Verdict]) -> Verdict:
    """The verdict, if it comes soon. Raises what it raises."""
    await asyncio.wait({verdict}, timeout=VERDICT_S)
    return verdict.result() if verdict.done() else None


async def _or_login(
    site: Site, tab: Tab, events: AsyncGenerator[Event, None], *left: type[RelayError]
) -> AsyncGenerator[Event, None]:
    """The events; where the page left under them (`left`) and shows its login now, that is what there is to say."""
    try:
        async with aclosing(events):
            async for event in events:
                yield event
    except left:
        if tab.fault is None and await _shows_wall(site, tab):
            raise LoginNeeded(f"{site.name}'s page has gone over to its login.") from None
        raise


async def _shows_wall(site: Site, tab: Tab) -> bool:
    screen = site.on_screen(tab)
    if not screen.has("wall"):
        return False
    for _ in range(LEAVES):
        try:
            return await screen.wait("wall", timeout_s=WALL_S)
        except (RelayError, CdpError, PageException) as failure:
            logger.debug("where the page has gone is not known: {}", failure)
            if tab.fault is not None:
                break
    return False


async def named(answer: AsyncGenerator[Event, None], recipe: ScreenRecipe, tab: Tab) -> AsyncGenerator[Event, None]:
    """The events of an answer that may not tell its conversation: then the page's address does.

    As soon as it does: who leaves in mid-answer leaves a conversation behind as well. A `Turned` waits for its name.
    """
    named, turned = "", ""
    async with aclosing(answer) as events:
        async for event in events:
            if isinstance(event, Started | Turned) and event.conversation:
                named = event.conversation
            elif not named:
                named = shown_at(await _address(tab) if isinstance(event, Finished) else tab.url, recipe)
                if named:
                    yield Started(named)
                    if turned:
                        yield Turned(named, turned)
            if isinstance(event, Turned) and not event.conversation:
                turned = event.message
                if not named:
                    continue
                event = Turned(named, turned)
            yield event


def shown_at(address: str, recipe: ScreenRecipe) -> str:
    """The id of the conversation that a page shows at this address; empty where the address tells of none."""
    before, _, after = urlsplit(recipe.conversation).path.partition("{id}")
    if not recipe.conversation:
        return ""
    found = re.fullmatch(re.escape(before) + "([^/]+)" + re.escape(after), urlsplit(address).path)
    return unquote(found[1]) if found else ""


async def _address(tab: Tab) -> str:
    """The page's own word for its address: what Playwright knows may be a moment old."""
    try:
        return str(await tab.evaluate("function() { return location.href; }"))
    except (RelayError, CdpError, PageException) as error:
        logger.debug("the page's address is not known: {}", error)  # its answer is whole all the same
        return tab.url


async def _stop(screen: Screen) -> None:
    """Press stop on a page whose answer nobody wants any more."""
    await finish(screen.stop(), 3, "stop was not pressed")


async def finish(work: Coroutine[Any, Any, object], within_s: float, failed: str) -> None:
    """Let a last call through, even while we are being cancelled; `failed` says what it means where it fails."""
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to be told
    try:
        await asyncio.wait_for(asyncio.shield(task), within_s)
    except (RelayError, TimeoutError) as error:
        logger.debug("{}: {}", failed, error)
