"""One answer of Claude: who may have it, where it stands in its conversation, and its events (sections 4 and 5)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

from tests.replicas.claude import catalog, events, quota
from tests.replicas.claude.conversations import PASTE, Conversation, Message, Store, taken
from tests.replicas.claude.events import Blocks
from tests.replicas.claude.refusals import bad, missing
from tests.replicas.claude.requests import ROOT, CompletionRequest
from tests.replicas.exchange import EndedEarly, Exchange
from tests.replicas.scenario import Page
from tests.replicas.script import Beat, play
from tests.replicas.seen import SeenTurn

FILES_LIMIT = 20
"""Files of one conversation."""


@dataclass
class Asked:
    """A question in its place, and the ids of what answers it."""

    conversation: Conversation
    question: Message
    answer_uuid: str
    created: bool
    turn: SeenTurn


def check_headers(exchange: Exchange) -> None:
    """The headers of section 4: most are optional, none may be wrong. Raises Refused (400)."""
    if "text/event-stream" not in exchange.header("accept"):
        raise bad(f"Accept must be text/event-stream, not {exchange.header('accept')!r}")
    if exchange.header("anthropic-client-platform") not in ("", "web_claude_ai"):
        raise bad(f"anthropic-client-platform: {exchange.header('anthropic-client-platform')!r}")


def place(store: Store, exchange: Exchange, account: str, uuid: str, request: CompletionRequest) -> Asked:
    """Put a question where it belongs. Raises Refused (400, 403, 404) before anything is kept."""
    made = request.create_conversation_params
    conversation = store.conversation(account, uuid)
    if made and uuid in store.conversations:
        raise bad("create_conversation_params: the conversation exists")
    if not made and conversation is None:
        raise missing("Conversation not found")
    parent = request.parent_message_uuid
    if parent != ROOT and not (conversation and conversation.has(parent, "assistant")):
        raise bad(f"parent_message_uuid {parent} is no answer of this conversation")
    model = _model(exchange, conversation, request)
    if not request.prompt.strip() and not request.attachments and not request.files:
        raise bad("prompt: there is nothing to answer")
    _check_files(store, account, uuid, conversation, request)
    ids = _ids(store, request)
    if made:
        conversation = store.create(account, uuid, made)
    assert conversation is not None
    question = Message(
        uuid=ids[0],
        sender="human",
        parent=parent,
        content=[{"type": "text", "text": request.prompt}],
        files=request.files,
        attachments=[attachment.model_dump() for attachment in request.attachments],
    )
    conversation.add(question)
    inline = [store.inline(account, each) for each in request.attachments if each.file_name != PASTE]
    turn = _turn(conversation, question, request, model)
    turn.files = [store.files[file].upload.sha256 for file in request.files] + inline
    return Asked(conversation, question, ids[1], made is not None, turn)


def place_again(store: Store, exchange: Exchange, account: str, uuid: str, request: CompletionRequest) -> Asked:
    """Find the question to answer once more: the parent. Raises Refused (400, 403, 404)."""
    conversation = store.conversation(account, uuid)
    if conversation is None:
        raise missing("Conversation not found")
    if request.prompt or request.attachments or request.files or request.create_conversation_params:
        raise bad("retry_completion asks nothing new")
    parent = request.parent_message_uuid
    if not conversation.has(parent, "human"):
        raise bad(f"parent_message_uuid {parent} is no question of this conversation")
    model = _model(exchange, conversation, request)
    answer_uuid = _ids(store, request)[1]
    question = conversation.messages[parent]
    turn = _turn(conversation, question, request, model)
    turn.again = True
    return Asked(conversation, question, answer_uuid, False, turn)


def _model(exchange: Exchange, conversation: Conversation | None, request: CompletionRequest) -> str:
    made = request.create_conversation_params
    named = request.model or (made.model if made else None) or (conversation.model if conversation else None)
    return catalog.checked(named, exchange.scenario)


def _check_files(
    store: Store, account: str, uuid: str, conversation: Conversation | None, request: CompletionRequest
) -> None:
    for file in request.files:
        if store.file(account, file, uuid) is None:
            raise bad(f"files: {file} was not uploaded to this conversation")
    before = conversation.messages.values() if conversation else ()
    count = len(request.files) + sum(len(message.files) for message in before)
    if count > FILES_LIMIT:
        raise bad(f"files: {count} files in one conversation, {FILES_LIMIT} are allowed")


def _ids(store: Store, request: CompletionRequest) -> tuple[str, str]:
    """The ids of question and answer: the client's, if it chose some."""
    if request.turn_message_uuids is None:
        return str(uuid4()), str(uuid4())
    chosen = request.turn_message_uuids
    ids = chosen.human_message_uuid, chosen.assistant_message_uuid
    if ids[0] == ids[1] or any(taken(store.conversations, uuid) for uuid in ids):
        raise bad("turn_message_uuids: these ids were used before")
    return ids


def _turn(conversation: Conversation, question: Message, request: CompletionRequest, model: str) -> SeenTurn:
    mode = request.thinking_mode or conversation.paprika_mode or "off"
    turn = SeenTurn(
        prompt=question.text,
        parent="" if question.parent == ROOT else question.parent,
        model=model,
        thinking=mode != "off",
        search=request.uses("web_search"),
        agent=conversation.project,
    )
    conversation.turns.append(turn)
    return turn


@asynccontextmanager
async def _answering(asked: Asked) -> AsyncIterator[tuple[Message, Blocks]]:
    """The answer in its conversation; the record says if its client broke it off."""
    blocks = Blocks()
    answer = Message(asked.answer_uuid, "assistant", asked.question.uuid, blocks.content)
    asked.conversation.add(answer)
    asked.turn.answer = answer.uuid
    try:
        yield answer, blocks
    except asyncio.CancelledError:
        asked.turn.stopped = answer.stopped = True
        raise
    finally:
        asked.turn.stopped = asked.turn.stopped or answer.stopped


async def answer(exchange: Exchange, asked: Asked, request: CompletionRequest) -> None:
    """Send the whole answer as the scenario has it."""
    conversation, scenario = asked.conversation, exchange.scenario
    told = conversation.prompts(asked.question.uuid) if scenario.answer.recall else asked.question.text
    await exchange.start("text/event-stream; charset=utf-8")
    if asked.created and scenario.options.get("conversation_ready", True):
        await exchange.write(events.event("conversation_ready", conversation_uuid=conversation.uuid))
    async with _answering(asked) as (message, blocks):
        await exchange.write(events.message_start(message.uuid, message.parent, asked.turn.model))
        script = Script(exchange, blocks, searches=request.uses("web_search"), thinks=asked.turn.thinking)
        async for beat in play(exchange, told):
            if message.stopped:
                raise EndedEarly
            if beat.kind in ("error", "failed"):
                await exchange.write(blocks.close() + failed(exchange, beat))
                await exchange.finish()
                return
            if beat.kind == "refusal":
                message.stop_reason = "refusal"
                break
            await exchange.write(script.take(beat))
        else:
            if request.uses("artifacts") and (text := str(scenario.options.get("artifact", ""))):
                await exchange.write(blocks.artifact(text))
            message.stop_reason = str(scenario.options.get("stop_reason", "end_turn"))
        await exchange.write(blocks.close() + events.message_delta(message.stop_reason))
    await exchange.write(events.event("message_limit", message_limit=quota.message_limit(scenario)))
    await exchange.write(events.MESSAGE_STOP)
    await exchange.finish()


def resets_at(exchange: Exchange) -> int | None:
    """When the fault's limit ends, in Unix seconds, if it tells."""
    fault = exchange.fault
    return None if fault is None or fault.resets_in_s is None else int(time.time()) + fault.resets_in_s


def failed(exchange: Exchange, beat: Beat) -> bytes:
    """A failure inside a 200 stream: an error, or with the code ``exceeded_limit`` the used-up window."""
    if beat.code == "exceeded_limit":
        return events.event("message_limit", message_limit=quota.exceeded(resets_at(exchange)))
    if beat.kind == "failed":
        return events.failure("overloaded_error", "Overloaded")
    return events.failure("api_error" if beat.code == "internal" else beat.code, beat.text)


class Script:
    """Turns beats into events. A text that marks follow is enclosed by them."""

    def __init__(self, exchange: Exchange, blocks: Blocks, *, searches: bool, thinks: bool) -> None:
        self._pieces = exchange.scenario.answer.pieces
        self._blocks, self._searches, self._thinks = blocks, searches, thinks
        self._position = 0
        self._pinged = False
        self._found: list[Page] = []
        self._marks: list[dict[str, str]] = []

    def take(self, beat: Beat) -> bytes:
        """The bytes of one beat; none for what the question did not ask for."""
        if beat.kind == "heartbeat":
            return events.PING
        self._position += 1
        match beat.kind:
            case "text":
                return self._text(beat.text)
            case "reasoning" if self._thinks:
                return self._blocks.reasoning(beat.text)
            case "search" if self._searches and beat.piece:
                self._found += beat.piece.pages
                return self._blocks.search(beat.text, beat.piece.pages)
            case "cite" if self._marks:
                return self._blocks.cited(self._marks.pop(0))
            case "cite" if beat.piece and (mark := self._mark(beat.piece.page)):
                return self._blocks.cite(mark) + self._blocks.cited(mark)
        return b""

    def _text(self, text: str) -> bytes:
        self._marks = self._following()
        opening = b"".join(self._blocks.cite(mark) for mark in self._marks)
        ping = b"" if self._pinged else events.PING
        self._pinged = True
        return opening + self._blocks.text(text) + ping

    def _following(self) -> list[dict[str, str]]:
        """The marks that come right after this text."""
        marks = []
        for piece in self._pieces[self._position :]:
            if piece.kind != "cite":
                break
            if mark := self._mark(piece.page):
                marks.append(mark)
        return marks

    def _mark(self, page: int) -> dict[str, str] | None:
        return events.citation(self._found[page - 1]) if 1 <= page <= len(self._found) else None
