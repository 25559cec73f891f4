"""`relay doctor`: what the adapter expects of a site, tried step by step on a real account.

The tests' replicas show that an adapter fits what was known of a site; only this shows that the site is still so.
"""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from relay import __version__
from relay.browser.cdp import CdpError
from relay.browser.clocks import clocked
from relay.browser.screen import FAULTS, MissingRole
from relay.browser.tab import Tab
from relay.browser.world import PageException
from relay.chat.events import Finished, Reasoning, Retracted, Started, Text, Turned
from relay.chat.request import Turn
from relay.errors import BadRequest, CutAnswer, NoAccount, RelayError
from relay.log import redact
from relay.pool.account import Account
from relay.pool.browsers import Browsers
from relay.pool.pages import Slot
from relay.pool.profiles import Profile
from relay.pool.runner import drivers_of
from relay.pool.store import Store
from relay.settings import Settings
from relay.sites.base import LoginState, ModelSpec, Site
from relay.sites.drivers import run
from relay.sites.registry import site_class

PROMPT = "Reply with the single word OK."
STEP_S = 90.0
"""For each step but the chats, which have the clocks of answers."""
PAGE_S, ROLE_S = 10.0, 3.0
"""How long the page may take until one can type in it, and then until it shows another role."""
RESTING = ("input", "attach", "login", "model", "thinking", "search", "new_chat")
"""Roles that an empty chat shows to who is logged in, where the site's selectors name them. (Send comes with text.)"""
MAX_DETAIL_CHARS = 500


class Differs(Exception):
    """Something is not as expected, with a picture where there is one."""

    def __init__(self, detail: str, picture: bytes = b"") -> None:
        super().__init__(detail)
        self.picture = picture


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the examination."""

    name: str
    ok: bool
    detail: str
    """What was found, in a line without secrets."""
    took_ms: int
    picture: bytes = field(default=b"", repr=False)
    """PNG of the page with passwords and codes masked, where the step differs."""


async def doctor(profile: Profile, settings: Settings) -> AsyncGenerator[Step, None]:
    """Examine one account in a browser of its own, on the account's files; its state is saved at the end.

    Raises NoAccount while another process has the account (a running server), BrowserFault without a browser.
    """
    browsers = Browsers(settings)
    with tempfile.TemporaryDirectory(prefix="relay-doctor-") as folder:  # what the server remembers is not touched
        store = await Store.open(Path(folder) / "relay.db")
        account = Account.load(profile, settings, browsers, store, lambda *_: None)
        try:
            if account.reason == "elsewhere":
                raise NoAccount(f"{account.why} `relay doctor` needs it for itself.")
            if account.reason:
                yield Step("files", False, redact(account.why)[:MAX_DETAIL_CHARS], 0)
                return
            async with aclosing(examine(account, settings)) as steps:
                async for step in steps:
                    yield step
        finally:
            await account.pages.save()  # the site may have renewed the login meanwhile, and ended the old one
            account.lock.release()
            await browsers.stop()
            await store.close()


async def examine(account: Account, settings: Settings) -> AsyncGenerator[Step, None]:
    """The steps on an account that nobody else uses. After a page that does not open or a dead login there are none."""
    work = _Examination(account, settings)
    try:
        for name, step in work.first():
            yield (done := await work.do(name, step))
            if not done.ok:
                return
        for name, step in work.further():
            yield await work.do(name, step)
        for name, step in work.last():  # known only now
            yield await work.do(name, step)
    finally:
        await account.pages.drop(work.slot)


Work = tuple[str, Callable[[], Coroutine[Any, Any, str]]]


class _Examination:
    def __init__(self, account: Account, settings: Settings) -> None:
        self._account = account
        self._settings = settings
        self._site: Site = account.site
        self.slot: Slot = account.pages.add()
        self._models: Sequence[ModelSpec] = self._site.models
        self._made: dict[str, None] = {}
        """Conversations that the chats began, in order."""
        self._unknown = 0
        """Conversations that were begun and have no number that we know."""
        self._typable = True

    @property
    def _tab(self) -> Tab:
        assert self.slot.tab is not None
        return self.slot.tab

    def first(self) -> Sequence[Work]:
        """What all else needs."""
        return (("open", self._open), ("login", self._probe), ("models", self._catalogue))

    def further(self) -> Sequence[Work]:
        """The empty chat with its roles, then a small chat by each driver."""
        steps: list[Work] = []
        if self._site.screen is not None:
            named = self._site.selectors.current().roles
            files = any(spec.files or spec.images for spec in self._models)
            wanted = [role for role in RESTING if named.get(role) and (role != "attach" or files)]
            steps = [("empty chat", self._reset), ("nothing in the way", self._unobstructed)]
            steps += [(f"role {role}", lambda role=role: self._role(role)) for role in wanted]  # type: ignore[misc]
        drivers = drivers_of(self._site, self._settings)
        steps += [(f"chat by {driver}", lambda driver=driver: self._chat(driver)) for driver in drivers]  # type: ignore[misc]
        return steps

    def last(self) -> Sequence[Work]:
        """What is to be cleaned up."""
        return (("clean-up", self._clean_up),) if self._made or self._unknown else ()

    async def do(self, name: str, work: Callable[[], Coroutine[Any, Any, str]]) -> Step:
        """Run one step under its clock; whatever it meets becomes its result."""
        started = time.perf_counter()
        picture = b""
        within_s = STEP_S if not name.startswith("chat") else None
        try:
            async with asyncio.timeout(within_s):
                ok, detail = True, await work()
        except TimeoutError:
            ok, detail = False, f"not done within {within_s:g} s"
        except (Differs, MissingRole) as error:
            ok, detail = False, str(error)
            picture = error.picture if isinstance(error, Differs) else error.screenshot
        except (RelayError, CdpError, PageException) as error:
            ok, detail = False, str(error)
        took_ms = round((time.perf_counter() - started) * 1000)
        if not ok and not picture and self.slot.tab is not None and self.slot.tab.fault is None:
            picture = await self._site.on_screen(self._tab).picture()
        return Step(name, ok, " ".join(redact(detail).split())[:MAX_DETAIL_CHARS], took_ms, picture)

    # steps

    async def _open(self) -> str:
        tab = await self._account.pages.tab(self.slot)
        return f"at {tab.url.partition('?')[0]}"

    async def _probe(self) -> str:
        login = await self._site.probe(self._tab)
        if login.state is not LoginState.LIVE:
            raise Differs(f"the login is {login.state.value}: {login.detail or 'the site does not say why'}")
        return "the login is live"

    async def _catalogue(self) -> str:
        self._models = await self._site.catalogue(self._tab)
        known = {spec.key for spec in self._site.models}
        new = [spec.key for spec in self._models if spec.key not in known]
        return f"{len(self._models)}" + (f", not known to relay: {', '.join(new)}" if new else "")

    async def _reset(self) -> str:
        await self._site.reset(self._tab)
        self._tab.fresh = False  # the chats load the page for themselves
        return f"at {self._tab.url.partition('?')[0]}"

    async def _unobstructed(self) -> str:
        screen = self._site.on_screen(self._tab)
        self._typable = await screen.wait("input", timeout_s=PAGE_S)  # its absence is told next
        shown = [role for role in FAULTS if screen.has(role) and await screen.count(role)]
        if shown:
            raise Differs(f"the page shows: {', '.join(shown)}")
        return ""

    async def _role(self, role: str) -> str:
        screen = self._site.on_screen(self._tab)
        within_s = ROLE_S if self._typable else 0.1  # else the page has had its time
        if not await screen.wait(role, timeout_s=within_s):
            raise await screen.missing(role)
        return f"{await screen.count(role)} found"

    async def _chat(self, driver: str) -> str:
        """One answer in a new conversation."""
        if not self._typable and not driver.startswith("fetch"):
            raise Differs("not tried: the page shows no input")
        model = next((spec.key for spec in self._models if spec.default), "")
        clocks = self._settings.clocks_for(self._site.id, self._site.clocks)
        text, thought, ended, named = "", 0, False, ""
        events = run(self._site, driver, self._tab, Turn(PROMPT, model))
        try:
            async with aclosing(clocked(events, clocks)) as told:
                async for event in told:
                    match event:
                        case Started(conversation=conversation) | Turned(conversation=conversation):
                            named = conversation or named
                        case Text(text=piece):
                            text += piece
                        case Reasoning(text=piece):
                            thought += len(piece)
                        case Retracted():
                            raise Differs("the site took its answer back")
                        case Finished():
                            ended = True
                            break
        finally:
            self._remember(named, begun=bool(text or thought or ended))
        if not ended:
            raise CutAnswer("The answer ended without its end mark.")
        if not text.strip():
            raise Differs("the answer has no text")
        return f"{len(text)} characters" + (f", {thought} of reasoning" if thought else "")

    def _remember(self, named: str, *, begun: bool) -> None:
        """The conversation of a chat, by its own word or by the page's address."""
        pattern = self._site.screen.conversation if self._site.screen else ""
        if not named and pattern:
            address = re.escape(pattern).replace(re.escape("{id}"), r"([\w-]+)")
            found = re.search(address + r"(?:[?#]|$)", self._tab.url)
            named = found[1] if found else ""
        if named:
            self._made[named] = None
        elif begun:
            self._unknown += 1

    async def _clean_up(self) -> str:
        """Delete what the chats began."""
        left = f"{self._unknown} left whose number the page does not tell" if self._unknown else ""
        if not self._site.capabilities.delete:
            return "the site's conversations cannot be deleted through relay"
        for conversation in tuple(self._made):
            await self._site.delete(self._tab, conversation)
        return ", ".join(part for part in (f"{len(self._made)} conversations deleted", left) if part)


# the report


def first_difference(steps: Sequence[Step]) -> Step | None:
    """The first step that is not as expected."""
    return next((step for step in steps if not step.ok), None)


def render(profile: Profile, settings: Settings, steps: Sequence[Step], pictures: Sequence[str] = ()) -> str:
    """A report in Markdown, to be read and passed on; `pictures` are file names beside it."""
    kind = site_class(profile.site)
    site = kind(config=None)
    first = first_difference(steps)
    overlay = settings.home / "sites" / f"{profile.site}.toml"
    facts = [
        ("relay", __version__),
        ("date", datetime.now(UTC).isoformat(timespec="minutes")),
        ("adapter's evidence", kind.evidence or "unknown"),
        ("selectors' evidence", site.selectors.current().evidence or "unknown"),
        ("selector overlay", "yes" if overlay.is_file() else "no"),
        ("drivers", ", ".join(drivers_of(site, settings))),
    ]
    verdict = f"**The first that differs: {first.name}.** {first.detail}" if first else "Everything is as expected."
    rows = [
        f"| {step.name} | {'ok' if step.ok else '**differs**'} | {step.took_ms} | {_cell(step.detail)} |"
        for step in steps
    ]
    shown = [f"![{name}]({name})" for name in pictures]
    if shown:
        shown.append("Look at the pictures before you pass them on: only passwords and codes are masked.")
    lines = [
        f"# relay doctor: {kind.name}",
        verdict,
        "\n".join(f"- {name}: {value}" for name, value in facts),
        "\n".join(["| step | result | ms | found |", "|---|---|---|---|", *rows]),
        *shown,
    ]
    return "\n\n".join(lines) + "\n"


def choose(profiles: Sequence[Profile], site: str) -> Profile:
    """The account of a site to examine: the first that is not disabled. Raises NoAccount."""
    for profile in profiles:
        try:
            if profile.site == site and not profile.settings().disabled:
                return profile
        except BadRequest:
            return profile  # what is wrong with its files is the finding
    raise NoAccount(f"No account of {site_class(site).name} is set up: `relay login {site}`.")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
