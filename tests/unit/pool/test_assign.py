"""The decision who may chat now."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from relay.pool.assign import Room, Waiting, assign

NAMES = st.sampled_from(["a", "b", "c", "d"])
ROOMS = st.dictionaries(NAMES, st.builds(Room, free=st.integers(0, 3), running=st.integers(0, 5)))
QUEUES = st.lists(
    st.tuples(st.sampled_from(["ann", "bob", "cem"]), st.lists(NAMES, min_size=1, unique=True)), max_size=20
).map(lambda items: [Waiting(str(n), caller, tuple(accounts)) for n, (caller, accounts) in enumerate(items)])


@given(QUEUES, ROOMS)
def test_no_account_gets_more_than_it_has_room_for(queue: list[Waiting], rooms: dict[str, Room]) -> None:
    leases = assign(queue, rooms)
    assert len({number for number, _ in leases}) == len(leases)
    for name, count in Counter(name for _, name in leases).items():
        assert count <= rooms[name].free


@given(QUEUES, ROOMS)
def test_only_an_account_that_fits_and_nobody_waits_beside_a_free_one(
    queue: list[Waiting], rooms: dict[str, Room]
) -> None:
    leases = dict(assign(queue, rooms))
    left = {name: room.free for name, room in rooms.items()}
    for name in leases.values():
        left[name] -= 1
    for request in queue:
        if request.id in leases:
            assert leases[request.id] in request.accounts
        else:
            assert all(left.get(name, 0) == 0 for name in request.accounts)


@given(QUEUES, ROOMS)
def test_first_come_first_served_within_a_caller(queue: list[Waiting], rooms: dict[str, Room]) -> None:
    served = {number for number, _ in assign(queue, rooms)}
    for earlier, later in ((a, b) for n, a in enumerate(queue) for b in queue[n + 1 :]):
        same = earlier.caller == later.caller and earlier.accounts == later.accounts
        assert not (same and later.id in served and earlier.id not in served)


def test_callers_take_turns() -> None:
    queue = [Waiting(f"ann{n}", "ann", ("a",)) for n in range(5)] + [Waiting("bob0", "bob", ("a",))]
    assert [number for number, _ in assign(queue, {"a": Room(2, 0)})] == ["ann0", "bob0"]


def test_the_least_loaded_account_is_taken() -> None:
    assert assign([Waiting("1", "ann", ("a", "b"))], {"a": Room(3, 2), "b": Room(1, 0)}) == [("1", "b")]


def test_a_request_without_room_holds_nobody_up() -> None:
    queue = [Waiting("1", "ann", ("full",)), Waiting("2", "ann", ("free",))]
    assert assign(queue, {"full": Room(0, 4), "free": Room(1, 0)}) == [("2", "free")]
