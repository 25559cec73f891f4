"""The built-in demo site (`relay.demo`): the worked example of a site module."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Sequence
from typing import ClassVar
from urllib.parse import urlsplit

from relay.browser.answer import Answer, status_error
from relay.browser.chromium import Context
from relay.browser.fetch import FormPart
from relay.browser.tab import Tab
from relay.chat.events import Event
from relay.chat.request import Attachment, FileRef, Turn
from relay.errors import ChallengeNeeded
from relay.sites.base import Capabilities, Login, LoginState, ModelSpec, ScreenRecipe, Site
from relay.sites.demo.messages import DemoReader, refusal, site_error

CHAT = "/api/chat"
SESSION = "relay_demo_session"
"""The cookie of a login."""
BUSY_PAUSES_S = (0.05, 0.1, 0.2, 0.4)


class Demo(Site):
    """One account at a demo site; its address is the account's `base_url`."""

    id = "demo"
    name = "Demo"
    address = "http://127.0.0.1:9998/"
    models: ClassVar[Sequence[ModelSpec]] = (
        ModelSpec("demo", "Demo", default=True, thinking=True, search=True, images=True, files=True, draws=True),
        *(
            ModelSpec(key, f"Demo {key}", thinking=True, search=True, images=True, files=True)
            for key in ("thinker", "searcher", "echo", "slow", "rate-limited", "refuses", "cut", "stall")
        ),
        *(ModelSpec(key, f"Demo {key}") for key in ("error", "login-dead", "challenge", "script")),
    )
    capabilities = Capabilities(
        native_turns=True, delete=True, search=True, sources=True, thinking=True, images=True, files=True,
        max_prompt_chars=100_000, max_file_bytes=31 * 1024 * 1024,
    )  # fmt: skip
    token_pattern = re.compile(r"[A-Za-z0-9_-]{16,}\.[0-9a-f]{64}")  # the session cookie's value
    concurrency = 6  # HTTP/1.1: a browser opens six connections to a host
    evidence = "2026-11"
    screen = ScreenRecipe(
        answer="**" + CHAT, reader=DemoReader, upload="**/api/files", settle_ms=150,
        switches=frozenset({"model", "thinking", "search"}),
    )  # fmt: skip

    async def adopt(self, context: Context, token: str) -> None:
        """The value of the session cookie."""
        cookie = {
            "name": SESSION,
            "value": token,
            "domain": urlsplit(self.home).hostname,
            "path": "/",
            "expires": -1,
            "httpOnly": True,
            "secure": False,
            "sameSite": "Lax",
        }
        await context.set_state({"cookies": [cookie], "origins": []})

    async def probe(self, tab: Tab) -> Login:
        """GET /api/me."""
        me = await tab.fetch("GET", "/api/me")
        if me.status == 401:
            return Login(LoginState.DEAD, detail="the demo site does not know the session")
        if me.status == 403 and me.headers.get("content-type", "").startswith("text/html"):
            return Login(LoginState.CHALLENGED, detail="the demo site asks whether it is a person")
        if me.status == 403:
            return Login(LoginState.BANNED, detail=refusal(me.body).message)
        if me.status != 200:
            raise status_error(me.status, me.headers, me.text, sends_prompt=False)
        said = json.loads(me.body)
        return Login(LoginState.GUEST if said["guest"] else LoginState.LIVE, said["user"])

    async def chat(self, tab: Tab, turn: Turn, driver: str) -> AsyncGenerator[Event, None]:
        """POST /api/chat."""
        files = [await self.upload(tab, attachment) for attachment in turn.attachments]
        body: dict[str, object] = {
            "model": turn.model or "demo",
            "prompt": turn.prompt,
            "thinking": turn.thinking,
            "search": turn.search,
            "files": [file.id for file in files],
        }
        if turn.conversation is not None:
            body |= {"conversation_id": turn.conversation.id, "parent_id": turn.conversation.parent}
        headers = {"Content-Type": "application/json"}
        for pause_s in (*BUSY_PAUSES_S, None):
            async with tab.stream("POST", CHAT, headers=headers, body=json.dumps(body)) as answer:
                if answer.status == 409 and turn.conversation is not None and pause_s is not None:
                    # The last answer has its end mark, but the site is still putting it away.
                    await asyncio.sleep(pause_s)
                    continue
                await self.accepted(answer)
                async for event in DemoReader().read(answer):
                    yield event
                return

    async def accepted(self, answer: Answer) -> None:
        """A challenge is HTML with 403; an error may come as JSON with 200."""
        if answer.status == 403 and answer.content_type == "text/html":
            raise ChallengeNeeded("The demo site shows a challenge.", refused=True)
        if answer.status not in (403, 404, 409, 413):
            await super().accepted(answer)
        if answer.content_type == "application/json":
            fault = refusal(await answer.read())
            raise site_error(fault.code, fault.message)
        answer.expect("text/event-stream")

    async def upload(self, tab: Tab, attachment: Attachment) -> FileRef:
        """POST /api/files."""
        part = FormPart("file", attachment.data, attachment.name, attachment.mime)
        taken = await tab.fetch("POST", "/api/files", body=[part], timeout_s=120)
        if taken.status != 200:
            raise status_error(taken.status, taken.headers, taken.text, sends_prompt=True)
        said = json.loads(taken.body)
        return FileRef(said["id"], attachment.name, attachment.mime, len(attachment.data), attachment.kind)

    async def choose(self, tab: Tab, turn: Turn) -> None:
        """Model and switches, as a person would set them."""
        screen = self.on_screen(tab)
        await screen.choose("model", turn.model or "demo")
        for role, wanted in (("thinking", turn.thinking), ("search", turn.search)):
            if wanted != bool(await screen.count(f"{role}_on")):
                await screen.click(role)

    async def reset(self, tab: Tab) -> None:
        """Press `New chat` where the page can; else load it."""
        if await self.on_screen(tab).count("new_chat"):
            await self.on_screen(tab).click("new_chat")
        else:
            await tab.goto(self.home)
        tab.fresh = True

    async def delete(self, tab: Tab, conversation: str) -> None:
        """DELETE /api/conversations/<id>."""
        gone = await tab.fetch("DELETE", f"/api/conversations/{conversation}")
        if gone.status >= 400 and gone.status != 404:
            raise status_error(gone.status, gone.headers, gone.text, sends_prompt=False)
