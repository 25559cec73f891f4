"""Conversations against a model of the sites and their callers, in any order of events."""

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from relay.chat.conversation import normal
from relay.chat.request import ChatRequest, Message
from relay.errors import ConversationNotFound, RateLimited
from relay.pool.conversations import Conversations
from relay.pool.hold import Hold
from relay.pool.store import Store
from tests.unit.pool.talks import KEEP_S, Clock, asked, assistant, user


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
