"""Who may chat now: one pure function, called whenever something changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request in the queue, as far as the decision needs it."""

    id: str
    caller: str
    accounts: tuple[str, ...]
    """Names of the accounts that may serve it."""


@dataclass(frozen=True, slots=True)
class Room:
    """An account's free places."""

    free: int
    running: int


def assign(queue: Sequence[Waiting], rooms: Mapping[str, Room]) -> list[tuple[str, str]]:
    """Pairs (request id, account) to start now: callers take turns, FIFO within a caller, least-loaded account first.

    O(queue x accounts per request). A request whose accounts are all full holds up nobody but itself.
    """
    free = {name: room.free for name, room in rooms.items()}
    running = {name: room.running for name, room in rooms.items()}
    leases: list[tuple[str, str]] = []
    for request in _take_turns(queue):
        open_accounts = [name for name in request.accounts if free.get(name, 0) > 0]
        if open_accounts:
            chosen = min(open_accounts, key=lambda name: running[name])
            free[chosen] -= 1
            running[chosen] += 1
            leases.append((request.id, chosen))
    return leases


def _take_turns(queue: Sequence[Waiting]) -> Iterable[Waiting]:
    lanes: dict[str, list[Waiting]] = {}
    for request in queue:
        lanes.setdefault(request.caller, []).append(request)
    depth = max(map(len, lanes.values()), default=0)
    for place in range(depth):
        for lane in lanes.values():
            if place < len(lane):
                yield lane[place]
