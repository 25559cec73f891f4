"""The contract of a site: facts, requests, a reader, and a few thin awaits."""

from __future__ import annotations

import re
from abc import ABC
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar
from urllib.parse import quote

from relay.browser.answer import Answer
from relay.browser.chromium import Context
from relay.browser.screen import Screen
from relay.browser.tab import Tab
from relay.browser.traffic import Exchange, Traffic
from relay.chat.events import Event, Finished, Media, Quota
from relay.chat.request import Attachment, FileRef, Turn
from relay.errors import BadRequest, ConversationNotFound, CutAnswer
from relay.settings import Clocks
from relay.sites.selectors import SelectorFile
from relay.wire.decoder import Decoder

F = TypeVar("F")
Switch = Literal["model", "thinking", "search", "agent"]
RECALL_S = 10.0
"""How long a page may take to show an earlier conversation."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model of a site. `key` is what clients write after `<site>/` and what `Turn.model` holds."""

    key: str
    name: str = ""
    default: bool = False
    aliases: tuple[str, ...] = ()
    """Exact names that mean this model, without the site's prefix (`kimi-k3`)."""
    thinking: bool = False
    search: bool = False
    images: bool = False
    files: bool = False
    always_thinks: bool = False
    draws: bool = False
    """Whether it answers with pictures when asked to draw."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the site can do through this adapter. What is not said here is refused clearly."""

    native_turns: bool = False
    """Whether the fetch driver can continue a conversation on the site (screens: `ScreenRecipe.conversation`)."""
    branches: bool = False
    """Whether a turn may follow any earlier message, not the newest one only."""
    delete: bool = False
    search: bool = False
    sources: bool = False
    thinking: bool = False
    images: bool = False
    files: bool = False
    agents: str = ""
    """Regular expression of an agent's id; empty = the site has none."""
    max_prompt_chars: int | None = None
    max_file_bytes: int | None = None


class LoginState(Enum):
    """What a probe found. A guest is not a login."""

    LIVE = "live"
    GUEST = "guest"
    DEAD = "dead"
    CHALLENGED = "challenged"
    BANNED = "banned"
    """Closed or muted by the site."""


@dataclass(frozen=True, slots=True)
class Login:
    """The result of a probe; `label` is how the site calls the user, `detail` says why where not live."""

    state: LoginState
    label: str = ""
    detail: str = ""
    quotas: tuple[Quota, ...] = ()
    """How far the account's limits are used up, where the site tells."""


@dataclass(frozen=True, slots=True)
class SiteConfig:
    """What an account's `account.toml` says to its site."""

    account: str = "default"
    base_url: str = ""
    overlays: Path | None = None
    """The folder of the user's selector overlays."""
    options: Mapping[str, Any] = field(default_factory=dict)


class Reader(ABC, Generic[F]):
    """Decoded frames in, events out. The same one for our fetch and for the page's own traffic."""

    frames: ClassVar[type[Decoder[Any]]]

    def feed(self, frame: F) -> Iterable[Event]:
        """The events of one frame; raises a RelayError for an error the frame reports."""
        raise NotImplementedError

    def end(self) -> Iterable[Event]:
        """The input has ended: what that completes. The default has nothing to add."""
        return ()

    @property
    def goes_on(self) -> bool:
        """Whether an answer that ends here without its end mark goes on in the page's next request (Gradio's steps)."""
        return False

    def _events(self, frames: Iterable[F]) -> Iterable[Event]:
        for frame in frames:
            yield from self.feed(frame)

    async def read(self, answer: Answer) -> AsyncGenerator[Event, None]:
        """Events of a whole answer. Raises CutAnswer when it ends without Finished."""
        decoder = self.frames()
        async for chunk in answer:
            for event in self._events(decoder.feed(chunk)):
                answer.complete = isinstance(event, Finished)
                yield event
                if answer.complete:
                    return
        for event in (*self._events(decoder.close()), *self.end()):
            answer.complete = isinstance(event, Finished)
            yield event
            if answer.complete:
                return
        raise CutAnswer("The site's answer ended without its end mark. Send the request again.")


@dataclass(frozen=True, slots=True)
class ScreenRecipe:
    """How the screen and dom drivers run a site; selectors are in `<id>/selectors.toml`.

    `answer` is a glob (or several) over addresses of the page's own requests that carry the answer. `fresh` is the
    address (a path, or whole) that shows an empty chat. `upload` is the glob (or several) of upload calls the page
    makes.
    """

    answer: str | tuple[str, ...] = ""
    reader: Callable[[], Reader[Any]] | None = None
    fresh: str = ""
    conversation: str = ""
    """The address that shows a conversation, with `{id}` in it; empty where the page cannot be brought to one."""
    upload: str | tuple[str, ...] = ""
    renews: bool = False
    """Whether the page renews a refused login and sends the prompt again by itself."""
    retypes: bool = False
    """Whether a prompt whose login was refused is typed once more, after `Site.refresh`."""
    switches: frozenset[Switch] = frozenset()
    """What `Site.choose` can set on the page before a prompt is typed; a turn that asks for more is refused there."""
    settle_ms: int = 400
    """How long a finished-looking DOM answer must stay unchanged before it counts as ended."""
    dedented: bool = False
    """Whether the page shows a growing answer without the indentation its lines have in common so far (Gradio)."""


class Site(ABC):
    """One account's view of a site. Instances hold no secrets; the page does."""

    id: ClassVar[str]
    name: ClassVar[str]
    address: ClassVar[str]
    drivers: ClassVar[tuple[str, ...]] = ("fetch", "screen", "dom")
    models: ClassVar[Sequence[ModelSpec]]
    capabilities: ClassVar[Capabilities] = Capabilities()
    clocks: ClassVar[Clocks | None] = None
    token_pattern: ClassVar[re.Pattern[str] | None] = None
    state_hosts: ClassVar[tuple[str, ...]] = ()
    """Domains, with all below them, whose cookies and storage make up a login; none = the address's own domain."""
    needs_base_url: ClassVar[bool] = False
    concurrency: ClassVar[int] = 4
    """Chats at once per account that the site takes without complaint; settable per account."""
    evidence: ClassVar[str] = ""
    """Date of the newest evidence behind the adapter, YYYY-MM."""
    seen_live: ClassVar[bool] = False
    screen: ClassVar[ScreenRecipe | None] = None

    def __init__(self, config: SiteConfig | None = None) -> None:
        self.config = config or SiteConfig()
        self.selectors = SelectorFile(self.id, self.config.overlays)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.config.account} {self.home}>"

    @property
    def login_page(self) -> str:
        """The page that a person who logs in begins at."""
        return self.home

    @property
    def home(self) -> str:
        """The page that tabs open."""
        return self.config.base_url or self.address

    async def open(self, tab: Tab) -> None:
        """Bring a new tab to where a chat can start."""
        await tab.goto(self.home)

    async def probe(self, tab: Tab) -> Login:
        """Ask the site whether the login lives. Raises SiteUnavailable when it cannot tell."""
        raise NotImplementedError

    async def adopt(self, context: Context, token: str) -> None:
        """Make a pasted token (of `token_pattern`) the login of a new context, before its first page is loaded.

        Raises BadRequest where the site has no such token, LoginNeeded where it refuses this one at once.
        """
        raise BadRequest(f"{self.name} has no token that could be pasted. Log in with `relay login {self.id}`.")

    async def catalogue(self, tab: Tab) -> Sequence[ModelSpec]:
        """The models of this account; the default are the site's own."""
        return self.models

    async def upload(self, tab: Tab, attachment: Attachment) -> FileRef:
        """Give the site a file. Raises BadRequest where the site takes none."""
        raise BadRequest(f"{self.name} takes no files through relay.")

    def chat(self, tab: Tab, turn: Turn, driver: str) -> AsyncGenerator[Event, None]:
        """Run a turn by the site's API, from inside the page; closing the generator stops the answer.

        `driver` is `fetch` or `fetch:<way>`.
        """
        raise NotImplementedError

    async def accepted(self, answer: Answer) -> None:
        """Raise what the answer's head (or an error body) says against it. For both drivers that read traffic."""
        await answer.raise_for_status()

    async def refresh(self, tab: Tab) -> None:
        """Let the page renew its login after a 401, once. The default reloads it."""
        await tab.goto(self.home)

    def on_screen(self, tab: Tab) -> Screen:
        """The tab by this site's selectors, as they are now."""
        selectors = self.selectors.current()
        return Screen(tab, selectors.roles, selectors.ways)

    async def reset(self, tab: Tab) -> None:
        """Screen drivers: bring the page to an empty chat. The pool does it ahead, after each answer."""
        await tab.goto(self.screen.fresh if self.screen and self.screen.fresh else self.home)
        tab.fresh = True

    async def choose(self, tab: Tab, turn: Turn) -> None:
        """Screen drivers: set the page's switches (`ScreenRecipe.switches`) to what the turn asks for."""
        return

    def _refuse_unchosen(self, turn: Turn) -> None:
        """Raise BadRequest for what the page cannot be set to."""
        switches = self.screen.switches if self.screen else frozenset()
        default = next((spec.key for spec in self.models if spec.default), "")
        asked: dict[Switch, bool] = {
            "model": turn.model not in ("", default) and not turn.agent,
            "thinking": turn.thinking,
            "search": turn.search,
            "agent": bool(turn.agent),
        }
        missing = [switch for switch, wanted in asked.items() if wanted and switch not in switches]
        if missing:
            raise BadRequest(
                f"{self.name}'s screen driver cannot choose {' or '.join(missing)}: let the fetch driver answer, "
                "or ask for the default model without extras."
            )

    async def prepare(self, tab: Tab, turn: Turn) -> None:
        """Screen drivers: bring the page to the turn's conversation, model and switches, before typing.

        Raises BadRequest for a switch that the page lacks, ConversationNotFound where the conversation is not shown.
        """
        self._refuse_unchosen(turn)
        if turn.conversation is not None and self.screen is not None:
            tab.fresh = False
            await tab.goto(self.screen.conversation.format(id=quote(turn.conversation.id, safe="")))
            # A page that takes a prompt before it has loaded the history would begin another conversation.
            if not await self.on_screen(tab).wait("answer", timeout_s=RECALL_S):
                raise ConversationNotFound(f"{self.name}'s page does not show the conversation any more.", refused=True)
        elif not tab.fresh:
            await self.reset(tab)
        await self.choose(tab, turn)

    async def answering(self, traffic: Traffic) -> Exchange:
        """Screen driver: the page's request that carries the answer, of those that `ScreenRecipe.answer` watches."""
        return await traffic.next()

    def reading_on(
        self, tab: Tab, turn: Turn, reader: Reader[Any], traffic: Traffic
    ) -> AsyncGenerator[Event, None] | None:
        """Screen driver: the rest of an answer whose request ended without its end mark; None where that cuts it."""
        return None

    async def uploaded(self, uploads: Traffic) -> None:
        """Screen driver: wait until the page has uploaded one file, by the calls of `ScreenRecipe.upload`."""
        answer = await (await uploads.next()).answer()
        await answer.raise_for_status()
        await answer.read()

    async def located(self, tab: Tab, media: Media) -> Media:
        """Screen driver: a picture or file of the answer with the address to fetch it from."""
        return media

    def continues(self, driver: str, model: str = "", *, newest: bool = True) -> bool:
        """Whether a driver can continue a conversation on the site with a model; `newest`: after its last message.

        A page goes on there only, whatever the site's API can: elsewhere it would answer in another history.
        """
        if driver.startswith("fetch"):
            return self.capabilities.native_turns
        return newest and driver == "screen" and bool(self.screen and self.screen.conversation)

    async def delete(self, tab: Tab, conversation: str) -> None:
        """Remove a conversation that the relay made."""
        raise BadRequest(f"{self.name} cannot delete conversations through relay.")
