"""A user of the site without a browser, for the replica's own tests: right calls in one line."""

from __future__ import annotations

from typing import Any

import httpx

from tests.replicas.chatgpt.calls import CHAT, bearer, chat_body, chat_call
from tests.replicas.chatgpt.reading import Heard, hear
from tests.replicas.chatgpt.tokens import access_token

API = "/backend-api"


class User:
    """One user; every method asserts the status that it gets."""

    def __init__(self, client: httpx.AsyncClient, name: str, *, anonymous: bool = False) -> None:
        self.client, self.name = client, name
        self.access = "" if anonymous else access_token(name)

    async def call(self, prompt: str = "", body: dict[str, Any] | None = None, **place: Any) -> dict[str, Any]:
        """The arguments of a right chat call."""
        return await chat_call(self.client, self.name, self.access, body or chat_body(prompt, **place))

    async def ask(self, prompt: str = "", body: dict[str, Any] | None = None, **place: Any) -> Heard:
        """A whole answer."""
        answer = await self.client.post(**await self.call(prompt, body, **place))
        assert answer.status_code == 200, answer.text
        return hear(answer.content)

    async def get(self, path: str, status: int = 200) -> Any:
        """A read."""
        answer = await self.client.get(f"{API}{path}", headers=bearer(self.access))
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, body: object, status: int = 200, **headers: str) -> Any:
        """A call with a JSON body."""
        answer = await self.client.post(f"{API}{path}", headers=bearer(self.access) | headers, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def resume(self, heard: Heard, offset: int = 0, status: int = 200) -> httpx.Response:
        """The resume call with the token that a stream handed out."""
        token = heard.one("resume_conversation_token")["token"]
        body = {"conversation_id": heard.conversation, "offset": offset}
        headers = bearer(self.access) | {"x-conduit-token": token}
        answer = await self.client.post(f"{CHAT}/resume", headers=headers, json=body)
        assert answer.status_code == status, answer.text
        return answer

    async def upload(self, name: str, data: bytes, use_case: str = "my_files", **size: int) -> str:
        """A file, all three steps."""
        body = {"file_name": name, "file_size": len(data), "use_case": use_case, **size}
        file = await self.post("/files", body)
        headers = {"host": "files.oaiusercontent.com", "x-ms-blob-type": "BlockBlob", "x-ms-version": "2020-04-08"}
        path = file["upload_url"].removeprefix("https://files.oaiusercontent.com")
        assert (await self.client.put(path, content=data, headers=headers)).status_code == 201
        done = await self.post(f"/files/{file['file_id']}/uploaded", {})
        assert done["status"] == "success"
        return str(file["file_id"])
