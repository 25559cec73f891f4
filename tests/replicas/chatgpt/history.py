"""Reading conversations back, and what else is done to them (fact sheet sections 4, 8 and 10)."""

from __future__ import annotations

import re

from tests.replicas.chatgpt import refusals
from tests.replicas.chatgpt.chats import Conversation, Store
from tests.replicas.chatgpt.door import API, PRIVATE, caller
from tests.replicas.chatgpt.requests import ConversationPatch, Rename, StopRequest, error, parsed, problem
from tests.replicas.exchange import Exchange, Refused
from tests.replicas.site import Route

ID = r"(?P<id>[0-9a-f-]{36})"
AUDIO = b"\xff\xf1\x50\x80\x00\x1f\xfc" + bytes(256)
"""One silent ADTS frame."""


class History:
    """The routes about conversations that are there."""

    def __init__(self, store: Store) -> None:
        self.store = store
        one = f"{PRIVATE}/conversation/"
        self.routes = [
            Route("GET", f"{PRIVATE}/conversations", "conversations", self._list),
            Route("GET", one + ID, "conversation", self._read),
            Route("GET", f"{one}{ID}/stream_status", "stream_status", self._status),
            Route("PATCH", one + ID, "delete", self._patch),
            Route("POST", f"{one}id/{ID}/rename", "rename", self._rename),
            Route("POST", f"{API}/stop_conversation", "stop", self._stop),
            Route("GET", f"{PRIVATE}/synthesize", "synthesize", self._synthesize),
        ]

    def _find(self, exchange: Exchange, match: re.Match[str], id_: str) -> Conversation:
        """The caller's conversation. Raises Refused (401, 403, 404)."""
        found = self.store.conversation(caller(exchange, match), id_)
        if found is None:
            raise Refused(404, f"no conversation {id_}", refusals.NO_CONVERSATION)
        return found

    async def _list(self, exchange: Exchange, match: re.Match[str]) -> None:
        listed = self.store.listed(caller(exchange, match))
        query = exchange.request.query_params
        try:
            offset, limit = int(query.get("offset", "0")), int(query.get("limit", "28"))
        except ValueError as invalid:
            raise Refused(422, f"{invalid}", problem("offset", "not a number")) from invalid
        items = [
            {"id": one.id, "title": one.title, "create_time": one.created, "update_time": one.created}
            for one in listed[offset : offset + limit]
        ]
        await exchange.json({"items": items, "total": len(listed), "limit": limit, "offset": offset})

    async def _read(self, exchange: Exchange, match: re.Match[str]) -> None:
        found = self._find(exchange, match, match["id"])
        found.paint()
        if found.generation and not found.running:
            found.generation.back()
        await exchange.json(found.wire())

    async def _status(self, exchange: Exchange, match: re.Match[str]) -> None:
        generation = self._find(exchange, match, match["id"]).generation
        await exchange.json({"status": generation.stream_status if generation else "UNAVAILABLE"})

    async def _patch(self, exchange: Exchange, match: re.Match[str]) -> None:
        found, change = self._find(exchange, match, match["id"]), parsed(ConversationPatch, exchange)
        if change.is_visible is not None:
            found.visible = change.is_visible
        if change.is_archived is not None:
            found.archived = change.is_archived
        if change.title is not None:
            found.title = change.title
        await exchange.json({"success": True})

    async def _rename(self, exchange: Exchange, match: re.Match[str]) -> None:
        found = self._find(exchange, match, match["id"])
        found.title = parsed(Rename, exchange).title
        await exchange.json({"success": True})

    async def _stop(self, exchange: Exchange, match: re.Match[str]) -> None:
        caller(exchange, match)
        found = self._find(exchange, match, parsed(StopRequest, exchange).conversation_id)
        if found.generation:
            await found.generation.stop()
        await exchange.json({"status": "ok"})

    async def _synthesize(self, exchange: Exchange, match: re.Match[str]) -> None:
        query = exchange.request.query_params
        found = self._find(exchange, match, query.get("conversation_id", ""))
        if found.role(query.get("message_id", "")) != "assistant":
            raise Refused(404, "no such answer", error("message_not_found", "no such message"))
        if query.get("format") != "aac" or not query.get("voice"):
            raise Refused(422, "voice and format", problem("format", "voice and format=aac are needed"))
        await exchange.reply(AUDIO, "audio/aac")
