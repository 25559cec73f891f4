"""Files at the DeepSeek replica (section 7 of the fact sheet): uploaded, polled, named, refused."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.replicas import Replicas, Scenario
from tests.replicas.deepseek import mint
from tests.replicas.deepseek.calls import (
    ask,
    biz,
    chat_body,
    chat_call,
    headers,
    new_session,
    proved,
    upload,
)
from tests.replicas.deepseek.proofs import UPLOAD
from tests.replicas.deepseek.reading import events, refused

HOST = "chat.deepseek.com"
CONTINUE, REGENERATE = "/api/v0/chat/continue", "/api/v0/chat/regenerate"


@pytest.fixture
async def client(replicas: Replicas) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client of the site."""
    async with replicas.client(HOST) as plain:
        yield plain


async def test_a_file_is_uploaded_polled_and_named(client: httpx.AsyncClient, replicas: Replicas) -> None:
    await replicas.play("deepseek", "ds-uploader", Scenario(busy_polls=2))
    token, data = mint("ds-uploader"), "笔记".encode()
    stored = (await upload(client, token, "notes.txt", data, "text/plain")).json()["data"]["biz_data"]
    assert (stored["status"], stored["file_name"], stored["file_size"]) == ("PENDING", "notes.txt", len(data))
    assert (stored["is_image"], stored["model_kind"], stored["audit_result"]) == (False, "default", None)
    session = await new_session(client, token)
    body = chat_body(session, "read it", ref_file_ids=[stored["id"]])
    assert refused(await client.post(**await chat_call(client, token, body)))[1] == "文件不可用"
    polls = [(await biz(client, token, "file/fetch_files", file_ids=stored["id"]))["files"][0] for _ in range(3)]
    assert [poll["status"] for poll in polls] == ["PARSING", "PARSING", "SUCCESS"]
    thief = await client.get(f"/api/v0/file/fetch_files?file_ids={stored['id']}", headers=headers(mint("ds-thief")))
    assert refused(thief)[1] == "文件不存在"
    assert (await client.get(stored["signed_path"])).content == data
    assert (await client.get(stored["signed_path"] + "x")).status_code == 403
    assert events(await client.post(**await chat_call(client, token, body)))
    seen = await replicas.seen("deepseek", "ds-uploader")
    digest_ = hashlib.sha256(data).hexdigest()
    assert seen.conversations[0].turns[0].files == [digest_]
    assert [(file.name, file.sha256, file.size_bytes) for file in seen.files] == [("notes.txt", digest_, len(data))]


async def test_a_picture_needs_the_mode_that_sees(client: httpx.AsyncClient) -> None:
    token = mint("ds-seer")
    stored = (await upload(client, token, "dot.png", b"\x89PNG", "image/png")).json()["data"]["biz_data"]
    assert (stored["is_image"], stored["model_kind"]) == (True, "vision")
    for _ in range(2):
        [file] = (await biz(client, token, "file/fetch_files", file_ids=stored["id"]))["files"]
    assert (file["status"], file["audit_result"]) == ("SUCCESS", "PASS")
    session = await new_session(client, token)
    blind = chat_body(session, "see", ref_file_ids=[stored["id"]])
    assert refused(await client.post(**await chat_call(client, token, blind)))[1] == "文件不可用"
    nothing = chat_body(session, "see", model_type="vision")
    assert refused(await client.post(**await chat_call(client, token, nothing)))[1] == "文件不可用"
    assert await ask(client, token, session, "see", ref_file_ids=[stored["id"]], model_type="vision")
    assert await ask(client, token, session, "and now?", parent=2, model_type="vision"), "the picture is there"
    large = await upload(client, token, "large.png", bytes((8 << 20) + 1), "image/png")
    assert refused(large)[1] == "图片过大"


@pytest.mark.parametrize(
    ("option", "status", "audit"), [("file_fails", "FAILED", None), ("file_rejected", "SUCCESS", "REJECT")]
)
async def test_a_file_that_the_site_does_not_take(
    client: httpx.AsyncClient, replicas: Replicas, option: str, status: str, audit: str | None
) -> None:
    await replicas.play("deepseek", option, Scenario(busy_polls=0, options={option: True}))
    token = mint(option)
    stored = (await upload(client, token, "a.txt", b"a", "text/plain")).json()["data"]["biz_data"]
    [file] = (await biz(client, token, "file/fetch_files", file_ids=stored["id"]))["files"]
    assert (file["status"], file["audit_result"]) == (status, audit)
    body = chat_body(await new_session(client, token), "read", ref_file_ids=[stored["id"]])
    assert refused(await client.post(**await chat_call(client, token, body)))[1] == "文件不可用"


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("x_file_size", "2", 400),
        ("x_model_type", "expert", 400),
        ("x_thinking_enabled", "true", 400),
        ("x_model_type", "vision", 200),
        ("x_ds_pow_response", "", 200),
    ],
)
async def test_each_wrong_upload_is_refused(
    client: httpx.AsyncClient, replicas: Replicas, header: str, value: str, status: int
) -> None:
    answer = await upload(client, mint("ds-bad uploader"), "a.txt", b"a", "text/plain", **{header: value})
    assert answer.status_code == status, answer.text
    assert answer.json()["code"] or answer.json()["data"]["biz_code"]
    assert (await replicas.seen("deepseek", "ds-bad uploader")).files == []


async def test_the_proof_of_a_chat_is_none_of_an_upload(client: httpx.AsyncClient) -> None:
    token = mint("ds-mixer")
    extra = {"x-model-type": "default", "x-file-size": "1", "x-thinking-enabled": "0"}
    sent = await proved(client, token) | extra
    answer = await client.post(UPLOAD, headers=sent, files={"file": ("a.txt", b"a", "text/plain")})
    assert refused(answer)[1] == "INVALID_POW_RESPONSE"
