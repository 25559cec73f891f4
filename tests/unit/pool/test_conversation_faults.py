"""What a conversation may meet, and what is deleted."""

from pathlib import Path

import pytest

from relay.errors import SiteChanged
from relay.pool.conversations import DELETION_GAPS_S, Conversations, Due
from relay.pool.store import Store
from tests.unit.pool.talks import HI, KEEP_S, Clock, asked, assistant, begin, chat, find, restarted, user

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
