"""Chats (fact sheet sections 4, 5, 8): sessions, proofs, answers, and what neighbours them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import aclosing, contextmanager

from tests.replicas.deepseek import frames
from tests.replicas.deepseek.entry import signed_in
from tests.replicas.deepseek.frames import Patches, Writing
from tests.replicas.deepseek.proofs import CHAT, DIFFICULTY, EXPIRE_AFTER_MS, Proofs
from tests.replicas.deepseek.requests import (
    BUSY,
    MAX_PROMPT_CHARS,
    MISPLACED,
    NO_SESSION,
    POW,
    UNFIT,
    ChallengeRequest,
    ChatRequest,
    ContinueRequest,
    CreateRequest,
    Nothing,
    RegenerateRequest,
    SessionRequest,
    StopRequest,
    check_headers,
    envelope,
    json_body,
    outer_error,
    refusal,
)
from tests.replicas.deepseek.sessions import TTL_S, Message, Session, Store
from tests.replicas.deepseek.telling import beat_bytes, failure_bytes, refuse_at_once, until, writer
from tests.replicas.deepseek.uploads import misfit
from tests.replicas.exchange import Exchange, Refused
from tests.replicas.script import play
from tests.replicas.seen import SeenTurn
from tests.replicas.site import Route

STREAM = {"accept": r"text/event-stream"}
SESSION_CHARS = 1 << 20
"""Where a conversation is full: the sheet says roughly a million characters."""


class Chats:
    """The routes of conversations."""

    def __init__(self, store: Store, proofs: Proofs) -> None:
        self._store, self._proofs = store, proofs
        chat, session = "/api/v0/chat/", "/api/v0/chat_session/"
        self.routes = [
            Route("POST", session + "create", "create", self._create),
            Route("POST", chat + "create_pow_challenge", "pow", self._challenge),
            Route("POST", CHAT, "chat", self._chat),
            Route("POST", chat + "continue", "continue", self._continue),
            Route("POST", chat + "regenerate", "regenerate", self._regenerate),
            Route("POST", chat + "stop_stream", "stop", self._stop),
            Route("GET", chat + "history_messages", "messages", self._messages),
            Route("GET", session + "fetch_page", "sessions", self._sessions),
            Route("POST", session + "delete", "delete", self._delete),
            Route("POST", session + "delete_all", "delete_all", self._delete_all),
        ]

    async def _create(self, exchange: Exchange, match: re.Match[str]) -> None:
        user = signed_in(exchange)
        json_body(exchange, CreateRequest)
        session = self._store.new_session(user)
        if exchange.scenario.options.get("older_session"):
            await exchange.json(envelope(session.wire()))
        else:
            await exchange.json(envelope({"chat_session": session.wire(), "ttl_seconds": TTL_S}))

    async def _challenge(self, exchange: Exchange, match: re.Match[str]) -> None:
        user = signed_in(exchange)
        path = json_body(exchange, ChallengeRequest).target_path
        options = exchange.scenario.options
        difficulty = int(options.get("difficulty", DIFFICULTY))
        made = self._proofs.challenge(user, path, difficulty, int(options.get("expire_after_ms", EXPIRE_AFTER_MS)))
        await exchange.json(envelope({"challenge": made.wire()}))

    # Section 4: what is sent

    async def _chat(self, exchange: Exchange, match: re.Match[str]) -> None:
        user = signed_in(exchange)
        check_headers(exchange, STREAM)
        request = json_body(exchange, ChatRequest)
        self._prove(exchange, user)
        limit = int(exchange.scenario.options.get("input_character_limit", MAX_PROMPT_CHARS))
        if len(request.prompt) > limit:
            over = round((len(request.prompt) / limit - 1) * 100)
            raise refusal(UNFIT, f"内容超长约 {over}%，请删减后再试")
        session = self._idle(user, request.chat_session_id)
        parent = session.message(request.parent_message_id, "ASSISTANT")
        if parent is None and (session.messages or request.parent_message_id is not None):
            why = f"parent_message_id {request.parent_message_id} is no answer of this session"
            raise refusal(MISPLACED, "invalid message id", why)
        earlier = [file for message in session.way_to(parent) for file in message.files] if parent else []
        if unfit := misfit(self._store, user, request, earlier):
            raise refusal(UNFIT, "文件不可用", unfit)
        refuse_at_once(exchange)
        self._proofs.spend(exchange.header("x-ds-pow-response"), user, session.id)
        session.model_type = request.model_type
        question = Message(
            id=session.next_id,
            parent_id=request.parent_message_id,
            role="USER",
            status="FINISHED",
            prompt=request.prompt,
            files=request.ref_file_ids,
        )
        session.add(question)
        await self._begin(exchange, session, question, request.thinking_enabled, request.search_enabled)

    async def _regenerate(self, exchange: Exchange, match: re.Match[str]) -> None:
        user = signed_in(exchange)
        check_headers(exchange, STREAM)
        request = json_body(exchange, RegenerateRequest)
        self._prove(exchange, user)
        session = self._idle(user, request.chat_session_id)
        earlier = session.message(request.child_message_id, "ASSISTANT")
        question = session.message(earlier.parent_id, "USER") if earlier else None
        if earlier is None or question is None or earlier.ban_regenerate:
            raise refusal(MISPLACED, "invalid message id", f"no answer {request.child_message_id} to make again")
        refuse_at_once(exchange)
        self._proofs.spend(exchange.header("x-ds-pow-response"), user, session.id)
        thinking = earlier.thinking_enabled if request.thinking_enabled is None else request.thinking_enabled
        search = earlier.search_enabled if request.search_enabled is None else request.search_enabled
        await self._begin(exchange, session, question, thinking, search, again=True)

    async def _continue(self, exchange: Exchange, match: re.Match[str]) -> None:
        user = signed_in(exchange)
        check_headers(exchange, STREAM)
        request = json_body(exchange, ContinueRequest)
        if not self._proofs.reused(exchange.header("x-ds-pow-response"), user, request.chat_session_id):
            self._prove(exchange, user)
        session = self._idle(user, request.chat_session_id)
        answer = session.message(request.message_id, "ASSISTANT")
        if answer is None or answer.status != "INCOMPLETE":
            raise refusal(MISPLACED, "invalid message id", f"message {request.message_id} is not INCOMPLETE")
        turn = next(turn for turn in self._store.turns[session.id] if turn.answer == str(answer.id))
        refuse_at_once(exchange)
        turn.stopped = False
        with self._running(session, answer, turn) as stop:
            writing = writer(exchange, answer)
            await exchange.start("text/event-stream; charset=utf-8")
            await exchange.write(frames.ready(answer, session))
            if isinstance(writing, Patches):
                await exchange.write(writing.resume())
            await self._write(exchange, session, answer, writing, stop, since=answer.written)
        await exchange.finish()

    async def _stop(self, exchange: Exchange, match: re.Match[str]) -> None:
        user = signed_in(exchange)
        request = json_body(exchange, StopRequest)
        session = self._session(user, request.chat_session_id)
        if session.message(request.message_id, "ASSISTANT") is None:
            raise refusal(MISPLACED, "invalid message id", f"no answer {request.message_id}")
        if stop := self._store.running.get((session.id, request.message_id)):
            stop.set()
        await exchange.json(envelope())

    # Section 5: what is answered

    async def _begin(
        self, exchange: Exchange, session: Session, question: Message, thinking: bool, search: bool, again: bool = False
    ) -> None:
        way = session.way_to(question)
        size = sum(message.chars for message in way)
        answer = Message(
            id=session.next_id,
            parent_id=question.id,
            role="ASSISTANT",
            status="WIP",
            thinking_enabled=thinking,
            search_enabled=search,
            usage=1 + size // 2,
        )
        session.add(answer)
        turn = SeenTurn(
            prompt=question.prompt,
            parent="" if question.parent_id is None else str(question.parent_id),
            answer=str(answer.id),
            model=session.model_type,
            thinking=thinking,
            search=search,
            files=[self._store.files[file].upload.sha256 for file in question.files],
            again=again,
        )
        self._store.turns[session.id].append(turn)
        writing = writer(exchange, answer)
        with self._running(session, answer, turn) as stop:
            await exchange.start("text/event-stream; charset=utf-8")
            await exchange.write(frames.ready(answer, session))
            if size > int(exchange.scenario.options.get("session_chars", SESSION_CHARS)):
                await exchange.write(writing.end("CONTEXT_LENGTH_EXCEEDED"))
            else:
                await self._write(exchange, session, answer, writing, stop)
        await exchange.finish()

    async def _write(
        self,
        exchange: Exchange,
        session: Session,
        answer: Message,
        writing: Writing,
        stop: asyncio.Event,
        since: int = 0,
    ) -> None:
        """The scenario's answer; of one that is continued, what comes after its first ``since`` beats."""
        way = session.way_to(answer)
        prompts = [message.prompt for message in way if message.role == "USER"]
        asked = "\n\n".join(prompts) if exchange.scenario.answer.recall else prompts[-1]
        most = 0 if since else int(exchange.scenario.options.get("incomplete_after", 0))
        async with aclosing(until(stop, play(exchange, asked))) as script:
            number = 0
            async for beat in script:
                number += 1
                if beat.kind in ("error", "failed", "refusal"):
                    answer.status = "FAILED"
                    await exchange.write(failure_bytes(beat, writing))
                    return
                if beat.kind == "heartbeat":
                    await exchange.write(frames.heartbeat() if number % 2 else frames.KEEP_ALIVE)
                elif number > since:
                    answer.written = number
                    if told := beat_bytes(beat, writing, answer):
                        await exchange.write(told)
                if number == most:
                    await exchange.write(writing.end("INCOMPLETE"))
                    return
        title = "" if session.title else " ".join(prompts[0].split())[:20]
        session.title = session.title or title
        await exchange.write(writing.end("FINISHED", title))

    @contextmanager
    def _running(self, session: Session, answer: Message, turn: SeenTurn) -> Iterator[asyncio.Event]:
        """Holds the session while its answer is written; whatever cuts it short leaves it INCOMPLETE."""
        key = session.id, answer.id
        self._store.running[key] = stop = asyncio.Event()
        try:
            yield stop
        except asyncio.CancelledError:  # its client has left
            turn.stopped = True
            raise
        finally:
            del self._store.running[key]
            turn.stopped |= stop.is_set()
            if answer.status == "WIP":
                answer.status = "INCOMPLETE"

    # What is kept

    async def _messages(self, exchange: Exchange, match: re.Match[str]) -> None:
        user = signed_in(exchange)
        session = self._session(user, exchange.request.query_params.get("chat_session_id", ""))
        messages = [message.wire() for message in session.messages]
        await exchange.json(envelope({"chat_session": session.wire(), "chat_messages": messages}))

    async def _sessions(self, exchange: Exchange, match: re.Match[str]) -> None:
        user = signed_in(exchange)
        query = exchange.request.query_params
        count, before = query.get("count", ""), float(query.get("lte_cursor.updated_at", "inf"))
        if not re.fullmatch(r"[1-9]\d{0,2}", count):
            raise refusal(UNFIT, "invalid count", f"count: {count!r}")
        living = [each for each in self._store.of_user(user) if not each.deleted and each.updated_at <= before]
        newest = sorted(living, key=lambda each: each.updated_at, reverse=True)
        shown = [session.wire() for session in newest[: int(count)]]
        await exchange.json(envelope({"chat_sessions": shown, "has_more": len(newest) > len(shown)}))

    async def _delete(self, exchange: Exchange, match: re.Match[str]) -> None:
        user = signed_in(exchange)
        self._session(user, json_body(exchange, SessionRequest).chat_session_id).deleted = True
        await exchange.json(envelope())

    async def _delete_all(self, exchange: Exchange, match: re.Match[str]) -> None:
        user = signed_in(exchange)
        json_body(exchange, Nothing)
        for session in self._store.of_user(user):
            session.deleted = True
        await exchange.json(envelope())

    def _session(self, user: str, session_id: str) -> Session:
        session = self._store.session(user, session_id)
        if session is None:
            raise refusal(NO_SESSION, "会话不存在", f"no session {session_id!r} of {user}")
        return session

    def _idle(self, user: str, session_id: str) -> Session:
        session = self._session(user, session_id)
        if self._store.busy(session):
            raise refusal(BUSY, "有消息正在生成")
        return session

    def _prove(self, exchange: Exchange, user: str) -> None:
        if why := self._proofs.objection(exchange.header("x-ds-pow-response"), user, CHAT):
            raise Refused(200, why, outer_error(POW, "INVALID_POW_RESPONSE"))
