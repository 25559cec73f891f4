"""What the tests of conversations share: requests, and the beginning of a chat."""

from __future__ import annotations

from pathlib import Path

from relay.chat.request import ChatRequest, Message, ModelChoice
from relay.pool.conversations import Conversations, Match
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
