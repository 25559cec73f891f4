"""Where an answer goes on when the call that asked for it does not hold it (fact sheet section 5)."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from typing import Any, Literal

from pydantic import ValidationError

from tests.replicas.chatgpt import refusals, tokens
from tests.replicas.chatgpt.chats import Store
from tests.replicas.chatgpt.door import PRIVATE, caller
from tests.replicas.chatgpt.generation import FLUSH, PING, Generation
from tests.replicas.chatgpt.requests import ResumeRequest, Strict, error, parsed
from tests.replicas.exchange import EndedEarly, Exchange, Refused, Torn
from tests.replicas.script import silence
from tests.replicas.site import Route, SocketRoute
from tests.replicas.socket import Socket

SOCKET_TTL_S = 300
GONE = error("tokenless_resume_unavailable", "This conversation cannot be resumed.")
PERSISTED = error("persisted_final_available", "The answer is complete: read the conversation.")


async def pour(exchange: Exchange, generation: Generation, offset: int = 0) -> None:
    """Send an answer as a stream of events. A fault of the reading call itself tears, ends or stalls this reader."""
    await exchange.start("text/event-stream; charset=utf-8")
    fault = exchange.fault if exchange.record.operation == "resume" else None
    sent = 0
    async with aclosing(generation.follow(offset)) as events:
        async for data in events:
            if fault and sent == max(fault.after, 0):
                await exchange.flush()
                match fault.kind:
                    case "cut":
                        raise Torn
                    case "end":
                        raise EndedEarly
                    case _:
                        await silence()
            if data == FLUSH:
                await exchange.flush()
                continue
            await exchange.write(data)
            sent += 1
    await exchange.finish()


class Connect(Strict):
    """The first command of a socket."""

    type: Literal["connect"]
    presence: dict[str, str]


class Subscribe(Strict):
    """The command that asks for a topic from ``offset`` on."""

    type: Literal["subscribe"]
    topic_id: str
    offset: str


class Command(Strict):
    """One element of the array that a client sends."""

    id: int
    command: Connect | Subscribe


class Handover:
    """The resume call and the socket."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.routes = [
            Route("POST", f"{PRIVATE}/f/conversation/resume", "resume", self._resume),
            Route("GET", f"{PRIVATE}/celsius/ws/user", "celsius", self._celsius),
        ]
        self.sockets = [SocketRoute(r"/p\d/ws/user/[^/]+", "socket", self._socket)]

    async def _resume(self, exchange: Exchange, match: re.Match[str]) -> None:
        user, request = caller(exchange, match), parsed(ResumeRequest, exchange)
        conversation = self.store.conversation(user, request.conversation_id)
        if conversation is None or conversation.generation is None:
            raise Refused(404, "no conversation to resume", refusals.NO_CONVERSATION)
        token = tokens.valid("resume", exchange.header("x-conduit-token"))
        if token is None or token.sub != user or token.about != {"conversation": conversation.id}:
            raise Refused(404, "X-Conduit-Token is not the resume token of this conversation", GONE)
        generation = conversation.generation
        if generation.persisted and generation.outcome == "complete":
            raise Refused(410, "option: persisted", PERSISTED)
        if generation.tokenless or generation.outcome == "lost":
            raise Refused(404, "this answer cannot be resumed", GONE)
        await pour(exchange, generation, request.offset)

    async def _celsius(self, exchange: Exchange, match: re.Match[str]) -> None:
        user = caller(exchange, match)
        token = tokens.mint("socket", user, SOCKET_TTL_S)
        await exchange.json({"websocket_url": f"wss://ws.chatgpt.com/p1/ws/user/{user}?verify={token}"})

    async def _socket(self, socket: Socket, match: re.Match[str]) -> None:
        token = tokens.valid("socket", socket.request.query_params.get("verify", ""))
        if token is None:
            raise Refused(403, "no valid socket token")
        await socket.accept()
        readers: list[asyncio.Task[None]] = []
        arriving = asyncio.ensure_future(socket.receive())
        try:
            while True:
                await asyncio.wait({arriving, *readers}, return_when=asyncio.FIRST_COMPLETED)
                for reader in [reader for reader in readers if reader.done()]:
                    readers.remove(reader)
                    reader.result()  # raises what broke it
                if arriving.done():
                    readers += await self._obey(socket, token.sub, arriving.result())
                    arriving = asyncio.ensure_future(socket.receive())
        finally:
            for task in (arriving, *readers):
                task.cancel()
            await asyncio.wait({arriving, *readers})

    async def _obey(self, socket: Socket, user: str, said: Any) -> list[asyncio.Task[None]]:
        """Answer an array of commands; the tasks send what was subscribed. Raises Refused for anything else."""
        try:
            commands = [Command.model_validate(one) for one in said] if isinstance(said, list) else []
        except ValidationError as invalid:
            raise Refused(400, f"commands: {invalid}") from invalid
        if not commands:
            raise Refused(400, f"no array of commands: {said!r}")
        readers: list[asyncio.Task[None]] = []
        for one in commands:
            if isinstance(one.command, Connect):
                await socket.send({"id": one.id, "reply": {"type": "connect"}})
                continue
            topic = one.command.topic_id
            generation = self.store.topic(user, topic)
            if generation is None and topic != "conversations":
                raise Refused(400, f"no topic {topic}")
            early = generation.so_far(int(one.command.offset)) if generation else []
            told = Telling(generation, int(one.command.offset)) if generation else None
            reply = {
                "type": "subscribe",
                "topic_id": topic,
                "recovered": told is not None,
                "catchups": [told.item(data) for data in early] if told else [],
                "last_offset": str(told.offset) if told else one.command.offset,
            }
            await socket.send({"id": one.id, "reply": reply})
            if told:
                readers.append(asyncio.ensure_future(told.send(socket)))
        return readers


class Telling:
    """An answer as the messages of its topic, from an offset on."""

    def __init__(self, generation: Generation, offset: int) -> None:
        self.generation, self.offset = generation, offset
        self._parent = ""

    def message(self, type_: str, **more: object) -> dict[str, object]:
        """One message; its offset is that of the newest item."""
        about = {"conversation_id": self.generation.conversation_id, "turn_id": self.generation.turn_id}
        payload = {"type": "conversation-turn-stream", "payload": {"type": type_, **about, **more}}
        return {"type": "message", "topic_id": self.generation.topic, "offset": str(self.offset), "payload": payload}

    def item(self, data: bytes) -> dict[str, object]:
        """The next event of the stream."""
        self.offset += 1
        parent, self._parent = self._parent, f"{self.generation.turn_id}-{self.offset}"
        return self.message(
            "stream-item", encoded_item=data.decode(), stream_item_id=self._parent, parent_stream_item_id=parent
        )

    async def send(self, socket: Socket) -> None:
        """Send what comes until the answer ends."""
        async with aclosing(self.generation.follow(self.offset)) as events:
            async for data in events:
                if data == PING:
                    await socket.send(self.message("heartbeat"))
                elif data != FLUSH:
                    await socket.send(self.item(data))
        await socket.send(self.message("done"))
