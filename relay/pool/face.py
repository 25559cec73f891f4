"""The pool's face to the API: plain data in, plain data out. No route reaches past it to a tab."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from relay.chat.events import Event
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
    ready: bool = True
    """Whether an account of the site is configured."""


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

    id: str
    site: str
    account: str
    """Empty until a tab is leased."""
    driver: str
    """The driver that answers (`fetch`, `screen`, `dom`, `fetch:queue`...); empty until it started."""

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

    def delivered(self, text: str) -> None:
        """The whole answer as the client was given it: what it will send back as history in its next request."""
        ...

    async def cancel(self) -> None:
        """Leave the queue, or stop the answer on the site and free the tab. Safe to call at any time, twice too."""
        ...


class Pool(Protocol):
    """In-process by default; several machines may sit behind the same face."""

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
