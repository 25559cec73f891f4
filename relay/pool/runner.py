"""A leased chat: try the drivers in order, watch the clocks, learn from what fails."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing

from loguru import logger

from relay.browser.cdp import CdpError
from relay.browser.clocks import clocked
from relay.browser.screen import MissingRole
from relay.browser.tab import Tab
from relay.browser.world import PageException
from relay.chat.events import Finished, Media, Quota, Retracted, Started, Turned
from relay.chat.request import Turn
from relay.errors import (
    AccountBanned,
    BadRequest,
    BrowserFault,
    ChallengeNeeded,
    ClockRanOut,
    ContentRefused,
    ConversationNotFound,
    CutAnswer,
    LoginNeeded,
    PageLeft,
    RateLimited,
    RelayError,
    SiteChanged,
    SiteError,
    SiteUnavailable,
)
from relay.pool.account import Account, State
from relay.pool.chat import PooledChat
from relay.pool.media import reachable
from relay.pool.pages import Slot
from relay.pool.turns import build_turn
from relay.settings import Settings
from relay.sites.base import LoginState, Site
from relay.sites.drivers import run


def drivers_of(site: Site, settings: Settings) -> Sequence[str]:
    """The drivers to try, in order: the setting's, else the site's own."""
    own = settings.sites.get(site.id)
    return own.drivers if own and own.drivers else site.drivers


class Runner:
    """Runs one chat on one page of one account."""

    def __init__(self, chat: PooledChat, account: Account, slot: Slot, settings: Settings) -> None:
        self._chat = chat
        self._account = account
        self._slot = slot
        self._settings = settings

    def __repr__(self) -> str:
        return f"<Runner {self._chat} on {self._slot.id}>"

    async def run(self) -> RelayError | None:
        """Run the chat; returns the error it failed with, if it did. The account and its page have learnt from it."""
        chat, account = self._chat, self._account
        with logger.contextualize(request_id=chat.id):
            try:
                chat.progress("opening a page")
                tab = await self._page()
                chat.steps.mark("page")
                await self._try_drivers(tab)
            except Exception as error:
                known = _known(error)
                logger.warning("{} failed with {}: {}", chat, known.code, known.message)
                return await self._learn(known)
        account.proved(chat.model)
        return None

    async def _page(self) -> Tab:
        try:
            return await self._account.pages.tab(self._slot)
        except RelayError as error:
            error.refused = True  # nothing was sent yet
            raise

    async def _try_drivers(self, tab: Tab) -> None:
        chat, site = self._chat, self._account.site
        drivers = drivers_of(site, self._settings)
        for number, driver in enumerate(drivers):
            chat.driver = driver
            chat.progress(f"asking {site.name}")
            try:
                await self._converse(tab, driver)
                return
            except RelayError as error:
                last = number + 1 == len(drivers)
                if chat.shown or last or not error.refused or _is_of_account(error):
                    raise
                logger.info("driver {} was refused ({}), trying {}", driver, error.code, drivers[number + 1])

    async def _converse(self, tab: Tab, driver: str) -> None:
        """One driver: in the conversation that is continued, or with the whole history in a new one."""
        chat, site = self._chat, self._account.site
        hold = chat.hold
        if hold.match is not None and not site.continues(driver, chat.model, newest=hold.match.newest):
            if hold.match.explicit:
                raise BadRequest(
                    f"The driver {driver} of {site.name} cannot continue a conversation there.", refused=True
                )
            hold.leave()
        match = hold.match
        try:
            await self._ask(tab, driver, build_turn(chat.request, site, match))
        except ConversationNotFound as error:
            if match is None or chat.shown:
                raise
            hold.lost()
            if match.explicit:
                raise ConversationNotFound(
                    f"The conversation is gone: {error.message} Send the whole history without conversation_id."
                ) from None
            logger.info("the site has lost the conversation; sending the whole history")
            await self._ask(tab, driver, build_turn(chat.request, site))

    async def _ask(self, tab: Tab, driver: str, turn: Turn) -> None:
        chat, account = self._chat, self._account
        clocks = self._settings.clocks_for(account.site.id, account.site.clocks)
        tab.sent_at = None
        chat.hold.sending(account.profile.account)
        await chat.hold.written()
        try:
            async with aclosing(clocked(run(account.site, driver, tab, turn), clocks)) as events:
                async for event in events:
                    if isinstance(event, Started):
                        chat.hold.started(event.conversation)
                    elif isinstance(event, Turned):
                        if turn.conversation is not None and not event.conversation:
                            event = Turned(turn.conversation.id, event.message)  # named already, so not named again
                        chat.hold.turned(event.conversation, event.message)
                    elif isinstance(event, Finished) and driver != "dom":  # a page tells no message to go on from
                        chat.hold.finished()
                    elif isinstance(event, Quota):
                        account.noted(event)
                    elif isinstance(event, Media):
                        event = await reachable(tab, event)
                    if chat.steps.sent is None:
                        chat.steps.sent = tab.sent_at
                    chat.put(event)
                    if isinstance(event, Finished | Retracted):
                        return
        except RelayError as error:
            if error.refused and not chat.shown:
                chat.hold.refused()
            raise
        raise CutAnswer("The site's answer ended without its end mark. Send the request again.")

    async def _learn(self, error: RelayError) -> RelayError:
        """What an error says of the account and its page; returns what there is to say of the chat.

        A refused login is believed once the probe confirms it. A page that lacks an element, or says that something
        is wrong, may be all that the site shows to an account that it has shut out: then that is the error.
        """
        chat, account, slot = self._chat, self._account, self._slot
        if isinstance(error, MissingRole) and error.screenshot:
            self._keep_screenshot(error)
        if isinstance(error, RateLimited):
            account.rest(chat.model, error)
        elif isinstance(error, AccountBanned):
            account.park(State.BROKEN, error.message, "banned")
        elif type(error) is SiteUnavailable:  # not an answer that was cut, nor a failure that the site reports
            account.missed_site(error)
        try:
            if isinstance(error, LoginNeeded | ChallengeNeeded) and slot.tab is not None:
                await account.check(slot)
            elif _is_of_page(error, chat.driver) and slot.tab is not None:
                login = await account.check(slot)
                await account.pages.drop(slot)
                if login.state is not LoginState.LIVE and (shut := account.refusal(chat.model)) is not None:
                    logger.warning("{}: its page is so because of {}", chat, shut.code)
                    shut.refused = error.refused
                    return shut
            elif isinstance(error, BrowserFault | PageLeft | ClockRanOut | SiteChanged):
                await account.pages.drop(slot)
            elif not isinstance(error, BadRequest | ContentRefused) and slot.tab is not None:
                slot.tab.fresh = False
        except (RelayError, CdpError, PageException) as failure:
            logger.warning("{}: the page is closed after a failed check: {}", account.name, failure)
            await account.pages.drop(slot)
        return error

    def _keep_screenshot(self, error: MissingRole) -> None:
        folder = self._settings.home / "screenshots"
        file = folder / f"{self._chat.site}-{error.role}.png"
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            file.write_bytes(error.screenshot)
            file.chmod(0o600)
        except OSError as failure:
            logger.warning("a screenshot of the page could not be kept: {}", failure)
        else:
            logger.warning("what the page showed: {}", file)


def _is_of_account(error: RelayError) -> bool:
    """Whether no other driver would fare better. (A call that is forbidden, HTTP 403, may only lack a signature.)"""
    return isinstance(error, RateLimited | ChallengeNeeded | AccountBanned) or (
        isinstance(error, LoginNeeded) and error.renewable
    )


def _is_of_page(error: RelayError, driver: str) -> bool:
    """Whether an error tells what a page shows, and not why."""
    return (isinstance(error, MissingRole) and error.refused) or (driver == "dom" and type(error) is SiteError)


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
