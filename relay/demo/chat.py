"""Conversations, and answers under way: the clock, the heartbeats, stopping and counting."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from relay.demo.model import Turn
from relay.demo.replay import Blob, frame

PING = frame({"type": "ping"})


@dataclass(slots=True)
class Conversation:
    """A chat's state. `tip` is the last message: the only parent that a new prompt may have."""

    id: str
    user: str
    tip: str | None = None
    prompts: list[str] = field(default_factory=list)
    busy: bool = False


class Conversations:
    """All conversations, in memory; the oldest are forgotten beyond `limit`."""

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._by_id: dict[str, Conversation] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __repr__(self) -> str:
        return f"<Conversations {len(self)}>"

    def find(self, user: str, conversation_id: str) -> Conversation | None:
        """The user's own conversation, or None."""
        found = self._by_id.get(conversation_id)
        return found if found is not None and found.user == user else None

    def keep(self, conversation: Conversation) -> None:
        """Remember it."""
        self._by_id[conversation.id] = conversation
        if len(self._by_id) > self._limit:
            del self._by_id[next(iter(self._by_id))]

    def drop(self, conversation: Conversation) -> None:
        """Forget it."""
        del self._by_id[conversation.id]


def new_conversation(user: str) -> Conversation:
    """One without messages, not yet remembered."""
    return Conversation(id=f"conv-{secrets.token_hex(8)}", user=user)


def new_message() -> str:
    """An id for an answer."""
    return f"msg-{secrets.token_hex(8)}"


@dataclass(slots=True)
class Counters:
    """Answers that were streamed: `finished` by script, `stopped` by request, `aborted` as the client left.

    `bursts` are events, or runs of events that share their moment, which went out.
    """

    started: int = 0
    bursts: int = 0
    finished: int = 0
    stopped: int = 0
    aborted: int = 0


class Answers:
    """The answers under way, by message id."""

    def __init__(self, heartbeat_s: float) -> None:
        self.heartbeat_s = heartbeat_s
        self.counters = Counters()
        self.active: dict[str, Answer] = {}

    def __repr__(self) -> str:
        return f"<Answers active={len(self.active)} {self.counters}>"

    def stop(self, user: str, message: str) -> bool:
        """Stop the user's own answer; False if it is not under way."""
        answer = self.active.get(message)
        if answer is None or answer.conversation.user != user:
            return False
        answer.stop.set()
        return True

    def cut_all(self) -> None:
        """Cut every answer off, for a shutdown: none of them gets an end mark."""
        for answer in list(self.active.values()):
            answer.cut_off = True
            answer.stop.set()


class Answer(StreamingResponse):
    """One answer as `text/event-stream`. It holds its conversation from creation until the response is over."""

    def __init__(self, answers: Answers, conversation: Conversation, turn: Turn, blobs: Iterator[Blob]) -> None:
        self.answers = answers
        self.conversation = conversation
        self.message = turn.message
        self.stop = asyncio.Event()
        self.cut_off = False
        self._blobs = blobs
        self._outcome = "aborted"
        conversation.busy = True
        conversation.tip = turn.message
        conversation.prompts.append(turn.prompt)
        answers.active[self.message] = self
        answers.counters.started += 1
        self._frames = self._generate()
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(self._frames, media_type="text/event-stream", headers=headers)

    def __repr__(self) -> str:
        return f"<Answer {self.message} of {self.conversation.id} stop={self.stop.is_set()}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; whatever ends the response, the conversation is free again afterwards."""
        try:
            async with aclosing(self._frames):
                await super().__call__(scope, receive, send)
        finally:
            self.conversation.busy = False
            del self.answers.active[self.message]
            counters = self.answers.counters
            setattr(counters, self._outcome, getattr(counters, self._outcome) + 1)

    async def _generate(self) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        due = loop.time()
        for delay_s, chunks in self._blobs:
            due += delay_s  # from the piece before, not from now: lateness does not add up
            while not await self._stopped_before(min(due, beat := loop.time() + self.answers.heartbeat_s)):
                if due <= beat:
                    break
                yield PING
            if self.cut_off:
                return
            if self.stop.is_set():
                self._outcome = "stopped"
                yield frame({"type": "end", "reason": "stop", "stopped": True})
                return
            for chunk in chunks:
                yield chunk
                await asyncio.sleep(0)  # lets the transport write it alone, and others have a turn
            self.answers.counters.bursts += 1
        self._outcome = "finished"

    async def _stopped_before(self, when: float) -> bool:
        """Wait until `when` (event loop seconds) or for a stop, whichever is first."""
        if when <= asyncio.get_running_loop().time():
            return self.stop.is_set()
        try:
            async with asyncio.timeout_at(when):
                return await self.stop.wait()
        except TimeoutError:
            return False
