"""The toy site, made to see how much a new site touches."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

from relay.browser.answer import Answer, status_error
from relay.browser.chromium import Context
from relay.browser.tab import Response, Tab
from relay.chat.events import Event
from relay.chat.request import Turn
from relay.errors import ChallengeNeeded, ConversationNotFound, RateLimited
from relay.sites.answered import read
from relay.sites.base import Capabilities, Login, LoginState, ModelSpec, ScreenRecipe, Site
from relay.sites.toy.messages import ToyReader, Whoami

SESSION = "toy_session"
ASK = "/api/ask"
HEADERS = {"Content-Type": "application/json", "x-toy-client": "web-1"}


class Toy(Site):
    """One account."""

    id = "toy"
    name = "Toy"
    address = "https://toy.example/"
    drivers = ("fetch", "screen")
    models = (ModelSpec("toy-1", "Toy 1", default=True),)
    capabilities = Capabilities(native_turns=True, delete=True, max_prompt_chars=20_000)
    token_pattern = re.compile(r"toy-[a-z0-9._-]{8,}-[0-9a-f]{16}")
    evidence = "2026-11"
    screen = ScreenRecipe(answer="**" + ASK, reader=ToyReader, conversation="/room/{id}", settle_ms=150)

    async def adopt(self, context: Context, token: str) -> None:
        """The value of the session cookie."""
        cookie: dict[str, object] = {
            "name": SESSION,
            "value": token,
            "domain": urlsplit(self.home).hostname,
            "path": "/",
            "expires": -1,
        }
        cookie |= {"httpOnly": True, "secure": True, "sameSite": "Lax"}
        await context.set_state({"cookies": [cookie], "origins": []})

    async def probe(self, tab: Tab) -> Login:
        """GET /api/whoami."""
        reply = await tab.fetch("GET", "/api/whoami")
        if _is_challenge(reply):
            return Login(LoginState.CHALLENGED, detail="Toy asks whether it is a person")
        if reply.status == 401:
            return Login(LoginState.DEAD, detail="Toy does not know the session")
        if reply.status == 403:
            return Login(LoginState.BANNED, detail="Toy has closed the account")
        if reply.status != 200:
            raise status_error(reply.status, reply.headers, reply.text, sends_prompt=False)
        name = read(Whoami, reply.body, "whoami of Toy").name
        return Login(LoginState.LIVE if name else LoginState.GUEST, name or "")

    async def chat(self, tab: Tab, turn: Turn, driver: str) -> AsyncGenerator[Event, None]:
        """POST /api/ask."""
        body = {"text": turn.prompt, "after": None, "room": None}
        if turn.conversation is not None:
            body |= {"after": turn.conversation.parent, "room": turn.conversation.id}
        async with tab.stream("POST", ASK, headers=HEADERS, body=json.dumps(body)) as answer:
            await self.accepted(answer)
            async for event in ToyReader().read(answer):
                yield event

    async def accepted(self, answer: Answer) -> None:
        """A challenge is HTML; a room that is gone or went on is 404 or 409; a limit tells its seconds."""
        if _is_challenge(answer):
            raise ChallengeNeeded("Toy shows a challenge.", refused=True)
        if answer.status in (404, 409):
            raise ConversationNotFound("Toy does not go on with the conversation.", refused=True)
        if answer.status == 429:
            found = re.search(r'"seconds":\s*(\d+)', await answer.refusal())
            raise RateLimited("Toy limits the account.", retry_after_s=float(found[1]) if found else None, refused=True)
        await super().accepted(answer)
        answer.expect("application/x-ndjson")

    async def delete(self, tab: Tab, conversation: str) -> None:
        """DELETE /api/rooms/<id>."""
        gone = await tab.fetch("DELETE", f"/api/rooms/{conversation}")
        if gone.status >= 400 and gone.status != 404:
            raise status_error(gone.status, gone.headers, gone.text, sends_prompt=False)


def _is_challenge(reply: Response | Answer) -> bool:
    return reply.status == 403 and reply.headers.get("content-type", "").startswith("text/html")
