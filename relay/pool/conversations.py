"""Native continuation: which conversation of a site a request goes on with, and which are to be deleted there.

All decisions are made in memory, at once; the store is written behind. What holds at every moment: a turn's history key
names exactly what the site has said and heard up to it, so whoever sends that history may go on from there. While a
chat holds a conversation nobody else gets it, and from the moment its prompt may have reached the site until its answer
is whole, the conversation's tip is unknown (also on disk: a crash in between continues nothing wrongly).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, NamedTuple, TypeVar

from loguru import logger

from relay.chat.conversation import base, history_key, split
from relay.chat.request import ChatRequest, Message
from relay.errors import BadRequest, ConversationNotFound, RateLimited
from relay.pool.rows import ConversationRow, TurnRow
from relay.pool.store import Store

MAX_TURNS = 50_000
BUSY_S = 1.0
DELETION_GAPS_S = (60.0, 240.0, 960.0, 3840.0)
"""Waits between the tries to delete a conversation; after the last try it is given up."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Match:
    """What a request continues."""

    account: str
    """The site's account that has it (without the site's name): no other can continue it."""
    conversation_id: str
    parent: str
    """The site's id of the message to hang the turn on; empty where it has none."""
    new_messages: tuple[Message, ...]
    """What the site has not heard yet; flatten these (and upload their files) instead of the whole history."""
    explicit: bool
    """The client named the conversation: if the site has lost it, that is a 404 and never a fresh start."""
    history: str
    """Key of what the site has heard."""
    branches: bool
    told: bool = False
    """Whether all of the request's history is in it: the site knows the request's tools then."""
    newest: bool = True
    """Whether the turn comes after the conversation's last: a page can go on nowhere else."""


class Due(NamedTuple):
    """A conversation to delete on the site."""

    site: str
    account: str
    conversation_id: str


@dataclass(eq=False, slots=True)
class Known:
    """A conversation that the relay created, and the turns after which it can be continued, oldest first."""

    row: ConversationRow
    turns: dict[str, TurnRow] = field(default_factory=dict)
    held: bool = False

    def open_at(self, turn: TurnRow, branches: bool) -> bool:
        """Whether the site can go on after this turn: the newest, or any where turns hang on a named parent."""
        return turn.history == self.row.tip or bool(branches and turn.parent)

    def newest(self, branches: bool) -> TurnRow | None:
        """The turn that a client means who names only the conversation."""
        tip = self.turns.get(self.row.tip)
        return tip or next((turn for turn in reversed(self.turns.values()) if self.open_at(turn, branches)), None)


class _Bag(Generic[K, V]):
    """Several values by one key."""

    def __init__(self) -> None:
        self._values: dict[K, list[V]] = {}

    def add(self, key: K, value: V) -> None:
        self._values.setdefault(key, []).append(value)

    def remove(self, key: K, value: V) -> None:
        values = self._values[key]
        values.remove(value)
        if not values:
            del self._values[key]

    def newest_first(self, key: K) -> Iterator[V]:
        return reversed(self._values.get(key, []))


class Conversations:
    """All conversations that the relay created on its sites, from the start with what the store remembers."""

    def __init__(
        self,
        store: Store,
        mode: Literal["auto", "fresh"] = "auto",
        keep_s: float = 3600,
        clock: Callable[[], float] = time.time,
        max_turns: int = MAX_TURNS,
    ) -> None:
        """`mode="fresh"` continues only what a client names; `keep_s` is seconds unused; `clock` tells Unix seconds."""
        self.store = store
        self.clock = clock
        self._mode = mode
        self._keep_s = keep_s
        self._max_turns = max_turns
        self._known: dict[tuple[str, str, str], Known] = {}
        self._turns: OrderedDict[TurnRow, None] = OrderedDict()
        self._by_history: _Bag[tuple[str, str, str, str], TurnRow] = _Bag()
        self._by_id: _Bag[tuple[str, str, str], Known] = _Bag()
        self._by_answer: _Bag[tuple[str, str, str], TurnRow] = _Bag()
        self._load()

    def __repr__(self) -> str:
        held = sum(known.held for known in self._known.values())
        return f"<Conversations {len(self._known)} held={held} turns={len(self._turns)}>"

    def _load(self) -> None:
        rows, turns = self.store.take_conversations()
        for row in rows:
            self._add(Known(row))
        for turn in turns:
            known = self._known.get((turn.site, turn.account, turn.conversation))
            if known is not None:
                self._add_turn(known, turn)
        self._evict()
        for known in self._known.values():
            if not known.turns:  # the relay died under its first answer
                self.doom(known)

    # what a request continues

    def find(self, request: ChatRequest, site: str, *, native: bool, branches: bool) -> Match | None:
        """The conversation a request continues, or None: a new one, with the whole history.

        `native`: the site can continue at all; `branches`: also after a turn that is not the newest. Call it when the
        request comes in, and make a `Hold` of the result at once. A request that names a conversation raises
        ConversationNotFound (404) if it cannot be continued, RateLimited (429) while another chat holds it, and
        BadRequest without anything new to say.
        """
        match request.conversation_id:
            case None | "":
                return self._by_hash(request, site, branches) if native and self._mode == "auto" else None
            case "none":
                return None
            case name:
                return self._by_name(request, site, name, native, branches)

    def _by_hash(self, request: ChatRequest, site: str, branches: bool) -> Match | None:
        said, new = split(request.messages)
        if not said or not new:
            return None
        key = history_key(said, base(request))
        for turn in self._by_history.newest_first((request.caller, site, request.choice.agent, key)):
            known = self._known[turn.site, turn.account, turn.conversation]
            if not known.held and self._usable(known, request) and known.open_at(turn, branches):
                newest = turn.history == known.row.tip
                return Match(turn.account, turn.conversation, turn.parent, new, False, key, branches, True, newest)
        return None

    def _by_name(self, request: ChatRequest, site: str, name: str, native: bool, branches: bool) -> Match:
        known, turn = self._named(request, site, name)
        if known is None or not native:
            raise _gone(name)
        if known.held:
            raise RateLimited(
                f"The conversation {name[:80]!r} is busy with another request. Send this one when that has ended.",
                param="conversation_id",
                retry_after_s=BUSY_S,
            )
        said, new = split(request.messages)
        said_here = known.turns.get(history_key(said, base(request))) if said else None
        told = said_here is not None and known.open_at(said_here, branches)
        after = said_here if told else turn or known.newest(branches)
        if after is None or not known.open_at(after, branches):
            raise _gone(name)
        if not new:
            raise BadRequest("There is no message after the last answer to go on with.", param="messages")
        newest = after.history == known.row.tip
        return Match(after.account, after.conversation, after.parent, new, True, after.history, branches, told, newest)

    def _named(self, request: ChatRequest, site: str, name: str) -> tuple[Known | None, TurnRow | None]:
        """The caller's own conversation of that id, or the one in which that answer was given, and after which turn."""
        for known in self._by_id.newest_first((request.caller, site, name)):
            if self._usable(known, request):
                return known, None
        for turn in self._by_answer.newest_first((request.caller, site, name)):
            known = self._known[turn.site, turn.account, turn.conversation]
            if self._usable(known, request):
                return known, turn
        return None, None

    def _usable(self, known: Known, request: ChatRequest) -> bool:
        row, account = known.row, request.choice.account
        return not row.doomed and not self._expired(row) and account in ("", row.account)

    def _expired(self, row: ConversationRow, now: float | None = None) -> bool:
        return row.used + self._keep_s <= (self.clock() if now is None else now)

    # what is to be deleted

    def due(self, now: float | None = None) -> list[Due]:
        """Conversations to delete on their sites, the longest unused first; from now on nobody continues these.

        Say `deleted` or `delete_failed` of each that was tried; what was not tried is due again.
        """
        now = self.clock() if now is None else now
        found = [
            known
            for known in self._known.values()
            if not known.held and known.row.retry_at <= now and (known.row.doomed or self._expired(known.row, now))
        ]
        for known in found:
            self.doom(known)
        rows = sorted((known.row for known in found), key=lambda row: row.used)
        return [Due(row.site, row.account, row.id) for row in rows]

    def deleted(self, due: Due) -> None:
        """The site has it no more (or cannot delete at all)."""
        known = self._known.get(due)
        if known is not None:
            self.forget(known)

    def delete_failed(self, due: Due, why: str = "") -> None:
        """Try again later, with growing gaps; given up after five tries."""
        known = self._known.get(due)
        if known is None:
            return
        failures = known.row.failures + 1
        if failures > len(DELETION_GAPS_S):
            logger.warning(
                "{}/{}: a conversation could not be deleted in {} tries and stays there. {}",
                due.site, due.account, failures, why,
            )  # fmt: skip
            self.forget(known)
        else:
            self.change(known, failures=failures, retry_at=self.clock() + DELETION_GAPS_S[failures - 1])

    # what pool.hold changes

    def create(self, row: ConversationRow) -> Known:
        """A conversation that the site has just opened."""
        known = Known(row, held=True)
        self._add(known)
        self.store.put_conversation(row)
        return known

    def has(self, known: Known) -> bool:
        """Whether it was not forgotten."""
        return self._known.get((known.row.site, known.row.account, known.row.id)) is known

    def get(self, site: str, account: str, conversation_id: str) -> Known | None:
        """A conversation by its id on the site."""
        return self._known.get((site, account, conversation_id))

    def change(self, known: Known, **fields: object) -> None:
        """Change fields of its row."""
        known.row = replace(known.row, **fields)  # type: ignore[arg-type]
        self.store.put_conversation(known.row)

    def add_turn(self, known: Known, turn: TurnRow, *, tip: bool = True) -> None:
        """A turn that was answered; with `tip`, the newest of its conversation."""
        known.row = replace(known.row, tip=turn.history if tip else known.row.tip, used=self.clock())
        self.store.put_conversation(known.row, turn)
        self._add_turn(known, turn)
        self._evict()

    def doom(self, known: Known) -> None:
        """Nobody continues it any more; it is due for deletion."""
        if not known.row.doomed:
            for turn in tuple(known.turns.values()):
                self._remove_turn(known, turn)
            self.change(known, doomed=True, tip="")

    def leave(self, site: str, account: str) -> int:
        """Nobody continues any conversation of this account any more; how many are still to be deleted."""
        left = [known for known in self._known.values() if (known.row.site, known.row.account) == (site, account)]
        for known in left:
            if not known.held:
                self.doom(known)
        return len(left)

    def forget(self, known: Known) -> None:
        """It is gone from the site."""
        row = known.row
        for turn in tuple(known.turns.values()):
            self._remove_turn(known, turn)
        del self._known[row.site, row.account, row.id]
        self._by_id.remove((row.caller, row.site, row.id), known)
        self.store.drop_conversation(row)

    # the indexes

    def _add(self, known: Known) -> None:
        row = known.row
        self._known[row.site, row.account, row.id] = known
        self._by_id.add((row.caller, row.site, row.id), known)

    def _add_turn(self, known: Known, turn: TurnRow) -> None:
        if (old := known.turns.get(turn.history)) is not None:  # the same words again, on another branch
            self._remove_turn(known, old)
        row = known.row
        known.turns[turn.history] = turn
        self._turns[turn] = None
        self._by_history.add((row.caller, row.site, row.agent, turn.history), turn)
        if turn.answer:
            self._by_answer.add((row.caller, row.site, turn.answer), turn)

    def _remove_turn(self, known: Known, turn: TurnRow) -> None:
        row = known.row
        del known.turns[turn.history], self._turns[turn]
        self._by_history.remove((row.caller, row.site, row.agent, turn.history), turn)
        if turn.answer:
            self._by_answer.remove((row.caller, row.site, turn.answer), turn)

    def _evict(self) -> None:
        """Keep the newest turns only; a conversation without any can be continued by nobody."""
        while len(self._turns) > self._max_turns:
            turn = next(iter(self._turns))
            known = self._known[turn.site, turn.account, turn.conversation]
            self._remove_turn(known, turn)
            self.store.drop_turn(turn)
            if not known.turns and not known.held:
                self.doom(known)


def _gone(name: str) -> ConversationNotFound:
    return ConversationNotFound(
        f"There is no conversation {name[:80]!r} to continue: it is unknown, was deleted, or has gone on since. "
        "Send the whole history without conversation_id.",
        param="conversation_id",
    )
