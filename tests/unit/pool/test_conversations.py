"""What continues, for whom, and what is deleted; also against a model of the sites and their callers."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from relay.chat.conversation import history_key, normal
from relay.chat.request import ChatRequest, Message, ModelChoice
from relay.errors import BadRequest, ConversationNotFound, RateLimited, SiteChanged
from relay.pool.conversations import DELETION_GAPS_S, Conversations, Due, Match
from relay.pool.hold import Hold
from relay.pool.store import Store

KEEP_S = 3600.0


class Clock:
    """Wall-clock time that moves when told."""

    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def user(text: str) -> Message:
    return Message("user", text)


def assistant(text: str) -> Message:
    return Message("assistant", text)


def asked(
    *messages: Message,
    caller: str = "ann",
    named: str | None = None,
    answer_id: str = "",
    agent: str = "",
    account: str = "",
) -> ChatRequest:
    choice = ModelChoice("demo", "demo", "demo", agent=agent, account=account)
    return ChatRequest("r1", choice, messages, caller, named, answer_id)


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


def find(talks: Conversations, request: ChatRequest, *, branches: bool = False, native: bool = True) -> Match | None:
    return talks.find(request, "demo", native=native, branches=branches)


def begin(talks: Conversations, request: ChatRequest, *, branches: bool = False, account: str = "a1") -> Hold:
    hold = Hold(talks, request, "demo", find(talks, request, branches=branches))
    hold.sending(hold.match.account if hold.match else account)
    return hold


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
    assert match == Match("a1", "c1", "m1", (user("and?"),), False, history_key([*first, HI[1]]), False)
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
        assert whole == match
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


# the model


@dataclass
class Node:
    """A turn on the site: what it heard, and its answer."""

    parent: str
    heard: list[Message]


@dataclass
class ModelSite:
    """Its conversations are trees of turns; without branches the parent is ignored, as by a page that has none."""

    branches: bool
    conversations: dict[str, dict[str, Node]] = field(default_factory=dict)
    tips: dict[str, str] = field(default_factory=dict)
    count: int = 0

    def hear(self, conversation: str, parent: str, messages: tuple[Message, ...]) -> tuple[str, str]:
        """Returns the conversation and the message that was added to it."""
        self.count += 1
        conversation = conversation or f"c{self.count}"
        nodes = self.conversations.setdefault(conversation, {})
        above = parent if self.branches else self.tips.get(conversation, "")
        assert above in nodes or not nodes, "a parent that the site never named"
        nodes[f"m{self.count}"] = Node(above, list(messages))
        self.tips[conversation] = f"m{self.count}"
        return conversation, f"m{self.count}"

    def history(self, conversation: str, message: str) -> list[Message]:
        """What the site knows when it answers that message."""
        nodes, path = self.conversations[conversation], []
        while message:
            path.append(nodes[message])
            message = nodes[message].parent
        return [one for node in reversed(path) for one in node.heard]


@dataclass
class Running:
    """A chat under way."""

    hold: Hold
    caller: str
    client: list[Message] | None
    """What the client's history is, where it sent all of it."""
    conversation: str
    message: str
    answer_id: str


@dataclass
class Known:
    """A history that a client has, and where the site has it."""

    caller: str
    messages: list[Message]
    conversation: str
    message: str


CALLERS = ("ann", "bob")
BACK = st.integers(0, 3)
TEXTS = st.sampled_from(["a", "b"])
AT_ONCE = st.sampled_from(["a", "b", ""])
"""The answer to a chat that ends before anything else happens; empty: it stays under way."""


class Interleaved(RuleBasedStateMachine):
    """Callers chat, edit, regenerate, name conversations and leave, while the relay restarts and sweeps."""

    branches = False

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.site = ModelSite(self.branches)
        self.owner: dict[str, str] = {}
        self.answers: list[tuple[str, str, str]] = []
        self.histories: list[Known] = []
        self.running: list[Running] = []
        self.delivering: list[tuple[Running, str]] = []
        self.used: dict[str, float] = {}
        self._open()

    def _open(self) -> None:
        store = self.loop.run(Store.open(Path(self.folder.name) / "relay.db", self.clock))
        self.talks = Conversations(store, "auto", KEEP_S, self.clock)

    def teardown(self) -> None:
        self.loop.run(self.talks.store.close())
        self.loop.close()
        self.folder.cleanup()

    # the client

    def _begin(self, request: ChatRequest, client: list[Message] | None) -> None:
        match = self.talks.find(request, "demo", native=True, branches=self.branches)
        hold = Hold(self.talks, request, "demo", match)
        if match is None:
            hold.sending("a1")
            conversation, message = self.site.hear("", "", request.messages)
            self.owner[conversation] = request.caller
            hold.started(conversation)
        else:
            assert self.owner[match.conversation_id] == request.caller, "another caller's conversation"
            assert all(one.conversation != match.conversation_id for one in self.running), "two chats in one"
            assert match.new_messages
            hold.sending(match.account)
            conversation, message = self.site.hear(match.conversation_id, match.parent, match.new_messages)
        if client is not None:
            heard = self.site.history(conversation, message)
            assert [(one.role, normal(one)) for one in heard] == [(one.role, normal(one)) for one in client]
        self.used[conversation] = self.clock.now
        self.running.append(Running(hold, request.caller, client, conversation, message, request.answer_id))

    def _request(self, caller: str, messages: list[Message], named: str | None = None) -> ChatRequest:
        return asked(*messages, caller=caller, named=named, answer_id=f"chatcmpl-{self.site.count}")

    def _must_continue(self, known: Known) -> bool:
        """Whether a new conversation would be a waste."""
        return (
            known.conversation in self.site.conversations
            and (self.branches or self.site.tips[known.conversation] == known.message)
            and all(one.conversation != known.conversation for one in self.running)
            and self.clock.now < self.used[known.conversation] + KEEP_S
        )

    @rule(caller=st.sampled_from(CALLERS), text=TEXTS, at_once=AT_ONCE)
    def new_chat(self, caller: str, text: str, at_once: str) -> None:
        self._begin(self._request(caller, [user(text)]), [user(text)])
        self._end(at_once)

    @precondition(lambda self: self.histories)
    @rule(back=BACK, text=TEXTS, spaces=st.sampled_from(["", " ", "\n"]), at_once=AT_ONCE)
    def next_turn(self, back: int, text: str, spaces: str, at_once: str) -> None:
        known = self.histories[-1 - back % len(self.histories)]
        messages = [*(Message(one.role, one.text + spaces) for one in known.messages), user(text)]
        must = self._must_continue(known)
        self._begin(self._request(known.caller, messages), messages)
        assert self.running[-1].hold.match is not None or not must, "a whole history for nothing"
        self._end(at_once)

    @precondition(lambda self: self.histories)
    @rule(back=BACK, cut=st.integers(0, 7), text=TEXTS, at_once=AT_ONCE)
    def edit(self, back: int, cut: int, text: str, at_once: str) -> None:
        """Change one message, the user's or the assistant's; go on from a question, or regenerate one."""
        known = self.histories[-1 - back % len(self.histories)]
        messages = list(known.messages)
        cut %= len(messages)
        messages[cut] = Message(messages[cut].role, text)
        messages = messages[: cut + 1] if messages[cut].role == "user" else [*messages, user(text)]
        self._begin(self._request(known.caller, messages), messages)
        self._end(at_once)

    @precondition(lambda self: self.answers)
    @rule(caller=st.sampled_from(CALLERS), back=BACK, text=TEXTS, by_id=st.booleans(), at_once=AT_ONCE)
    def name(self, caller: str, back: int, text: str, by_id: bool, at_once: str) -> None:
        """A conversation by name, with the new turn only; it may be another caller's, gone or busy."""
        answer, owner, conversation = self.answers[-1 - back % len(self.answers)]
        request = self._request(caller, [user(text)], conversation if by_id else answer)
        busy = any(one.conversation == conversation for one in self.running)
        if caller != owner:
            with pytest.raises(ConversationNotFound):
                self._begin(request, None)
            return
        try:
            self._begin(request, None)
        except ConversationNotFound:
            pass  # deleted, abandoned, or gone on since
        except RateLimited:
            assert busy
        else:
            assert not busy
            assert self.running[-1].conversation == conversation
            self._end(at_once)

    # the site and the relay

    def _end(self, answer: str, index: int = -1, *, late: bool = False) -> None:
        if not answer:
            return
        done = self.running.pop(index)
        self.site.conversations[done.conversation][done.message].heard.append(assistant(answer))
        done.hold.turned(done.conversation, done.message)
        done.hold.finished()
        if late:
            done.hold.free()
            self.delivering.append((done, answer))
        else:
            self._deliver(done, answer)
            done.hold.free()

    def _deliver(self, done: Running, answer: str) -> None:
        done.hold.answered(f"{answer}\n")
        self.used[done.conversation] = self.clock.now
        self.answers.append((done.answer_id, done.caller, done.conversation))
        if done.client is not None:
            messages = [*done.client, assistant(answer)]
            self.histories.append(Known(done.caller, messages, done.conversation, done.message))

    @precondition(lambda self: self.running)
    @rule(which=BACK, text=TEXTS, late=st.booleans())
    def answer(self, which: int, text: str, late: bool) -> None:
        self._end(text, which % len(self.running), late=late)

    @precondition(lambda self: self.delivering)
    @rule()
    def deliver(self) -> None:
        """The client reads the end long after the site wrote it."""
        self._deliver(*self.delivering.pop())

    @precondition(lambda self: self.running)
    @rule(which=BACK, half=TEXTS)
    def leave(self, which: int, half: str) -> None:
        """The client goes in the middle; the site keeps what it has said."""
        gone = self.running.pop(which % len(self.running))
        self.site.conversations[gone.conversation][gone.message].heard.append(assistant(half))
        gone.hold.free()

    @precondition(lambda self: self.histories)
    @rule(crash=st.booleans())
    def restart(self, crash: bool) -> None:
        for one in () if crash else self.running:
            one.hold.free()
        self.running.clear()
        self.delivering.clear()
        self.loop.run(self.talks.store.close())
        self._open()

    @precondition(lambda self: self.site.conversations)
    @rule(after_s=st.sampled_from([0.0, KEEP_S / 9, KEEP_S / 2, KEEP_S]))
    def sweep(self, after_s: float) -> None:
        self.clock.now += after_s
        for due in self.talks.due():
            assert all(one.conversation != due.conversation_id for one in self.running), "deleted under a chat"
            del self.site.conversations[due.conversation_id]
            self.talks.deleted(due)

    @invariant()
    def nothing_is_lost_from_sight(self) -> None:
        """Every conversation on the site is one that will be deleted some day."""
        assert f"<Conversations {len(self.site.conversations)} " in repr(self.talks)


class InterleavedBranches(Interleaved):
    """The same where a turn may follow any message."""

    branches = True


TestLine = Interleaved.TestCase
TestTree = InterleavedBranches.TestCase
TestLine.settings = TestTree.settings = settings(max_examples=50, stateful_step_count=50, deadline=None)
