"""One decision: who may chat now, where, and on which page."""

import copy
import math
from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.pool.assign import Decision, Group, Page, Room, Waiting, assign
from relay.pool.pacing import UNPACED, Allowance

NOW = 100.0
NAMES = ("a", "b", "c", "d")
CALLERS = ("ann", "bob", "cem")
MODELS = ("m", "n")

# One draw for each thing, not for each of its fields: that is several times faster.
AVOIDED = (frozenset[str](), frozenset[str](), frozenset({"a"}), frozenset({"b", "c"}))
PATIENCE = (0.0, NOW, NOW + 7, math.inf)
BOUND = ((name, patience, avoid) for name in NAMES for patience in PATIENCE for avoid in AVOIDED)
WISHES = [*[("", 0.0, avoid) for avoid in AVOIDED] * 8, *BOUND]
REQUESTS = st.sampled_from(list(product(CALLERS, "ghi", WISHES)))
PAGES = st.sampled_from(list(product(NAMES, (True, False), (1.0, 2.0, 3.0))))
ALLOWANCES = (UNPACED, UNPACED, Allowance(0, NOW + 3), Allowance(1, NOW + 9), Allowance(2, NOW + 20))
MODEL_PACES: list[dict[str, Allowance]] = [{}, {}, *({"m": m, "n": n} for m, n in product(ALLOWANCES, ALLOWANCES))]
ROOMS = st.sampled_from([Room(*each) for each in product((-1, 0, 1, 2, 3), (0, 1, 2), ALLOWANCES, MODEL_PACES)])
PAIRS = st.sampled_from(list(product(CALLERS, NAMES)))
SETS = [names for size in range(5) for names in combinations(NAMES, size)]
GROUPS = st.sampled_from([Group(names, model) for names in [*SETS, NAMES] for model in MODELS])


@dataclass
class State:
    """All that a decision is made of."""

    queue: list[Waiting]
    pages: list[Page] = field(default_factory=list)
    rooms: dict[str, Room] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    max_pages: int = 100
    served: dict[str, dict[str, int]] = field(default_factory=dict)

    def decide(self, now: float = NOW) -> Decision:
        return assign(
            self.queue, self.pages, self.rooms, self.groups, now, max_pages=self.max_pages, served=self.served
        )

    def bound(self, request: Waiting, now: float = NOW) -> bool:
        """Whether it waits for its conversation's account."""
        present = request.prefers in self.rooms and request.prefers in self.groups[request.group].accounts
        waits = present and request.prefers not in request.avoid and request.patience > now
        return request.prefers != "" and (waits or request.patience == math.inf)

    def usable(self, request: Waiting, now: float = NOW) -> set[str]:
        """The accounts that the rules allow it, full or not."""
        names = {name for name in self.groups[request.group].accounts if name in self.rooms} - request.avoid
        return names & {request.prefers} if self.bound(request, now) else names


@st.composite
def states(draw: st.DrawFn) -> State:
    """Any pool, small enough to make trouble often."""
    queue = draw(st.lists(REQUESTS, max_size=14))
    pages = draw(st.lists(PAGES, max_size=8))
    served: dict[str, dict[str, int]] = {}
    for number, (caller, account) in enumerate(draw(st.lists(PAIRS, max_size=40))):
        served.setdefault(caller, {})[account] = number
    return State(
        [Waiting(f"r{n}", caller, group, *wishes) for n, (caller, group, wishes) in enumerate(queue)],
        [Page(f"p{n}", *fields) for n, fields in enumerate(pages)],
        dict(zip(NAMES, draw(st.lists(ROOMS, max_size=4)), strict=False)),
        {name: draw(GROUPS) for name in "ghi"},
        draw(st.integers(0, 12)),
        served,
    )


def left_over(state: State, decision: Decision) -> dict[str, Room]:
    """The rooms once the leases are taken."""
    model_of = {request.id: state.groups[request.group].model for request in state.queue}
    rooms = dict(state.rooms)
    for lease in decision.leases:
        room = rooms[lease.account]
        models = {
            model: Allowance(allowance.starts - (model == model_of[lease.request]), allowance.next_at)
            for model, allowance in room.models.items()
        }
        pace = Allowance(room.pace.starts - 1, room.pace.next_at)
        rooms[lease.account] = Room(room.free - 1, room.running + 1, pace, models)
    return rooms


def may(room: Room, model: str) -> bool:
    """Whether an account may start one more."""
    return room.free > 0 and room.pace.starts > 0 and room.models.get(model, UNPACED).starts > 0


@settings(deadline=None)
@given(states())
def test_no_account_takes_more_than_it_may_nor_what_it_may_not(state: State) -> None:
    decision = state.decide()
    requests = {request.id: request for request in state.queue}
    assert max(Counter(lease.request for lease in decision.leases).values(), default=1) == 1
    for lease in decision.leases:
        assert lease.account in state.usable(requests[lease.request])
    for name, room in left_over(state, decision).items():
        if room != state.rooms[name]:
            assert room.free >= 0
            assert room.pace.starts >= 0
            changed = [model for model in room.models if room.models[model] != state.rooms[name].models[model]]
            assert all(room.models[model].starts >= 0 for model in changed)


@settings(deadline=None)
@given(states())
def test_pages_are_neither_shared_nor_too_many(state: State) -> None:
    decision = state.decide()
    pages = {page.id: page for page in state.pages}
    used = [lease.page for lease in decision.leases if lease.page is not None]
    touched = [*used, *decision.close]
    assert len(set(touched)) == len(touched)
    assert all(pages[page].idle for page in touched)
    assert all(pages[lease.page].account == lease.account for lease in decision.leases if lease.page is not None)
    opened = len(decision.leases) - len(used)
    busy = sum(not page.idle for page in state.pages)
    assert len(pages) - len(decision.close) + opened <= max(state.max_pages, busy)
    assert len(decision.close) <= max(0, len(pages) + opened - state.max_pages)  # and none closes without need
    kept = [page.used_at for page in state.pages if page.idle and page.id not in touched]
    assert all(pages[page].used_at <= min(kept, default=math.inf) for page in decision.close)
    spare = {page.account for page in state.pages if page.idle and page.id not in used}
    assert all(lease.page is not None or lease.account not in spare for lease in decision.leases)


@settings(deadline=None)
@given(states())
def test_nobody_waits_for_what_is_there(state: State) -> None:
    decision = state.decide()
    rooms = left_over(state, decision)
    served = {lease.request for lease in decision.leases}
    pages_left = state.max_pages - sum(not page.idle for page in state.pages) - len(served)
    for request in state.queue:
        if request.id not in served and pages_left > 0:
            model = state.groups[request.group].model
            assert not any(may(rooms[name], model) for name in state.usable(request))


@settings(deadline=None)
@given(states())
def test_first_come_first_served_within_a_caller(state: State) -> None:
    accounts = {lease.request: lease.account for lease in state.decide().leases}
    for number, earlier in enumerate(state.queue):
        for later in state.queue[number + 1 :]:
            if later.caller == earlier.caller and later.id in accounts and earlier.id not in accounts:
                same_pace = state.groups[later.group].model == state.groups[earlier.group].model
                assert not (same_pace and accounts[later.id] in state.usable(earlier))


@settings(deadline=None)
@given(states())
def test_a_conversation_goes_to_its_account(state: State) -> None:
    decision = state.decide()
    rooms, accounts = left_over(state, decision), {lease.request: lease.account for lease in decision.leases}
    for request in state.queue:
        account = accounts.get(request.id)
        group = state.groups[request.group]
        own = request.prefers in group.accounts and request.prefers in rooms and request.prefers not in request.avoid
        if account is not None and own and account != request.prefers:
            assert not may(rooms[request.prefers], group.model)


@settings(deadline=None)
@given(states())
def test_it_is_pure(state: State) -> None:
    before = copy.deepcopy(state)
    first = state.decide()
    assert state == before
    assert state.decide() == first


@settings(deadline=None)
@given(states(), st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_time_alone_changes_nothing_before_it_wakes_up(state: State, share: float) -> None:
    decision = state.decide()
    gone = {lease.request for lease in decision.leases}
    opened = [Page(f"new{n}", lease.account, False, NOW) for n, lease in enumerate(decision.leases) if not lease.page]
    used = {lease.page for lease in decision.leases}
    after = State(
        [request for request in state.queue if request.id not in gone],
        [Page(page.id, page.account, page.idle and page.id not in used, page.used_at) for page in state.pages] + opened,
        left_over(state, decision),
        state.groups,
        state.max_pages,
    )
    after.pages = [page for page in after.pages if page.id not in decision.close]
    wake_at = decision.wake_at
    assert wake_at is None or wake_at > NOW
    ends = NOW + 100 if wake_at is None else wake_at

    def at(now: float) -> Decision:
        """What would be decided then: an account whose time has come may start one."""

        def then(allowance: Allowance) -> Allowance:
            return Allowance(1, math.inf) if allowance.starts == 0 and allowance.next_at <= now else allowance

        rooms = {
            name: Room(room.free, room.running, then(room.pace), {key: then(each) for key, each in room.models.items()})
            for name, room in after.rooms.items()
        }
        return State(after.queue, after.pages, rooms, after.groups, after.max_pages).decide(now)

    assert at(min(NOW + (ends - NOW) * share, math.nextafter(ends, NOW))).leases == []  # the product may round up to it
    assert bool(at(ends).leases) == (wake_at is not None)


# by example


def a_state(*requests: Waiting, rooms: dict[str, Room], **more: Any) -> State:
    """One group `g` of all accounts."""
    return State(list(requests), rooms=rooms, groups={"g": Group(tuple(rooms), "m")}, **more)


def starts(state: State) -> list[tuple[str, str]]:
    """Who starts where."""
    return [(lease.request, lease.account) for lease in state.decide().leases]


def test_callers_take_turns() -> None:
    queue = [Waiting(f"ann{n}", "ann", "g") for n in range(5)] + [Waiting("bob0", "bob", "g")]
    state = a_state(*queue, rooms={"a": Room(3, 0)})
    assert [request for request, _ in starts(state)] == ["ann0", "bob0", "ann1"]


def test_turns_go_on_from_one_decision_to_the_next() -> None:
    queue = [Waiting("ann0", "ann", "g"), Waiting("bob0", "bob", "g"), Waiting("cem0", "cem", "g")]
    state = a_state(*queue, rooms={"a": Room(2, 0)}, served={"ann": {"a": 7}, "bob": {"a": 3}})
    assert [request for request, _ in starts(state)] == ["cem0", "bob0"]


def test_twenty_callers_get_the_same() -> None:
    queue = [Waiting(f"{caller}-{n}", str(caller), "g") for caller in range(20) for n in range(50 - 2 * caller)]
    state = a_state(*queue, rooms={name: Room(10, 0) for name in "abcdefghij"})
    got = Counter(request.partition("-")[0] for request, _ in starts(state))
    assert got == {str(caller): 5 for caller in range(20)}


def test_the_least_loaded_then_the_one_with_a_page_then_the_name() -> None:
    request = Waiting("1", "ann", "g")
    page = Page("p", "b", True, 1)
    assert starts(a_state(request, rooms={"b": Room(3, 2), "a": Room(3, 1)})) == [("1", "a")]
    assert starts(a_state(request, rooms={"a": Room(3, 1), "b": Room(3, 1)}, pages=[page])) == [("1", "b")]
    assert starts(a_state(request, rooms={"b": Room(3, 1), "a": Room(3, 1)})) == [("1", "a")]


def test_a_request_without_room_holds_nobody_up() -> None:
    state = State(
        [Waiting("1", "ann", "full"), Waiting("2", "ann", "free")],
        rooms={"a": Room(0, 4), "b": Room(1, 0)},
        groups={"full": Group(("a",)), "free": Group(("b",))},
    )
    assert starts(state) == [("2", "b")]


def test_a_conversation_waits_for_its_account_as_long_as_its_patience() -> None:
    request = Waiting("1", "ann", "g", prefers="a", patience=NOW + 7)
    state = a_state(request, rooms={"a": Room(0, 4), "b": Room(1, 0)})
    assert state.decide() == Decision([], [], NOW + 7)
    assert [lease.account for lease in state.decide(NOW + 7).leases] == ["b"]
    del state.rooms["a"]  # out of service: there is nothing to wait for
    assert starts(state) == [("1", "b")]


def test_endless_patience_takes_no_other_account() -> None:
    state = a_state(Waiting("1", "ann", "g", prefers="a", patience=math.inf), rooms={"b": Room(1, 0)})
    assert state.decide() == Decision([], [], None)


def test_a_gap_lets_one_start_and_says_when_the_next_may() -> None:
    queue = [Waiting(str(n), "ann", "g") for n in range(3)]
    state = a_state(*queue, rooms={"a": Room(5, 0, Allowance(1, NOW + 2))})
    decision = state.decide()
    assert [lease.request for lease in decision.leases] == ["0"]
    assert decision.wake_at == NOW + 2


def test_the_page_used_last_serves_and_the_one_used_longest_ago_closes() -> None:
    pages = [Page("old", "a", True, 1), Page("new", "a", True, 2), Page("other", "c", True, 3)]
    queue = [Waiting("1", "ann", "g", prefers="a"), Waiting("2", "ann", "g", prefers="b")]
    state = a_state(*queue, rooms={"a": Room(1, 0), "b": Room(1, 0)}, pages=pages, max_pages=3)
    decision = state.decide()
    assert [(lease.account, lease.page) for lease in decision.leases] == [("a", "new"), ("b", None)]
    assert decision.close == ["old"]


def test_no_page_closes_that_another_lease_can_use() -> None:
    pages = [Page("old", "b", True, 1), Page("new", "c", True, 2)]
    queue = [Waiting("1", "ann", "g", prefers="a"), Waiting("2", "ann", "g", prefers="b")]
    state = a_state(*queue, rooms={"a": Room(1, 0), "b": Room(1, 0)}, pages=pages, max_pages=2)
    decision = state.decide()
    assert [(lease.account, lease.page) for lease in decision.leases] == [("a", None), ("b", "old")]
    assert decision.close == ["new"]


def test_too_many_idle_pages_close_though_nobody_waits() -> None:
    pages = [Page("1", "a", True, 1), Page("2", "a", False, 0), Page("3", "a", True, 2)]
    assert State([], pages, max_pages=2).decide() == Decision([], ["1"], None)
