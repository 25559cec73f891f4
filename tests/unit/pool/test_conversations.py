"""What continues, and for whom."""

from dataclasses import replace
from pathlib import Path

import pytest

from relay.chat.conversation import history_key
from relay.chat.request import ChatRequest, Message
from relay.errors import BadRequest, ConversationNotFound, RateLimited
from relay.pool.conversations import Conversations, Due, Match
from relay.pool.hold import Hold
from relay.pool.store import Store
from tests.unit.pool.talks import HI, KEEP_S, Clock, asked, assistant, begin, chat, find, restarted, user

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


def test_whether_it_is_the_newest_turn(talks: Conversations) -> None:
    """A page shows no other, whatever its site could go on after."""
    chat(talks, asked(user("hi")), "Hello!", message="m1", branches=True)
    chat(talks, asked(*HI, user("and?")), "So.", message="m2", branches=True)
    newest, earlier = asked(*HI, user("and?"), assistant("So."), user("x")), asked(*HI, user("or?"))
    for request, parent in ((newest, "m2"), (earlier, "m1")):
        hold = begin(talks, request, branches=True)
        assert hold.match is not None and hold.match.parent == parent
        assert hold.match.newest == (parent == "m2")
        hold.refused()
        hold.free()
    begin(talks, newest, branches=True).free()  # its client left: the site has more to show than anybody knows of
    hold = begin(talks, newest, branches=True)
    assert hold.match is not None and not hold.match.newest


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
