"""What `relay.db` keeps, as plain data. Times are wall-clock Unix seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AccountRow:
    """The state that an account came to `since` (Unix seconds), and why."""

    state: str
    why: str
    since: float
    reason: str = ""
    """One of `face.REASONS`."""


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """A conversation that the relay created on a site, as one of its accounts, for one caller."""

    site: str
    account: str
    id: str
    caller: str
    agent: str
    created: float
    used: float
    tip: str = ""
    """History key of its newest turn; empty while a turn is under way, and after one whose end is not known."""
    doomed: bool = False
    """Nobody may continue it any more; it is to be deleted on the site."""
    failures: int = 0
    retry_at: float = 0.0


@dataclass(frozen=True, slots=True)
class TurnRow:
    """An answer after which the conversation can be continued."""

    site: str
    account: str
    conversation: str
    history: str
    """Key (`chat.conversation`) of the history up to and with the answer."""
    parent: str
    """The site's id of the message that the next turn hangs on; empty where it has none."""
    answer: str
    """The `id` that the client got."""
