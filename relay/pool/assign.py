"""Who may chat now, with which account and on which page: one pure function, called whenever something changes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace
from itertools import islice

from relay.pool.pacing import UNPACED, Allowance

NEVER = -1
OVERTAKEN = 8
"""Leases, per account of the pool, after which a request that its caller's other requests overtook claims its turn."""

NOBODY: frozenset[str] = frozenset()
NOTHING: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request in the queue, as far as the decision needs it."""

    id: str
    caller: str
    group: str
    """Which accounts may serve it: a key of `groups`, shared by many requests."""
    prefers: str = ""
    """The account that holds its conversation."""
    patience: float = 0.0
    """Until then (monotonic seconds) it waits for `prefers` while that one is in its group, but full or pacing.
    Afterwards any account of the group will do; math.inf = never another."""
    avoid: frozenset[str] = NOBODY
    """Accounts that refused it already."""


@dataclass(frozen=True, slots=True)
class Group:
    """Accounts (those without a Room count as absent) and the model they are asked for."""

    accounts: Sequence[str]
    model: str = ""


@dataclass(frozen=True, slots=True)
class Page:
    """A page that is open or being opened; one that is being opened is not idle."""

    id: str
    account: str
    idle: bool
    used_at: float
    """Monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Room:
    """An account that may take chats: its free places, and what its pace allows."""

    free: int
    running: int
    pace: Allowance = UNPACED
    models: Mapping[str, Allowance] = field(default_factory=dict)
    """By model, where a model has a pace of its own: both must allow a chat. A model that rests has none to start."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Start this request on this account, on this idle page of it (None: open one)."""

    request: str
    account: str
    page: str | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do now."""

    leases: list[Lease]
    close: list[str]
    """Idle pages to close, least recently used first, before those of the leases are opened."""
    wake_at: float | None
    """When the clock alone may change the answer (monotonic seconds): decide again then, if nothing happened before."""


def assign(
    queue: Sequence[Waiting],
    pages: Sequence[Page],
    rooms: Mapping[str, Room],
    groups: Mapping[str, Group],
    now: float,
    *,
    max_pages: int,
    served: Mapping[str, Mapping[str, int]],
) -> Decision:
    """What to start, given everything that waits (oldest first) and everything that could serve it.

    - Callers take turns, the one served longest ago first. `served` is their memory: by caller and account, the
      number of the caller's last lease there. Number the leases as they stand in the decision:
      `served.setdefault(caller, {})[account] = next(numbers)`.
    - Within a caller the oldest request goes first. One that no account can take now holds up nobody; so that a
      caller's own later requests do not overtake it for ever, it claims the next place that it can use once its
      caller has had none of its accounts for OVERTAKEN leases per account of the pool.
    - A conversation goes to its account, all else to the least loaded (then to one with an idle page, then by name).
    - An account takes as many as `free`, `pace.starts` and its model's `starts` allow. With a minimum gap `starts` is
      at most 1, so each decision starts one; note it in the account's Pace before deciding again.
    - A chat has its page to itself, and there are never more than `max_pages`: where a page must be opened beyond
      that, an idle one closes. (Also when `max_pages` was lowered: what is idle and too many is closed.)

    O(queue + pages), but for sorting idle pages, and a heap's logarithm per lease.
    """
    free_pages = max(0, max_pages - sum(not page.idle for page in pages))
    table = _Table(queue, pages, rooms, groups, now)
    # Every lease takes one of the free pages, be it idle, to be opened, or opened in place of an idle one.
    chosen = list(islice(table.deal(queue, served), free_pages))
    leases, close = _seat(chosen, pages, max_pages)
    wake_at = math.inf
    if len(chosen) < free_pages:  # else nothing can start before a page is given back, and that is an event
        wake_at = table.wake_at(queue, {request.id for request, _ in chosen})
    return Decision(leases, close, wake_at if wake_at < math.inf else None)


def _seat(chosen: list[tuple[Waiting, str]], pages: Sequence[Page], max_pages: int) -> tuple[list[Lease], list[str]]:
    """Pages for the chosen: the account's most recently used idle one, else a new one; and the pages to close for it.

    All take their own idle pages before any is closed: so no page is closed that another lease would have used.
    """
    idle = sorted((page for page in pages if page.idle), key=lambda page: page.used_at)
    stacks: dict[str, list[str]] = {}
    for page in idle:
        stacks.setdefault(page.account, []).append(page.id)
    leases = []
    for request, account in chosen:
        stack = stacks.get(account)
        leases.append(Lease(request.id, account, stack.pop() if stack else None))
    taken = {lease.page for lease in leases}
    opened = sum(lease.page is None for lease in leases)
    surplus = max(0, len(pages) + opened - max_pages)
    return leases, list(islice((page.id for page in idle if page.id not in taken), surplus))


class _Place:
    """An account's room while a decision is being made."""

    __slots__ = ("free", "idle", "models", "name", "room", "running", "starts")

    def __init__(self, name: str, room: Room, idle: int) -> None:
        self.name, self.room, self.idle = name, room, idle
        self.free, self.running, self.starts = room.free, room.running, room.pace.starts
        self.models = {model: allowance.starts for model, allowance in room.models.items()}

    def may(self, model: str) -> bool:
        """Whether one more chat may start now."""
        return self.free > 0 and self.starts > 0 and self.models.get(model, 1) > 0

    def take(self, model: str) -> None:
        self.free -= 1
        self.running += 1
        self.starts -= 1
        if model in self.models:
            self.models[model] -= 1
        if self.idle:
            self.idle -= 1

    @property
    def load(self) -> tuple[int, bool, str]:
        """Less is better. It only grows during a decision."""
        return self.running, not self.idle, self.name

    def opens_at(self, model: str) -> float:
        """When a chat may start if nothing happens but time: -inf = now, inf = never."""
        if self.free <= 0:
            return math.inf
        opens_at = -math.inf
        if self.starts <= 0:
            opens_at = self.room.pace.next_at
        if self.models.get(model, 1) <= 0:
            opens_at = max(opens_at, self.room.models[model].next_at)
        return opens_at


class _Accounts:
    """A group's accounts. Those that may still take a chat are in a heap whose keys are brought up to date when met."""

    __slots__ = ("_openings", "heap", "model", "places")

    def __init__(self, model: str, places: Mapping[str, _Place], like: _Accounts | None = None) -> None:
        """`like` has the same places, and neither model has a pace of its own on any: they share one heap."""
        self.model = model
        self.places = places
        heap = like.heap if like is not None else [place.load for place in places.values() if place.may(model)]
        if like is None:
            heapify(heap)
        self.heap: list[tuple[int, bool, str]] = heap
        self._openings: list[tuple[float, str]] | None = None

    def openings(self) -> list[tuple[float, str]]:
        """When each may take a chat if nothing happens but time, soonest first; for the end of a decision."""
        if self._openings is None:
            self._openings = sorted((place.opens_at(self.model), name) for name, place in self.places.items())
        return self._openings

    def open(self) -> bool:
        """Whether any of them may take a chat now."""
        heap = self.heap
        while heap and not self.places[heap[0][2]].may(self.model):
            heappop(heap)
        return bool(heap)

    def least_loaded(self, avoid: frozenset[str]) -> _Place | None:
        """The best account that may take a chat now and is not to be avoided."""
        heap, passed = self.heap, []
        found = None
        while found is None and self.open():
            place = self.places[heap[0][2]]
            load = place.load
            if heap[0] != load:
                heapreplace(heap, load)
            elif place.name in avoid:
                passed.append(heappop(heap))
            else:
                found = place
        for load in passed:
            heappush(heap, load)
        return found


def _grouped(groups: Mapping[str, Group], places: Mapping[str, _Place]) -> dict[str, _Accounts]:
    """The groups' accounts. Many models of the same accounts are common, so what these have in common is made once."""
    own: dict[tuple[str, ...], dict[str, _Place]] = {}
    unpaced: dict[tuple[str, ...], _Accounts] = {}
    found = {}
    for name, group in groups.items():
        key = tuple(group.accounts)
        if key not in own:
            own[key] = {account: places[account] for account in key if account in places}
        paced = any(group.model in place.models for place in own[key].values())
        found[name] = made = _Accounts(group.model, own[key], None if paced else unpaced.get(key))
        if not paced:
            unpaced.setdefault(key, made)
    return found


class _Lane:
    """One caller's requests: the first that could start, and those not yet looked at."""

    __slots__ = ("head", "last", "newest", "rest", "served", "since")

    def __init__(self, requests: list[Waiting], served: Mapping[str, int]) -> None:
        self.head = requests[0]
        self.rest = iter(requests)
        self.served = served
        self.newest = max(served, key=served.__getitem__) if served else ""
        self.last = served[self.newest] if served else NEVER
        self.since: dict[str, int] | None = None
        """By group: the number of the caller's last lease on any of its accounts."""


class _Table:
    """Everything that a decision changes as it goes. It only ever gets less: who cannot start now, cannot later on."""

    def __init__(
        self,
        queue: Sequence[Waiting],
        pages: Sequence[Page],
        rooms: Mapping[str, Room],
        groups: Mapping[str, Group],
        now: float,
    ) -> None:
        idle: dict[str, int] = {}
        for page in pages:
            if page.idle:
                idle[page.account] = idle.get(page.account, 0) + 1
        places = {name: _Place(name, room, idle.get(name, 0)) for name, room in rooms.items()}
        self.groups = _grouped({name: groups[name] for name in {request.group for request in queue}}, places)
        self.now = now
        self.slack = OVERTAKEN * len(rooms)

    def deal(self, queue: Sequence[Waiting], served: Mapping[str, Mapping[str, int]]) -> Iterator[tuple[Waiting, str]]:
        """Requests and their accounts, in the order of turns."""
        able = {name for name, accounts in self.groups.items() if accounts.open()}
        waiting: defaultdict[str, list[Waiting]] = defaultdict(list)
        for request in queue if able else ():
            if request.group in able:
                waiting[request.caller].append(request)
        latest = NEVER
        turns: list[tuple[int, int, _Lane]] = []
        for number, (caller, requests) in enumerate(waiting.items()):  # of equal turns: as they arrived
            lane = _Lane(requests, served.get(caller, NOTHING))
            if lane.last > latest:
                latest = lane.last
            if self._advance(lane):
                turns.append((self._turn(lane), number, lane))
        before = latest
        heapify(turns)
        while turns:
            _, number, lane = turns[0]
            request = lane.head
            place = self._choose(request)  # anew: others may have taken what there was
            if place is not None:
                place.take(self.groups[request.group].model)
                lane.last = latest = latest + 1
                yield request, place.name
            if self._advance(lane):
                # Claims are for a first turn: a caller that was served has had its due in this decision.
                heapreplace(turns, (lane.last if lane.last > before else self._turn(lane), number, lane))
            else:
                heappop(turns)

    def _advance(self, lane: _Lane) -> bool:
        """Go on to the caller's next request that could start; False: there is none."""
        groups = self.groups
        for request in lane.rest:
            if not groups[request.group].open():
                continue
            if not (request.prefers or request.avoid) or self._choose(request) is not None:
                lane.head = request
                return True
        return False

    def _turn(self, lane: _Lane) -> int:
        """When the lane's turn is: the number of its caller's last lease, or an overtaken request's claim."""
        request = lane.head
        if lane.last == NEVER:
            return NEVER
        plain = not (request.prefers or request.avoid)
        if plain and lane.newest in self.groups[request.group].places:
            return lane.last  # the usual case: it was served there last
        if self._bound(request):
            since = lane.served.get(request.prefers, NEVER)
        elif request.avoid:
            since = self._last(lane, request.group, request.avoid)
        else:
            if lane.since is None:
                lane.since = {}
            if request.group not in lane.since:
                lane.since[request.group] = self._last(lane, request.group, NOBODY)
            since = lane.since[request.group]
        return min(lane.last, since + self.slack)

    def _last(self, lane: _Lane, group: str, avoid: frozenset[str]) -> int:
        places, served = self.groups[group].places, lane.served
        if lane.newest in places and lane.newest not in avoid:
            return lane.last
        if len(served) < len(places):
            return max(
                (number for name, number in served.items() if name in places and name not in avoid), default=NEVER
            )
        return max((served.get(name, NEVER) for name in places if name not in avoid), default=NEVER)

    def _bound(self, request: Waiting) -> bool:
        """Whether only the account of its conversation will do, for now or ever."""
        if not request.prefers or request.patience == math.inf:
            return bool(request.prefers)
        present = request.prefers in self.groups[request.group].places and request.prefers not in request.avoid
        return present and request.patience > self.now

    def _choose(self, request: Waiting) -> _Place | None:
        """The account that it would start on now."""
        accounts = self.groups[request.group]
        if request.prefers:
            own = accounts.places.get(request.prefers)
            if own is not None and own.may(accounts.model) and own.name not in request.avoid:
                return own
            if self._bound(request):
                return None
        return accounts.least_loaded(request.avoid)

    def wake_at(self, queue: Sequence[Waiting], leased: set[str]) -> float:
        """When the first of those left over could start if nothing happens but time; inf = not by time alone."""
        soonest = math.inf
        first = {name: accounts.openings()[0][0] for name, accounts in self.groups.items() if accounts.places}
        for request in queue:
            # None can start before the first account of its group may: so few need a closer look.
            if first.get(request.group, math.inf) < soonest and request.id not in leased:
                soonest = min(soonest, self._opens_at(request))
        return soonest

    def _opens_at(self, request: Waiting) -> float:
        accounts = self.groups[request.group]
        opens_at = next((at for at, name in accounts.openings() if name not in request.avoid), math.inf)
        if self._bound(request):
            opens_at = max(opens_at, request.patience)
            own = accounts.places.get(request.prefers)
            if own is not None and own.name not in request.avoid:
                opens_at = min(opens_at, own.opens_at(accounts.model))
        return opens_at
