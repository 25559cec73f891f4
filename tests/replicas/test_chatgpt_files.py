"""Files into the ChatGPT replica, and pictures out of it."""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.replicas import Answer, Piece, Replicas, Scenario
from tests.replicas.chatgpt.calls import IMAGE_PART, PICTURE, chat_body
from tests.replicas.chatgpt.user import User

HOST = "chatgpt.com"


@pytest.fixture
async def client(replicas: Replicas) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client of the site."""
    async with replicas.client(HOST) as client:
        yield client


async def test_files_go_in_in_three_steps(replicas: Replicas, client: httpx.AsyncClient) -> None:
    user, text = User(client, "gpt-filer"), "笔记".encode()
    file, picture = (
        await user.upload("notes.txt", text),
        await user.upload("p.png", PICTURE, "multimodal", width=3, height=2),
    )
    attachments = [{"id": file, "name": "notes.txt", "mimeType": "text/plain", "size": len(text)}]
    body = chat_body("read both")
    part = IMAGE_PART | {"asset_pointer": f"file-service://{picture}"}
    body["messages"][0]["content"] = {"content_type": "multimodal_text", "parts": [part, "read both"]}
    body["messages"][0]["metadata"]["attachments"] = attachments
    assert (await user.ask(body=body)).done
    seen = await replicas.seen("chatgpt", "gpt-filer")
    assert seen.conversations[0].turns[0].files == [hashlib.sha256(data).hexdigest() for data in (text, PICTURE)]
    assert [one.name for one in seen.files] == ["notes.txt", "p.png"]
    body["messages"][0] |= {"id": str(uuid.uuid4())}
    assert (await client.post(**await User(client, "gpt-filer-2").call(body=body))).status_code == 422, "not their file"
    attachments[0]["size"] = 1
    assert (await client.post(**await user.call(body=body))).status_code == 422
    announced = await user.post("/files", {"file_name": "a", "file_size": 3, "use_case": "my_files"})
    await user.post("/files", {"file_name": "a", "file_size": 3, "use_case": "multimodal"}, 422)
    await user.post(f"/files/{announced['file_id']}/uploaded", {}, 400)
    path = announced["upload_url"].removeprefix("https://files.oaiusercontent.com")
    right = {"host": "files.oaiusercontent.com", "x-ms-blob-type": "BlockBlob", "x-ms-version": "2020-04-08"}
    for content, headers, status in (
        (b"abc", {**right, "x-ms-blob-type": ""}, 400),
        (b"abc", {**right, "x-ms-version": "2019"}, 400),
        (b"abcd", right, 400),
        (b"abc", right, 201),
    ):
        assert (await client.put(path, content=content, headers=headers)).status_code == status
    assert (await client.put(path[:-1], content=b"abc", headers=right)).status_code == 403
    preflight = await client.options(path, headers=right)
    assert "x-ms-blob-type" in preflight.headers["access-control-allow-headers"]


@pytest.mark.parametrize("later", [False, True])
async def test_pictures(replicas: Replicas, client: httpx.AsyncClient, later: bool) -> None:
    name = f"gpt-painter-{later}"
    answer = Answer(pieces=[Piece(kind="media", data=base64.b64encode(PICTURE).decode())])
    options: dict[str, bool | int | float | str] = {"async_images": True} if later else {}
    await replicas.play("chatgpt", name, Scenario(answer=answer, options=options, busy_polls=2))
    user = User(client, name)
    heard = await user.ask(body=chat_body("draw") | {"system_hints": ["picture_v2"]})
    assert (heard.text, heard.done) == ("", True)
    assert ("conversation_async_status" in heard.types) == later
    for reads in range(2 if later else 1):
        told = await user.get(f"/conversation/{heard.conversation}")
        messages = [node["message"] for node in told["mapping"].values() if node["message"]]
        pictures = [one for one in messages if one["content"]["content_type"] == "multimodal_text"]
        assert len(pictures) == (0 if later and reads == 0 else 1)
    part = pictures[0]["content"]["parts"][0]
    assert (part["width"], part["height"], part["size_bytes"]) == (3, 2, len(PICTURE))
    file = part["asset_pointer"].removeprefix("sediment://")
    for path in (
        f"/files/{file}/download",
        f"/files/download/{file}",
        f"/conversation/{heard.conversation}/attachment/{file}/download",
    ):
        url = (await user.get(path))["download_url"]
        headers = {"host": "files.oaiusercontent.com"}
        data = await client.get(url.removeprefix("https://files.oaiusercontent.com"), headers=headers)
        assert (data.content, data.headers["access-control-allow-origin"]) == (PICTURE, "https://chatgpt.com")
    assert (await client.get(f"/{file}?sig=0", headers={"host": "files.oaiusercontent.com"})).status_code == 403
