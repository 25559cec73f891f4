"""DeepSeek's calls that answer with JSON, made from inside its page (sections 2, 4, 7 and 8 of the fact sheet)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

from relay.browser.fetch import FormPart
from relay.browser.tab import Tab
from relay.chat.request import Attachment, FileRef, Turn
from relay.errors import BadRequest, ContentRefused, LoginNeeded, SiteError
from relay.sites.answered import Answered
from relay.sites.deepseek import requests
from relay.sites.deepseek.messages import (
    Anything,
    CreatedChallenge,
    CreatedSession,
    CurrentUser,
    File,
    Files,
    parsed,
)
from relay.sites.deepseek.proof import Proof, solve

API = "/api/v0/"
COMPLETION = API + "chat/completion"
CONTINUE = API + "chat/continue"
UPLOAD = API + "file/upload_file"
PARSE_S = 60.0
A = TypeVar("A", bound=Answered)
T = TypeVar("T")
U = TypeVar("U")


class Visit:
    """A page, and what all its calls carry."""

    def __init__(self, tab: Tab, headers: Mapping[str, str]) -> None:
        self.tab = tab
        self.headers = dict(headers)

    def __repr__(self) -> str:
        return f"<Visit {self.tab.url}>"

    @classmethod
    async def of(cls, tab: Tab) -> Visit:
        """As the page is logged in now. Raises LoginNeeded where it is not."""
        stored, offset_s, language = await tab.evaluate(
            """function(key) {
                return [localStorage.getItem(key), -60 * new Date().getTimezoneOffset(), navigator.language];
            }""",
            requests.TOKEN,
        )
        token = requests.bearer(stored)
        if not token:
            raise LoginNeeded("DeepSeek's page holds no login. Log in again.", refused=True)
        return cls(tab, requests.headers(token, language, offset_s))

    async def _get(self, model: type[A], path: str, query: Mapping[str, str] | None = None) -> A:
        address = f"{API}{path}?{urlencode(query)}" if query else API + path
        return parsed(model, await self.tab.fetch("GET", address, headers=self.headers))

    async def _post(self, model: type[A], path: str, body: Mapping[str, object], *, sends_prompt: bool = False) -> A:
        headers = self.headers | requests.JSON
        response = await self.tab.fetch("POST", API + path, headers=headers, body=json.dumps(body))
        return parsed(model, response, sends_prompt=sends_prompt)

    async def user(self) -> CurrentUser:
        """Whose login it is. Raises LoginNeeded, ChallengeNeeded."""
        return await self._get(CurrentUser, "users/current")

    async def session(self, ready: str | None = None) -> str:
        """The id of a conversation without messages: the one that is ready, or a new one."""
        return ready or (await self._post(CreatedSession, "chat_session/create", {}, sends_prompt=True)).session

    async def proof(self, path: str, ready: Proof | None = None) -> Proof:
        """Proof of work for one call of a path: the one that is ready, or a new one."""
        if ready is not None:
            return ready
        body = {"target_path": path}
        made = await self._post(CreatedChallenge, "chat/create_pow_challenge", body, sends_prompt=True)
        return Proof(made.challenge, await solve(self.tab, made.challenge))

    async def upload(self, attachment: Attachment, *, thinking: bool = False) -> FileRef:
        """Upload a file, then wait until the site has read it (section 7)."""
        own = requests.upload_headers(attachment.kind, len(attachment.data), thinking=thinking)
        headers = self.headers | (await self.proof(UPLOAD)).headers | own
        part = FormPart("file", attachment.data, attachment.name, attachment.mime)
        response = await self.tab.fetch("POST", UPLOAD, headers=headers, body=[part], timeout_s=120)
        file = parsed(File, response, sends_prompt=True)
        try:
            async with asyncio.timeout(PARSE_S):
                while not was_read(file, attachment.name):
                    await asyncio.sleep(0.5)  # the site offers no event for it
                    file = (await self._get(Files, "file/fetch_files", {"file_ids": file.id})).files[0]
        except TimeoutError:
            raise SiteError(
                f"DeepSeek did not read the file within {PARSE_S:g} s (it is {file.status}).", refused=True
            ) from None
        return FileRef(file.id, attachment.name, attachment.mime, len(attachment.data), attachment.kind)

    async def uploads(self, turn: Turn, thinking: bool) -> list[FileRef]:
        """Upload a turn's files, one after the other."""
        return [await self.upload(attachment, thinking=thinking) for attachment in turn.attachments]

    async def forgot(self, conversation: str) -> bool:
        """Whether the site has no such conversation: it then refuses its history, by a code that nobody noted."""
        try:
            await self._get(Anything, "chat/history_messages", {"chat_session_id": conversation})
        except SiteError:
            return True
        return False

    async def stop(self, session: str, message: int) -> None:
        """Let the site write no more of an answer."""
        await self._post(Anything, "chat/stop_stream", {"chat_session_id": session, "message_id": message})

    async def delete(self, session: str) -> None:
        """Remove a conversation; one that is gone already is no error."""
        try:
            await self._post(Anything, "chat_session/delete", {"chat_session_id": session})
        except SiteError:
            if not await self.forgot(session):
                raise


def was_read(file: File, name: str) -> bool:
    """Whether the site has read a file. Raises BadRequest where it cannot, ContentRefused where it will not."""
    if file.rejected:
        raise ContentRefused(f"DeepSeek rejects the file {name!r}.")
    if file.status == "FAILED":
        raise BadRequest(f"DeepSeek could not read the file {name!r} ({file.error_code or 'it does not say why'}).")
    return file.status == "SUCCESS"


async def both(first: Coroutine[Any, Any, T], second: Coroutine[Any, Any, U]) -> tuple[T, U]:
    """The results of two at once; where one fails the other is left."""
    tasks = asyncio.create_task(first), asyncio.create_task(second)
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
