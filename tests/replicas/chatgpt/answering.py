"""From an accepted prompt to a whole answer: the scenario's beats in the site's events, and the hand-over.

Section 5 of the fact sheet.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from tests.replicas.chatgpt import catalog
from tests.replicas.chatgpt.chats import Conversation, Store
from tests.replicas.chatgpt.deltas import event
from tests.replicas.chatgpt.generation import DONE, FLUSH, PING, Break, Generation
from tests.replicas.chatgpt.requests import ChatRequest
from tests.replicas.chatgpt.writing import Writing
from tests.replicas.exchange import EndedEarly, Exchange, Torn
from tests.replicas.scenario import Answer, Fault, Scenario
from tests.replicas.script import Beat, play
from tests.replicas.seen import SeenTurn

log = logging.getLogger("replicas")
OPTIONS = frozenset(
    {"handoff", "silence_s", "after_break", "async_images", "summaries", "auto_thinks", "models", "max_chars"}
)
"""``handoff``: ``none`` (default), ``resume``, ``ws``, ``poll``: where the answer goes on, if not in the call that sent
the prompt. ``silence_s``: nothing at all is sent for so long before the first piece. ``after_break``: what becomes of
an answer whose connection the scenario tears or ends: ``lost`` (default); ``resumable``, it goes on and a resume call
takes it up; ``persisted`` or ``tokenless``, it goes on but a resume call is refused with 410 or 404, and it is to be
read back. ``async_images``: pictures are ready only after ``busy_polls`` reads of the conversation. ``summaries``: each
piece of reasoning has a heading. ``auto_thinks``: the model ``auto`` reasons. ``models``: other slugs, separated by
commas. ``max_chars``: longer prompts are refused."""


@dataclass(frozen=True, slots=True)
class Talk:
    """One accepted prompt: ``question`` is the message that it added, or the one that is answered again."""

    conversation: Conversation
    question: str
    request: ChatRequest
    turn: SeenTurn
    first: bool
    token: str
    """Of the resume call."""


@dataclass
class Background(Exchange):
    """The asking exchange as the answer sees it, which outlives it: only scenario and fault, and whom to flush."""

    generation: Generation | None = None

    async def flush(self) -> None:
        """All readers are to flush."""
        assert self.generation is not None
        await self.generation.put(FLUSH)


class Answering:
    """Writes the answer to one prompt into a generation of its own, which readers follow."""

    def __init__(self, exchange: Exchange, store: Store, talk: Talk) -> None:
        self.talk = talk
        self.asked = exchange
        self.scenario, self.options = exchange.scenario, exchange.scenario.options
        self.thinking = catalog.wants_thoughts(talk.request, self.options.get("auto_thinks"))
        slug = catalog.routed(talk.request, self.thinking)
        self.writing = Writing(store, talk.conversation, talk.question, slug=slug, v1=talk.request.v1)
        talk.turn.answer = self.writing.answer
        self.handoff = self.options.get("handoff", "none")
        self.after_break = self.options.get("after_break", "lost")
        self.generation = Generation(
            talk.conversation.id,
            talk.turn,
            tokenless=self.handoff == "poll" or self.after_break == "tokenless",
            persisted=self.after_break == "persisted",
        )
        talk.conversation.generation = self.generation

    def begin(self) -> None:
        """Start writing."""
        self.generation.task = asyncio.ensure_future(self._write())

    def opening(self) -> list[bytes]:
        """The first events of the call that sent the prompt."""
        token = self.writing.typed("resume_conversation_token", token=self.talk.token)
        return [*self.writing.deltas.start(), token]

    def handed_off(self) -> list[bytes]:
        """All that the call holds when the answer goes on elsewhere."""
        ways: dict[object, list[dict[str, str]]] = {
            "resume": [{"type": "resume_sse_endpoint"}],
            "ws": [{"type": "subscribe_ws_topic", "topic_id": self.generation.topic}],
        }
        turn, options = self.generation.turn_id, ways.get(self.handoff, [])
        return [*self.opening(), self.writing.typed("stream_handoff", turn_exchange_id=turn, options=options), DONE]

    async def _write(self) -> None:
        """The whole life of the answer, whoever reads it."""
        put, writing, complete = self.generation.put, self.writing, self.writing.typed("message_stream_complete")
        try:
            await put(*(self.opening() if self.handoff == "none" else writing.deltas.start()))
            await put(*self._prelude())
            await asyncio.sleep(float(self.options.get("silence_s", 0)))
            await self._play()
            if self.generation.outcome:  # the site gave up
                return
            await put(*writing.finish())
            self._close()
            await put(complete, DONE, outcome="complete")
        except asyncio.CancelledError:  # the site's own stop
            self._close()
            await put(complete, DONE, outcome="stopped")
        except (Torn, EndedEarly) as broken:
            self._close()
            await put(Break(type(broken)), outcome="lost")
        except Exception as error:
            log.exception("the answer failed")
            self._close()
            await put(event({"error": f"replica failed: {error!r}"}), outcome="lost")

    def _close(self) -> None:
        self.talk.turn.answer = self.writing.close()

    def _prelude(self) -> Iterable[bytes]:
        question = self.talk.conversation.nodes[self.talk.question].message
        yield self.writing.typed("input_message", input_message=question)
        if self.talk.first:
            yield self.writing.context()

    async def _play(self) -> None:
        titled = not self.talk.first or self.talk.conversation.temporary
        async for beat in self._beats():
            await self.generation.put(*self._events(beat))
            match beat.kind:
                case "error" | "failed":
                    self._close()
                    await self.generation.put(*([DONE] if beat.kind == "failed" else []), outcome="lost")
                case "refusal":
                    self._close()
                    await self.generation.put(DONE, outcome="complete")
                case "text" if not titled:
                    titled = True
                    await self.generation.put(self.writing.title(self.talk.turn.prompt))

    async def _beats(self) -> AsyncIterator[Beat]:
        """The scenario's beats; where it breaks the connection but not the answer, those after the break too."""
        answer, fault = self.scenario.answer, self.asked.fault
        prompts = self.talk.conversation.prompts(self.talk.question)
        told = "\n\n".join(prompts) if answer.recall else self.talk.turn.prompt
        try:
            async for beat in play(self._background(self.scenario, fault), told):
                yield beat
        except (Torn, EndedEarly) as broken:
            if self.after_break == "lost":
                raise
            await self.generation.put(Break(type(broken)))
            rest = Answer(pieces=answer.script(told)[max(fault.after, 0) if fault else 0 :])
            scenario = self.scenario.model_copy(update={"answer": rest})
            async for beat in play(self._background(scenario, None), told):
                yield beat

    def _background(self, scenario: Scenario, fault: Fault | None) -> Background:
        asked = self.asked
        return Background(
            asked.request, asked.body, asked.record, asked.send, scenario, fault, generation=self.generation
        )

    def _events(self, beat: Beat) -> Iterable[bytes]:
        writing, piece = self.writing, beat.piece
        match beat.kind:
            case "text":
                return writing.write(beat.text)
            case "reasoning" if self.thinking:  # who did not ask for thoughts gets none
                return writing.think(beat.text, headed=bool(self.options.get("summaries")))
            case "search" if piece:
                return writing.search(beat.text, piece.pages)
            case "cite" if piece:
                return writing.cite(piece.page)
            case "media" if piece:
                later = self.scenario.busy_polls if self.options.get("async_images") else 0
                return writing.draw(piece, later=later)
            case "heartbeat":
                return [PING]
            case "error":
                return [event({"error": beat.text})]
            case "failed":
                return [writing.fail(beat.text)]
            case "refusal":
                return [writing.retract()]
        return []
