"""What continues, for whom, and what is deleted."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from relay.chat.conversation import history_key
from relay.chat.request import ChatRequest, Message
from relay.errors import BadRequest, ConversationNotFound, RateLimited, SiteChanged
from relay.pool.conversations import DELETION_GAPS_S, Conversations, Due, Match
from relay.pool.hold import Hold
from relay.pool.store import Store
from tests.unit.pool.talks import KEEP_S, Clock, asked, assistant, begin, find, user


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "relay.db", clock)
    yield opened
    await opened.close()


@pytest.fixture
def talks(store: Store, clock: Clock) -> Conversations:
    return Conversations(store, "auto", KEEP_S, clock)


def chat(
    talks: Conversations,
    request: ChatRequest,
    answer: str,
    *,
    conversation: str = "c1",
    message: str = "m1",
    branches: bool = False,
) -> Hold:
    """A whole chat, as the runner and the route tell it."""
    hold = begin(talks, request, branches=branches)
    hold.started(conversation)
    hold.turned(conversation, message)
    hold.finished()
    hold.answered(answer)
    hold.free()
    return hold


async def restarted(talks: Conversations, clock: Clock, file: Path) -> Conversations:
    await talks.store.close()
    return Conversations(await Store.open(file, clock), "auto", KEEP_S, clock)


HI = (user("hi"), assistant("Hello!"))


# what continues


def test_the_next_turn_continues_with_the_new_message_only(talks: Conversations) -> None:
    first = (Message("system", "Be brief."), user("hi"))
    chat(talks, asked(*first), " Hello!\n")
    match = find(talks, asked(*first, assistant("Hello!"), user("and?")))
    assert match == Match("a1", "c1", "m1", (user("and?"),), False, history_key([*first, HI[1]]), False, told=True)
    chat(talks, asked(*first, assistant("Hello!"), user("and?")), "So.", message="m2")
    match = find(talks, asked(*first, HI[1], user("and?"), assistant("So."), Message("tool", "42"), user("ok")))
    assert match is not None
    assert (match.parent, match.new_messages) == ("m2", (Message("tool", "42"), user("ok")))


@pytest.mark.parametrize(
    "request_",
    [
        asked(*HI, user("and?"), caller="bob"),
        asked(*HI, user("and?"), agent="x"),
        asked(*HI, user("and?"), account="a2"),
        asked(*HI, user("and?"), named="none"),
        asked(Message("system", "Be brief."), *HI, user("and?")),
        asked(user("ho"), HI[1], user("and?")),
        asked(HI[0], assistant("Hello?"), user("and?")),
        asked(*HI, user("and?"), assistant("Hm."), user("so?")),
        asked(*HI),
        asked(user("hi")),
        asked(HI[0], user("and?")),
    ],
    ids=lambda request: "-".join(f"{one.role[0]}:{one.text}" for one in request.messages),
)
def test_anything_else_is_a_new_conversation(talks: Conversations, request_: ChatRequest) -> None:
    chat(talks, asked(user("hi")), "Hello!")
    assert find(talks, request_) is None
    assert find(talks, asked(*HI, user("and?"))) is not None


def test_sites_without_turns_and_the_fresh_mode_continue_nothing_by_themselves(store: Store, clock: Clock) -> None:
    fresh = Conversations(store, "fresh", KEEP_S, clock)
    chat(fresh, asked(user("hi")), "Hello!")
    assert find(fresh, asked(*HI, user("and?"))) is None
    assert find(fresh, asked(*HI, user("and?"), named="c1")) is not None
    auto = Conversations(store, "auto", KEEP_S, clock)
    chat(auto, asked(user("hi")), "Hello!")
    assert find(auto, asked(*HI, user("and?")), native=False) is None
    with pytest.raises(ConversationNotFound):
        find(auto, asked(*HI, user("and?"), named="c1"), native=False)


@pytest.mark.parametrize("branches", [False, True])
def test_an_edited_turn_continues_only_where_the_site_branches(talks: Conversations, branches: bool) -> None:
    chat(talks, asked(user("hi")), "Hello!", message="m1")
    chat(talks, asked(*HI, user("and?")), "So.", message="m2")
    match = find(talks, asked(*HI, user("or?")), branches=branches)
    assert (match.parent if match else None) == ("m1" if branches else None)
    assert match is None or not match.newest, "a page would go on after the newest turn all the same"
    assert find(talks, asked(*HI, user("and?"), assistant("So."), user("x")), branches=branches) is not None


def test_without_a_parent_only_the_newest_turn_continues_whatever_the_site_says(talks: Conversations) -> None:
    chat(talks, asked(user("hi")), "Hello!", message="", branches=True)
    chat(talks, asked(*HI, user("and?")), "So.", message="", branches=True)
    assert find(talks, asked(*HI, user("or?")), branches=True) is None
    assert find(talks, asked(*HI, user("and?"), assistant("So."), user("x")), branches=True) is not None


def test_two_equal_conversations_serve_two_chats_at_once(talks: Conversations) -> None:
    chat(talks, asked(user("hi")), "Hello!", conversation="c1")
    chat(talks, asked(user("hi")), "Hello!", conversation="c2")
    request = asked(*HI, user("and?"))
    holds = [Hold(talks, request, "demo", find(talks, request)) for _ in range(3)]
    assert [hold.match.conversation_id if hold.match else None for hold in holds] == ["c2", "c1", None]
    holds[0].free()
    match = find(talks, request)
    assert match is not None
    assert match.conversation_id == "c2", "a chat that was never sent leaves the conversation as it was"


async def test_a_prompt_on_its_way_is_known_after_a_kill(talks: Conversations, clock: Clock, tmp_path: Path) -> None:
    chat(talks, asked(user("hi")), "Hello!")
    await talks.store.flush()
    again = asked(*HI, user("and?"))
    await begin(talks, again).written()
    for file in list(tmp_path.glob("relay.db*")):  # noqa: ASYNC240 (what a kill would leave)
        (tmp_path / f"killed-{file.name}").write_bytes(file.read_bytes())
    killed = await Store.open(tmp_path / "killed-relay.db", clock)
    try:
        assert find(Conversations(killed, "auto", KEEP_S, clock), again) is None, "the site may stand elsewhere now"
    finally:
        await killed.close()


async def test_everything_survives_a_restart(talks: Conversations, clock: Clock, tmp_path: Path) -> None:
    chat(talks, asked(user("hi"), answer_id="chatcmpl-1"), "Hello!")
    abandoned = begin(talks, asked(user("gone")))
    abandoned.started("c2")
    again = await restarted(talks, clock, tmp_path / "relay.db")
    match = find(again, asked(*HI, user("and?")))
    assert match is not None
    assert (match.conversation_id, match.parent) == ("c1", "m1")
    assert find(again, asked(user("and?"), named="chatcmpl-1")) is not None
    assert again.due() == [Due("demo", "a1", "c2")], "what a crash cut is deleted"
    await again.store.close()


async def test_a_crash_under_a_continued_turn_leaves_the_tip_unknown(
    talks: Conversations, clock: Clock, tmp_path: Path
) -> None:
    chat(talks, asked(user("hi")), "Hello!")
    begin(talks, asked(*HI, user("and?")))
    again = await restarted(talks, clock, tmp_path / "relay.db")
    assert find(again, asked(*HI, user("and?"))) is None
    with pytest.raises(ConversationNotFound):
        find(again, asked(*HI, user("and?"), named="c1"))
    assert find(again, asked(*HI, user("and?")), branches=True) is not None
    await again.store.close()


# explicit conversations


def test_a_client_may_name_the_conversation_and_send_only_the_new_turn(talks: Conversations) -> None:
    chat(talks, asked(user("hi"), answer_id="chatcmpl-1"), "Hello!")
    for name in ("c1", "chatcmpl-1"):
        match = find(talks, asked(user("and?"), named=name))
        assert match is not None
        assert match.explicit
        assert (match.conversation_id, match.parent, match.new_messages) == ("c1", "m1", (user("and?"),))
        whole = find(talks, asked(*HI, user("and?"), named=name))
        assert whole == replace(match, told=True)
        edited = find(talks, asked(user("ho"), assistant("x"), user("and?"), named=name))
        assert edited == match
    chat(talks, asked(user("and?"), named="c1"), "So.", message="m2")
    full = find(talks, asked(*HI, user("and?"), assistant("So."), user("x")))
    assert full is not None, "the whole history is known though the client never sent it"
    assert full.parent == "m2"
    assert find(talks, asked(user("and?"), assistant("So."), user("x"))) is None, "this is not what the site heard"


def test_a_system_message_is_dropped_only_where_the_history_matches(talks: Conversations) -> None:
    system = Message("system", "Be brief.")
    chat(talks, asked(system, user("hi")), "Hello!")
    whole = find(talks, asked(system, *HI, user("and?"), named="c1"))
    only = find(talks, asked(system, user("and?"), named="c1"))
    assert whole is not None
    assert only is not None
    assert whole.new_messages == (user("and?"),)
    assert only.new_messages == (system, user("and?"))


def test_what_is_not_the_callers_own_is_not_found(talks: Conversations, clock: Clock) -> None:
    chat(talks, asked(user("hi"), answer_id="chatcmpl-1"), "Hello!")
    for request in (
        asked(user("x"), named="c1", caller="bob"),
        asked(user("x"), named="chatcmpl-1", caller="bob"),
        asked(user("x"), named="c2"),
        asked(user("x"), named="c1", account="a2"),
    ):
        with pytest.raises(ConversationNotFound, match="conversation_id"):
            find(talks, request)
    with pytest.raises(ConversationNotFound):
        talks.find(asked(user("x"), named="c1"), "kimi", native=True, branches=False)
    clock.now += KEEP_S
    with pytest.raises(ConversationNotFound):
        find(talks, asked(user("x"), named="c1"))


def test_an_earlier_answer_of_a_site_that_does_not_branch_is_not_continued_at_the_tip(talks: Conversations) -> None:
    chat(talks, asked(user("hi"), answer_id="chatcmpl-1"), "Hello!")
    chat(talks, asked(*HI, user("and?"), answer_id="chatcmpl-2"), "So.", message="m2")
    with pytest.raises(ConversationNotFound):
        find(talks, asked(user("x"), named="chatcmpl-1"))
    for name in ("chatcmpl-2", "c1"):
        match = find(talks, asked(user("x"), named=name))
        assert match is not None
        assert match.parent == "m2"
    earlier = find(talks, asked(user("x"), named="chatcmpl-1"), branches=True)
    assert earlier is not None
    assert earlier.parent == "m1"


def test_a_named_conversation_may_be_busy_and_needs_something_new(talks: Conversations) -> None:
    chat(talks, asked(user("hi")), "Hello!")
    hold = begin(talks, asked(*HI, user("and?")))
    with pytest.raises(RateLimited, match="busy") as raised:
        find(talks, asked(user("x"), named="c1"))
    assert raised.value.retry_after_s == 1
    assert find(talks, asked(*HI, user("and?"))) is None
    hold.refused()
    hold.free()
    with pytest.raises(BadRequest, match="no message after"):
        find(talks, asked(*HI, named="c1"))


# what a chat may meet


def test_a_refused_prompt_leaves_the_conversation_as_it_was(talks: Conversations) -> None:
    chat(talks, asked(user("hi")), "Hello!")
    request = asked(*HI, user("and?"))
    hold = begin(talks, request)
    hold.refused()
    hold.leave()
    assert hold.match is None
    assert find(talks, request) is not None
    hold.sending("a2")
    hold.started("c2")
    hold.finished()
    hold.answered("So.")
    hold.free()
    match = find(talks, asked(*request.messages, assistant("So."), user("x")))
    assert match is not None
    assert (match.account, match.conversation_id) == ("a2", "c2")


def test_what_the_site_has_lost_is_forgotten(talks: Conversations) -> None:
    chat(talks, asked(user("hi")), "Hello!")
    hold = begin(talks, asked(*HI, user("and?")))
    hold.lost()
    hold.sending("a1")
    hold.started("c2")
    hold.finished()
    hold.answered("So.")
    hold.free()
    assert find(talks, asked(*HI, user("or?"))) is None
    match = find(talks, asked(*HI, user("and?"), assistant("So."), user("x")))
    assert match is not None
    assert match.conversation_id == "c2"
    assert talks.due() == []


def test_an_abandoned_chat_is_deleted_and_a_continued_one_where_nobody_can_go_on(talks: Conversations) -> None:
    hold = begin(talks, asked(user("gone")))
    hold.started("c1")
    assert talks.due() == [], "it is still answering"
    hold.answered("half of it")
    hold.free()
    hold.free()
    assert talks.due() == [Due("demo", "a1", "c1")]
    for name, branches in (("c2", False), ("c3", True)):
        chat(talks, asked(user(name)), "Hello!", conversation=name, branches=branches)
        begin(talks, asked(user(name), assistant("Hello!"), user("and?")), branches=branches).free()
    assert talks.due() == [Due("demo", "a1", "c1"), Due("demo", "a1", "c2")]
    assert find(talks, asked(user("c3"), assistant("Hello!"), user("and?")), branches=True) is not None


def test_the_text_may_come_after_the_end(talks: Conversations) -> None:
    hold = begin(talks, asked(user("hi")))
    hold.started("c1")
    hold.finished()
    hold.free()
    assert talks.due() == []
    assert find(talks, asked(*HI, user("and?"))) is None
    hold.answered("Hello!")
    assert find(talks, asked(*HI, user("and?"))) is not None


def test_the_next_turn_may_come_before_the_chat_is_freed(talks: Conversations) -> None:
    first = begin(talks, asked(user("hi")))
    first.started("c1")
    first.finished()
    first.answered("Hello!")
    second = begin(talks, asked(*HI, user("and?")))
    first.free()
    assert second.match is not None
    assert find(talks, asked(*HI, user("and?"))) is None, "the first chat freed what the second holds"


@pytest.mark.parametrize("late", [False, True], ids=["under way", "answered"])
def test_a_late_text_does_not_take_the_tip_from_a_newer_branch(talks: Conversations, late: bool) -> None:
    chat(talks, asked(user("hi")), "Hello!")
    first = begin(talks, asked(*HI, user("and?")), branches=True)
    first.turned("c1", "m2")
    first.finished()
    first.free()
    second = begin(talks, asked(*HI, user("or?")), branches=True)
    assert second.match is not None and second.match.parent == "m1"
    if not late:
        first.answered("So.")
    second.turned("c1", "m3")
    second.finished()
    second.answered("Or so.")
    second.free()
    if late:
        first.answered("So.")
    newest = find(talks, asked(user("x"), named="c1"), branches=True)
    assert newest is not None and newest.parent == "m3"
    branch = find(talks, asked(*HI, user("and?"), assistant("So."), user("x")), branches=True)
    assert branch is not None and branch.parent == "m2", "the earlier one can be continued as well"


def test_a_prompt_in_the_wrong_conversation_is_an_error_and_spoils_it(talks: Conversations) -> None:
    chat(talks, asked(user("hi")), "Hello!", conversation="c1")
    hold = begin(talks, asked(user("hello"), caller="bob"))
    with pytest.raises(SiteChanged, match="earlier one"):
        hold.started("c1")
    hold.free()
    assert find(talks, asked(*HI, user("and?"))) is None
    assert talks.due() == [Due("demo", "a1", "c1")]


def test_another_conversation_instead_of_the_continued_one_is_an_error(talks: Conversations) -> None:
    chat(talks, asked(user("hi")), "Hello!")
    hold = begin(talks, asked(*HI, user("and?")))
    with pytest.raises(SiteChanged, match="opened another"):
        hold.started("c9")
    hold.free()
    assert {due.conversation_id for due in talks.due()} == {"c1", "c9"}


# clean-up


def test_unused_conversations_are_due_and_a_continuation_keeps_them(talks: Conversations, clock: Clock) -> None:
    chat(talks, asked(user("hi")), "Hello!")
    clock.now += KEEP_S - 1
    assert talks.due() == []
    chat(talks, asked(*HI, user("and?")), "So.")
    clock.now += KEEP_S - 1
    assert talks.due() == []
    clock.now += 1
    due = Due("demo", "a1", "c1")
    assert talks.due() == [due]
    assert talks.due() == [due], "nobody has said that it was deleted"
    clock.now -= KEEP_S
    assert find(talks, asked(*HI, user("and?"), assistant("So."), user("x"))) is None, "it is being deleted"
    talks.deleted(due)
    talks.deleted(due)
    assert talks.due(clock.now + 10 * KEEP_S) == []


def test_kept_for_no_time_they_are_due_after_the_answer(store: Store, clock: Clock) -> None:
    talks = Conversations(store, "auto", 0, clock)
    hold = begin(talks, asked(user("hi")))
    hold.started("c1")
    assert talks.due() == []
    hold.finished()
    hold.answered("Hello!")
    hold.free()
    assert talks.due() == [Due("demo", "a1", "c1")]


async def test_a_failing_deletion_is_tried_with_growing_gaps_and_given_up(
    talks: Conversations, clock: Clock, tmp_path: Path
) -> None:
    begun = begin(talks, asked(user("hi")))
    begun.started("c1")
    begun.free()
    due = Due("demo", "a1", "c1")
    for gap_s in DELETION_GAPS_S:
        assert talks.due() == [due]
        talks.delete_failed(due, "no")
        clock.now += gap_s - 1
        assert talks.due() == []
        talks = await restarted(talks, clock, tmp_path / "relay.db")
        clock.now += 1
    talks.delete_failed(due, "no")
    assert talks.due(clock.now * 2) == []
    talks = await restarted(talks, clock, tmp_path / "relay.db")
    assert talks.due(clock.now * 2) == []
    await talks.store.close()


async def test_the_oldest_turns_go_first(store: Store, clock: Clock, tmp_path: Path) -> None:
    talks = Conversations(store, "auto", KEEP_S, clock, max_turns=3)
    for number in range(5):
        chat(talks, asked(user(str(number))), "Hello!", conversation=f"c{number}")
    for again in (talks, await restarted(talks, clock, tmp_path / "relay.db")):
        found = [find(again, asked(user(str(n)), HI[1], user("and?"))) is not None for n in range(5)]
        assert found == [False, False, True, True, True]
        assert [due.conversation_id for due in again.due()] == ["c0", "c1"]
    await again.store.close()
