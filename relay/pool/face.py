"""The pool's face to the API: plain data in, plain data out. No route reaches past it to a tab."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from relay.chat.events import Event, Quota, ToolCall
from relay.chat.request import ChatRequest


@dataclass(frozen=True, slots=True)
class Offer:
    """One model that clients may name, as `GET /v1/models` lists it."""

    id: str
    """`<site>` for a site's default, else `<site>/<key>` (or `<site>/<account>/<value>`)."""
    site: str
    key: str
    name: str
    default: bool = False
    aliases: tuple[str, ...] = ()
    """Bare names that mean this model exactly."""
    account: str = ""
    """Set where the name is bound to one account."""
    agents: str = ""
    """Regular expression of the site's agent ids; empty = none."""
    thinking: bool = False
    search: bool = False
    images: bool = False
    files: bool = False
    draws: bool = False
    token_pattern: str = ""
    """Regular expression of the site's tokens; empty = it takes none."""
    ready: bool = True
    """Whether an account of the site is configured."""


REASONS = (
    "expired", "guest", "challenge", "banned", "damaged", "parked", "disabled", "elsewhere", "lent", "site_down",
    "rate_limited",
)  # fmt: skip
"""`expired`: the login has died. `guest`: the site treats it as a guest. `banned`: closed or muted by the site.
`damaged`: its files cannot be used. `parked`: by its owner; `disabled`: in account.toml. `elsewhere`: another process
has it open. `lent`: its owner is logging in. `site_down`, `rate_limited`: it rests, and comes back by itself."""
OWNER_NEEDED = ("expired", "guest", "challenge", "banned", "damaged")
"""Reasons that only the owner can end."""


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """One account, as `/health` and `relay sites` show it."""

    site: str
    account: str
    state: str
    """new, ready, busy, cooling, login_needed, challenged, broken, disabled"""
    why: str = ""
    label: str = ""
    chats: int = 0
    tabs: int = 0
    reason: str = ""
    """Why it takes no chat, as a word: one of REASONS; empty where it may take one."""
    until: float | None = None
    """When a rest is over (Unix seconds), where that is known."""
    since: float | None = None
    """Since when its owner is needed (Unix seconds)."""
    quotas: tuple[Quota, ...] = ()
    """How far the site's limits are used up, each window as the site told it last; none that has begun anew since."""

    @property
    def name(self) -> str:
        """`<site>/<account>`."""
        return f"{self.site}/{self.account}"


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """The whole pool at a glance. `ready` = at least one account may take a chat."""

    ready: bool
    waiting: int
    running: int
    browser: str
    accounts: Sequence[AccountStatus]


class Chat(Protocol):
    """One submitted request. Iterate it once for its events; what fails raises a RelayError from the iteration."""

    @property
    def id(self) -> str:
        """The request's."""
        ...

    @property
    def site(self) -> str:
        """Where it is answered."""
        ...

    @property
    def account(self) -> str:
        """Empty until a tab is leased."""
        ...

    @property
    def driver(self) -> str:
        """The driver that answers (`fetch`, `screen`, `dom`, `fetch:queue`...); empty until it started."""
        ...

    @property
    def queue_ms(self) -> float:
        """Time spent waiting for a tab, so far or in all."""
        ...

    def __aiter__(self) -> AsyncIterator[Event]:
        """Events in order, up to and with Finished (or Retracted)."""
        ...

    def note(self) -> str:
        """One line for keep-alive comments: position in the queue, or what is being done."""
        ...

    @property
    def heard(self) -> str:
        """The key of the history that the answer follows (`ChatRequest.heard`, for one that is asked for again)."""
        ...

    def delivered(self, text: str, calls: tuple[ToolCall, ...] = ()) -> None:
        """The whole answer as the client was given it: what it will send back as history in its next request."""
        ...

    async def cancel(self) -> None:
        """Leave the queue, or stop the answer on the site and free the tab. Safe to call at any time, twice too."""
        ...


class Owner(Protocol):
    """What the owner does with accounts while the relay runs. `name` is `<site>/<account>`.

    Each raises AccountNotFound for one that is not there, BadRequest for a name that cannot be one.
    """

    async def check(self, name: str) -> AccountStatus:
        """Ask the site about the login now. Raises what kept the site from telling."""
        ...

    async def park(self, name: str) -> AccountStatus:
        """Take it out of service, over restarts too; chats under way end as they would."""
        ...

    async def resume(self, name: str) -> AccountStatus:
        """Back to service, rests and parking forgotten; then checked."""
        ...

    async def take_up(self, name: str) -> AccountStatus:
        """Load an account whose folder was made or changed since the start."""
        ...

    async def remove(self, name: str) -> None:
        """Drain it, close its pages and remove its folder."""
        ...

    async def lend(self, name: str) -> None:
        """Drain it, save it and let another process of the owner open it (a login window): it takes no chat meanwhile.

        Once that process has let go of the account's lock, it comes back by itself; `take_back` is sooner.
        """
        ...

    async def take_back(self, name: str) -> AccountStatus:
        """Open a lent account again, with the state that it has now. Raises NoAccount while it is still open there."""
        ...


@dataclass(frozen=True, slots=True)
class LoginTicket:
    """A one-time address of a remote login."""

    path: str
    """On this server: `/login/<secret>`."""
    expires: float
    """Unix seconds; until then somebody must have opened it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """What the page shows. `mime` is image/jpeg, or image/png (sharp, once nothing moves)."""

    data: bytes
    mime: str
    width: int
    height: int
    """Of the page in CSS pixels: the coordinates of `Gesture`s."""


@dataclass(frozen=True, slots=True)
class Scene:
    """All but the picture: the windows that are open, and how the login stands."""

    windows: Sequence[str]
    """Titles (or addresses) of the page and of its popups, in the order in which they opened."""
    shown: int
    """Index of the window that is shown."""
    address: str = ""
    chooser: Literal["", "one", "many"] = ""
    """A file chooser waits for files."""
    dialog: Literal["", "alert", "confirm", "prompt"] = ""
    """The page asks something by a dialog, and stands still until it is answered."""
    question: str = ""
    """What the dialog says."""
    state: Literal["waiting", "live", "ended"] = "waiting"
    why: str = ""


@dataclass(frozen=True, slots=True)
class Copied:
    """What the viewer copied or cut out of the page, for its own clipboard: the browser's is never used."""

    text: str


GestureKind = Literal[
    "move", "down", "up", "wheel", "touch_start", "touch_move", "touch_end", "key_down", "key_up",
    "compose", "text", "show", "close_window", "resize", "back", "reload", "files", "cancel_files",
    "accept", "dismiss",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Gesture:
    """What the viewer does. Coordinates are CSS pixels of the page; unused fields are as they are here."""

    kind: GestureKind
    x: float = 0
    y: float = 0
    dx: float = 0
    dy: float = 0
    button: Literal["none", "left", "middle", "right"] = "none"
    clicks: int = 0
    key: str = ""
    code: str = ""
    key_code: int = 0
    modifiers: int = 0
    """CDP's: 1 Alt, 2 Ctrl, 4 Meta, 8 Shift."""
    text: str = ""
    """`text`: typed by an input method or pasted. `compose`: what an input method shows while it composes.
    `accept`: the answer to a prompt."""
    scale: float = 1
    """`resize` to x by y: device pixels per CSS pixel."""
    window: int = 0
    """`show`, `close_window`: which one."""
    files: Sequence[tuple[str, bytes]] = ()


class LoginView(Protocol):
    """The one viewer's end of a remote login. Iterate for pictures and scenes; leaving stops the casting."""

    def __aiter__(self) -> AsyncIterator[Picture | Scene | Copied]:
        """The newest picture and scene; a slow viewer skips pictures, never the last scene, which says how it ended.

        Raises Forbidden where another viewer was the first to begin.
        """
        ...

    async def act(self, gesture: Gesture) -> None:
        """Do it in the page. A gesture that the page no longer has a place for is dropped."""
        ...


class Logins(Protocol):
    """Remote logins: the browser of an account shown to its owner."""

    async def open(self, name: str) -> LoginTicket:
        """Lend the account to a login and make its address. Raises AccountNotFound, NoAccount where it is lent."""
        ...

    async def end(self, name: str) -> None:
        """End the login of an account: the account is back, as it was. Without one, nothing happens."""
        ...

    def enter(self, secret: str, viewer: str) -> LoginView:
        """The view of `/login/<secret>`. The first `viewer` (a cookie's value) that iterates one has it, and its newest
        view takes over from its others. Raises Forbidden for any other viewer, LoginGone (404) where the login is over,
        expired or never was. (Its own viewer is still told for a moment how it ended.)"""
        ...


class Tokens(Protocol):
    """Site tokens that callers bring themselves."""

    async def check(self, token: str, site: str) -> bool:
        """Whether a token lives: asked of the site at most once in ten minutes. Raises what kept it from telling."""
        ...


class Pool(Protocol):
    """In-process by default; several machines may sit behind the same face."""

    @property
    def owner(self) -> Owner:
        """What the owner does with accounts."""
        ...

    @property
    def logins(self) -> Logins:
        """Remote logins."""
        ...

    @property
    def tokens(self) -> Tokens:
        """Site tokens of callers."""
        ...

    def submit(self, request: ChatRequest) -> Chat:
        """Queue a request. Raises QueueFull, NoAccount, LoginNeeded, ChallengeNeeded at once where waiting is vain."""
        ...

    def offers(self, *, everything: bool = False) -> Sequence[Offer]:
        """Models of sites with an account; with `everything`, of every site."""
        ...

    def status(self) -> PoolStatus:
        """Accounts, queue and browser."""
        ...

    async def metrics(self) -> bytes:
        """Measurements in Prometheus' text exposition format (`docs/metrics.md`)."""
        ...
