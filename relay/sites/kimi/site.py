"""Kimi (Moonshot AI), www.kimi.com: Connect envelopes, JWTs in localStorage. Sections are those of the fact sheet."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import ClassVar
from weakref import WeakKeyDictionary

from relay.browser.answer import Answer
from relay.browser.chromium import Context
from relay.browser.fetch import FormPart
from relay.browser.tab import Response, Tab
from relay.chat.events import Event
from relay.chat.request import Attachment, FileRef, Turn
from relay.errors import BadRequest, ChallengeNeeded, LoginNeeded, SiteError
from relay.sites.base import Capabilities, Login, LoginState, ModelSpec, ScreenRecipe, Site, SiteConfig
from relay.sites.kimi.messages import (
    AvailableModels,
    CurrentUser,
    KimiReader,
    ParseProgress,
    Sent,
    Uploaded,
    parsed,
)
from relay.sites.kimi.requests import chat_body, claims, expired, login_state
from relay.wire.connect import envelope

RPC = "/apiv2/kimi.gateway."
CHAT = RPC + "chat.v1.ChatService/Chat"
USER = RPC + "account.v1.UserService/GetCurrentUser"
MODELS = RPC + "config.v1.ConfigService/GetAvailableModels"
DELETE = RPC + "chat.v1.ChatService/DeleteChat"
UPLOAD = "/apiv2-files/file/upload"
PARSING = "/apiv2-files/kimi.gateway.file.v1.FileService/GetFileParseProgress"
VERSION = "2.2.0"  # X-Msh-Version of 2026-09
RENEW_S = 10.0
WALL_S = 2.0
"""How long a page that shows its login wall may still be renewing the login."""
PARSE_S = 60.0
SKEW_S = 60.0
"""How far the site's clock and ours may be apart."""
JWT = re.compile(r"[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]{8,}){2,7}")
"""A JWT; of 2024 also an array of parts, joined by dots."""


class Kimi(Site):
    """One account at Kimi."""

    id = "kimi"
    name = "Kimi"
    address = "https://www.kimi.com/"
    drivers = ("fetch", "screen", "dom")
    models: ClassVar[Sequence[ModelSpec]] = (
        ModelSpec("k2d6-chat", "Kimi K2.6", default=True, thinking=True, search=True, images=True, files=True),
        ModelSpec("k2d6-thinking", "Kimi K2.6 Thinking", aliases=("kimi-thinking",), always_thinks=True,
                  thinking=True, search=True, images=True, files=True),
        ModelSpec("k28-agent-preview", "Kimi K2.8 Agent", aliases=("kimi-k2.8",), thinking=True, always_thinks=True),
        ModelSpec("k3-agent", "Kimi K3 Agent", aliases=("kimi-k3",), thinking=True, always_thinks=True),
        ModelSpec("k3-agent-swarm", "Kimi K3 Swarm", aliases=("kimi-k3-swarm",), thinking=True, always_thinks=True),
    )  # fmt: skip
    capabilities = Capabilities(
        native_turns=True, delete=True, search=True, thinking=True, images=True, files=True,
        agents=r"[0-9a-z]{20}", max_file_bytes=100 * 1024 * 1024,
    )  # fmt: skip
    token_pattern = JWT
    state_hosts = ("kimi.com", "kimi.ai", "moonshot.cn")
    evidence = "2026-09"
    screen = ScreenRecipe(
        answer="**/kimi.gateway.chat.v1.ChatService/Chat",
        reader=KimiReader,
        fresh="/?chat_enter_method=new_chat",
        conversation="/chat/{id}",
        upload="**" + UPLOAD,
        renews=True,
    )

    def __init__(self, config: SiteConfig | None = None) -> None:
        super().__init__(config)
        self._sent: WeakKeyDictionary[Tab, int] = WeakKeyDictionary()
        """By tab, a hash of the access token that our last call carried."""

    async def adopt(self, context: Context, token: str) -> None:
        """An access token as it is, any other for the page to trade in. Raises LoginNeeded for one that has expired."""
        if expired(token, time.time() - SKEW_S):
            raise LoginNeeded("The Kimi token has expired.", refused=True)
        await context.set_state(login_state(token, self.home))

    async def open(self, tab: Tab) -> None:
        """Also let the page trade in a refresh token first: left in the middle of that, it would lose old and new."""
        await super().open(tab)
        access, refresh = await tab.local_storage("access_token", "refresh_token")
        stale = not access or expired(access, time.time())
        if refresh and stale and not await self.on_screen(tab).count("challenge"):
            await self._renewed(tab, access)

    async def headers(self, tab: Tab) -> dict[str, str]:
        """What the page's own calls carry (section 4). Raises LoginNeeded without a token."""
        token, zone = await tab.evaluate(
            """function() {
                return [localStorage.getItem("access_token"), Intl.DateTimeFormat().resolvedOptions().timeZone];
            }"""
        )
        self._sent[tab] = hash(token)
        if not token:
            raise LoginNeeded("Kimi's page holds no login. Log in again.", refused=True)
        said = claims(token)
        return {
            "Authorization": f"Bearer {token}",
            "X-Msh-Platform": "web",
            "X-Msh-Version": VERSION,
            "X-Msh-Device-Id": str(said.get("device_id", "")),
            "X-Msh-Session-Id": str(said.get("ssid", "")),
            "X-Traffic-Id": str(said.get("sub", "")),
            "X-Language": "zh-CN",
            "R-Timezone": zone,
        }

    async def _unary(self, tab: Tab, path: str, body: dict[str, object]) -> Response:
        headers = await self.headers(tab) | {"Content-Type": "application/json", "Connect-Protocol-Version": "1"}
        return await tab.fetch("POST", path, headers=headers, body=json.dumps(body))

    async def refresh(self, tab: Tab) -> None:
        """Only the page knows how to renew its tokens: load it and wait for a new one. Raises ChallengeNeeded."""
        (old,) = await tab.local_storage("access_token")
        if old and hash(old) != self._sent.get(tab):
            return  # the page has renewed it since; it will not do so again
        await tab.goto(self.home)
        if await self.on_screen(tab).count("challenge"):
            raise ChallengeNeeded("Kimi's page shows a captcha that only its owner may solve.", refused=True)
        await self._renewed(tab, old)

    async def _renewed(self, tab: Tab, old: str | None) -> None:
        """Wait for a token other than the old one; not for long once the page shows its login wall."""
        renewal = asyncio.create_task(
            tab.evaluate(
                """async function(old, ms) {
                    const end = performance.now() + ms;
                    while (performance.now() < end && [old, null, ""].includes(localStorage.getItem("access_token")))
                        await new Promise(resolve => setTimeout(resolve, 25));
                }""",
                old,
                RENEW_S * 1000,
                timeout_s=RENEW_S + 5,
            )
        )
        wall = asyncio.create_task(self.on_screen(tab).wait("wall", timeout_s=RENEW_S))
        try:
            await asyncio.wait({renewal, wall}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({renewal}, timeout=WALL_S)
            if renewal.done():
                await renewal
        finally:
            for task in (renewal, wall):
                task.cancel()
            await asyncio.gather(renewal, wall, return_exceptions=True)

    async def probe(self, tab: Tab) -> Login:
        """GetCurrentUser, after one renewal where it is refused (section 2)."""
        for renewed in (False, True):
            try:
                user = parsed(CurrentUser, await self._unary(tab, USER, {})).user
                return Login(LoginState.LIVE, user.nickname or user.id)
            except LoginNeeded as error:
                if renewed:
                    return Login(LoginState.DEAD, detail=error.message)
            try:
                await self.refresh(tab)
            except ChallengeNeeded as error:
                return Login(LoginState.CHALLENGED, detail=error.message)
        raise AssertionError("unreachable")

    async def catalogue(self, tab: Tab) -> Sequence[ModelSpec]:
        """The known models, and by their own ids those the site offers beyond them."""
        offered = parsed(AvailableModels, await self._unary(tab, MODELS, {})).available_models
        known = {spec.key for spec in self.models}
        extra = {m.id: m for m in offered if m.id and m.scenario == "SCENARIO_CHAT" and m.id not in known}
        return (*self.models, *(ModelSpec(key, m.display_name, thinking=True, search=True) for key, m in extra.items()))

    async def chat(self, tab: Tab, turn: Turn, driver: str) -> AsyncGenerator[Event, None]:
        """One call does everything."""
        if turn.model == "k2d6-thinking":
            turn = replace(turn, model="k2d6-chat", thinking=True)
        files = [await self.upload(tab, attachment) for attachment in turn.attachments]
        headers = await self.headers(tab) | {
            "Content-Type": "application/connect+json",
            "Connect-Protocol-Version": "1",
        }
        async with tab.stream("POST", CHAT, headers=headers, body=envelope(chat_body(turn, files))) as answer:
            await self.accepted(answer)
            async for event in KimiReader().read(answer):
                yield event

    async def accepted(self, answer: Answer) -> None:
        """HTML in the place of frames is a changed site, or something in between."""
        await super().accepted(answer)
        answer.expect("application/connect+json")

    async def upload(self, tab: Tab, attachment: Attachment) -> FileRef:
        """Upload, then wait until the site has read the file (section 7)."""
        headers = await self.headers(tab)
        part = FormPart("file", attachment.data, attachment.name, attachment.mime)
        response = await tab.fetch("POST", UPLOAD, headers=headers, body=[part], timeout_s=120)
        file = parsed(Uploaded, response, sends_prompt=True).file
        try:
            async with asyncio.timeout(PARSE_S):
                while (state := await self._parsing(tab, file.id)) != "PROCESS_STATUS_SUCCESS":
                    if state != "PROCESS_STATUS_PROCESSING":
                        raise BadRequest(f"Kimi could not read the file {attachment.name!r} ({state}).")
                    await asyncio.sleep(0.3)  # the site offers no event for it
        except TimeoutError:
            raise SiteError(f"Kimi did not finish reading the file within {PARSE_S:g} s.", refused=True) from None
        return FileRef(file.id, attachment.name, attachment.mime, len(attachment.data), attachment.kind)

    async def _parsing(self, tab: Tab, file: str) -> str:
        progress = parsed(ParseProgress, await self._unary(tab, PARSING, {"file_ids": [file]}))
        return progress.progresses[0].status

    async def delete(self, tab: Tab, conversation: str) -> None:
        """DeleteChat (section 8); one that is gone already is no error."""
        reply = await self._unary(tab, DELETE, {"chatId": conversation})
        if reply.status != 404:
            parsed(Sent, reply)
