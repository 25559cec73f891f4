"""The Kimi replica is as strict as its fact sheet: right calls pass, and each thing that is wrong is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.replicas import Answer, Fault, Replicas, Scenario
from tests.replicas.kimi import Tokens, login
from tests.replicas.kimi.calls import CHAT, chat_body, chat_call, chat_headers, msh_headers
from tests.replicas.kimi.frames import envelope

HOST = "www.kimi.com"
GATEWAY = "/apiv2/kimi.gateway."


def cut_frames(data: bytes) -> list[tuple[int, Any]]:
    """An answer's (flags, JSON) pairs; fails when the bytes are no whole row of envelopes."""
    frames: list[tuple[int, Any]] = []
    while data:
        size = int.from_bytes(data[1:5], "big")
        assert len(data) >= 5 + size
        frames.append((data[0], json.loads(data[5 : 5 + size])))
        data = data[5 + size :]
    return frames


async def ask(replicas: Replicas, tokens: Tokens, prompt: str, **options: Any) -> list[Any]:
    """The frames of a right chat call's answer."""
    async with replicas.client(HOST) as client:
        answer = await client.post(**chat_call(tokens.access, prompt, **options))
    assert answer.status_code == 200, answer.text
    return [frame for _, frame in cut_frames(answer.content)]


async def rpc(replicas: Replicas, tokens: Tokens, method: str, body: object, prefix: str = GATEWAY) -> Any:
    """A unary call's status and JSON."""
    async with replicas.client(HOST) as client:
        headers = {"authorization": f"Bearer {tokens.access}"}
        answer = await client.post(prefix + method, headers=headers, json=body)
    return answer.status_code, answer.json()


async def test_the_sample_of_the_sheet(replicas: Replicas) -> None:
    access = login("sample").access
    async with replicas.client(HOST) as client:
        answer = await client.post(**chat_call(access, "why is the sky blue"))
    assert answer.headers["content-type"] == "application/connect+json"
    pairs = cut_frames(answer.content)
    assert [flags for flags, _ in pairs] == [0] * (len(pairs) - 1) + [2]
    frames = [frame for _, frame in pairs]
    assert frames[0] == {"heartbeat": {}}
    assert frames[-2:] == [{"done": {}}, {}]
    inner = frames[1:-2]
    assert [frame["eventOffset"] for frame in inner] == list(range(1, len(inner) + 1))
    assert [(frame["op"], frame["mask"]) for frame in inner] == [
        ("set", "chat"),
        ("set", "chat.lastRequest"),
        ("set", "message"),
        ("set", "message"),
        ("set", "block.think"),
        ("append", "block.think.content"),
        ("set", "block.text"),
        ("append", "block.text.content"),
        ("append", "block.text.content"),
        ("set", "message.status"),
        ("set", "chat.name"),
    ]
    assert inner[3]["message"]["parentId"] == inner[2]["message"]["id"]
    assert inner[4]["block"] == {"id": "3", "think": {"content": "The user"}}
    assert inner[6]["block"]["id"] == "4"
    assert inner[9]["message"]["status"] == "MESSAGE_STATUS_COMPLETED"


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("authorization", None, 401),
        ("authorization", "Bearer a.b.c", 401),
        ("authorization", f"Bearer {login('strict').refresh}", 401),
        ("authorization", f"Bearer {login('strict', access_ttl_s=-1).access}", 401),
        ("authorization", f"Bearer {login('strict').access}x", 401),
        ("content-type", "application/json", 415),
        ("content-type", "application/connect+proto", 415),
        ("connect-protocol-version", None, 400),
        ("x-msh-platform", "ios", 400),
        ("x-msh-version", None, 400),
        ("x-msh-device-id", "1", 400),
        ("x-msh-session-id", None, 400),
        ("x-traffic-id", "someone else", 400),
        ("x-language", None, 400),
        ("r-timezone", "GMT+8", 400),
    ],
)
async def test_each_wrong_header_is_refused(replicas: Replicas, header: str, value: str | None, status: int) -> None:
    headers = chat_headers(login("strict").access)
    del headers[header]
    if value is not None:
        headers[header] = value
    async with replicas.client(HOST) as client:
        answer = await client.post(CHAT, headers=headers, content=envelope(chat_body("hi")))
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        json.dumps(chat_body("hi")).encode(),
        envelope(chat_body("hi"))[:-1],
        envelope(chat_body("hi")) + b"\n",
        envelope(chat_body("hi"), 1),
        b"\x00\x00\x00\x00\x02[]",
    ],
    ids=["empty", "bare", "short", "long", "compressed", "no object"],
)
async def test_wrong_framing_is_refused(replicas: Replicas, content: bytes) -> None:
    async with replicas.client(HOST) as client:
        answer = await client.post(CHAT, headers=chat_headers(login("strict").access), content=content)
    assert answer.status_code == 400


def patched(path: str, value: object) -> dict[str, Any]:
    """A right body with one thing changed; ``path`` is dotted, None deletes."""
    body = chat_body("hi")
    *way, last = path.split(".")
    place: Any = body
    for step in way:
        place = place[int(step)] if step.isdecimal() else place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return body


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("scenario", None),
        ("message", None),
        ("tools", None),
        ("surprise", 1),
        ("message.role", "assistant"),
        ("message.blocks", []),
        ("message.blocks.0.text", {"content": ""}),
        ("message.blocks.0.file", {"id": "f", "status": "PROCESS_STATUS_SUCCESS"}),
        ("options.thinking", "yes"),
        ("tools", [{"type": "TOOL_TYPE_SEARCH"}]),
        ("tools", [{"type": "TOOL_TYPE_OTHER"}]),
    ],
)
async def test_each_wrong_field_is_refused(replicas: Replicas, path: str, value: object) -> None:
    headers = chat_headers(login("strict").access)
    async with replicas.client(HOST) as client:
        answer = await client.post(CHAT, headers=headers, content=envelope(patched(path, value)))
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize(
    ("path", "value", "code"),
    [
        ("scenario", "SCENARIO_K9", "invalid_argument"),
        ("message.scenario", "SCENARIO_OK_COMPUTER", "invalid_argument"),
        ("options.model", "k9", "invalid_argument"),
        ("options.reasoning_effort", "REASONING_EFFORT_MAX", "invalid_argument"),
        ("agentMode", "TYPE_NORMAL", "invalid_argument"),
        ("chat_id", "no-such-chat", "not_found"),
        ("message.parent_id", "m-nothing", "invalid_argument"),
        (
            "message.blocks",
            [{"message_id": "", "file": {"id": "f-no", "status": "PROCESS_STATUS_SUCCESS"}}],
            "invalid_argument",
        ),
    ],
)
async def test_what_does_not_fit_is_an_error_frame(replicas: Replicas, path: str, value: object, code: str) -> None:
    headers = chat_headers(login("strict").access)
    async with replicas.client(HOST) as client:
        answer = await client.post(CHAT, headers=headers, content=envelope(patched(path, value)))
    assert answer.status_code == 200
    pairs = cut_frames(answer.content)
    assert [flags for flags, _ in pairs] == [0, 2]
    assert pairs[0][1]["error"]["code"] == code


async def test_a_conversation_goes_on_only_at_its_newest_message(replicas: Replicas) -> None:
    tokens = login("turns")
    first = await ask(replicas, tokens, "one")
    chat_id = first[1]["chat"]["id"]
    question, answer = (frame["message"]["id"] for frame in first if frame.get("mask") == "message")
    wrong = await ask(replicas, tokens, "two", chat_id=chat_id, parent_id=question)
    assert wrong[0]["error"]["code"] == "invalid_argument"
    second = await ask(replicas, tokens, "two", chat_id=chat_id, parent_id=answer)
    assert "chat" not in {frame.get("mask") for frame in second}
    stolen = await ask(replicas, login("thief"), "mine", chat_id=chat_id, parent_id=answer)
    assert stolen[0]["error"]["code"] == "not_found"
    status, listed = await rpc(replicas, tokens, "chat.v1.ChatService/ListMessages", {"chatId": chat_id, "pageSize": 1})
    assert status == 200
    assert [message["role"] for message in listed["messages"]] == ["assistant"]
    assert (await rpc(replicas, tokens, "chat.v1.ChatService/DeleteChat", {"chatId": chat_id}))[0] == 200
    gone = await ask(replicas, tokens, "three", chat_id=chat_id, parent_id=listed["messages"][0]["id"])
    assert gone[0]["error"]["code"] == "not_found"
    assert [chat["deleted"] for chat in (await replicas.state("kimi", "turns"))["chats"]] == [True]


async def test_thoughts_only_for_those_who_ask_for_them(replicas: Replicas) -> None:
    masks = {frame.get("mask") for frame in await ask(replicas, login("plain"), "hi", thinking=False)}
    assert "block.text" in masks
    assert "block.think" not in masks


async def test_a_megabyte_cut_anywhere_is_whole(replicas: Replicas) -> None:
    answer = Answer(chars=1_000_000, count=400, reasoning_chars=10_000, seed=4)
    await replicas.play("kimi", "long", Scenario(answer=answer, cuts=11))
    blocks = [frame["block"] for frame in await ask(replicas, login("long"), "hi") if "block" in frame]
    assert "".join(block["text"]["content"] for block in blocks if "text" in block) == answer.text()
    assert "".join(block["think"]["content"] for block in blocks if "think" in block) == answer.reasoning()


@pytest.mark.parametrize("kind", ["error", "failed"])
async def test_failures_inside_http_200(replicas: Replicas, kind: str) -> None:
    fault = Fault.model_validate({"kind": kind, "after": 3, "code": "resource_exhausted", "message": "overloaded"})
    await replicas.play("kimi", kind, Scenario(faults=[fault]))
    frames = await ask(replicas, login(kind), "hi")
    statuses = [frame["message"]["status"] for frame in frames if frame.get("mask") == "message.status"]
    errors = [frame["error"] for frame in frames if "error" in frame]
    if kind == "error":
        assert (statuses, errors) == ([], [{"code": "resource_exhausted", "message": "overloaded"}])
    else:
        assert (statuses, errors) == (["MESSAGE_STATUS_FAILED"], [])


async def test_refresh_rotates_and_the_old_token_dies(replicas: Replicas) -> None:
    await replicas.play("kimi", "rotating", Scenario(access_ttl_s=-1))
    tokens = login("rotating")
    async with replicas.client(HOST) as client:

        async def refresh(token: str) -> Any:
            return await client.get("/api/auth/token/refresh", headers={"authorization": f"Bearer {token}"})

        assert (await refresh(tokens.access)).status_code == 401
        fresh = (await refresh(tokens.refresh)).json()
        dead = await refresh(tokens.refresh)
        assert (dead.status_code, dead.json()["error_type"]) == (401, "auth.token.invalid")
        assert (await refresh(fresh["refresh_token"])).status_code == 200
    expired = Tokens(fresh["access_token"], fresh["refresh_token"])
    assert (await rpc(replicas, expired, "account.v1.UserService/GetCurrentUser", {}))[0] == 401


async def test_the_unary_calls(replicas: Replicas) -> None:
    tokens = login("caller")
    status, user = await rpc(replicas, tokens, "account.v1.UserService/GetCurrentUser", {})
    assert (status, user["user"]["id"]) == (200, "caller")
    assert await rpc(replicas, tokens, "order.v1.SubscriptionService/GetSubscription", {}) == (
        200,
        {"subscription": {}},
    )
    status, models = await rpc(replicas, tokens, "config.v1.ConfigService/GetAvailableModels", {})
    assert {model["id"] for model in models["availableModels"]} >= {"k2d6-chat", "k3-agent"}
    status, _ = await rpc(replicas, Tokens("none", ""), "account.v1.UserService/GetCurrentUser", {})
    assert status == 401
    async with replicas.client(HOST, cookies={"kimi-auth": tokens.access}) as client:
        answer = await client.post(GATEWAY + "account.v1.UserService/GetCurrentUser", json={})
        assert answer.status_code == 401, "a cookie alone is no login"


async def test_a_file_is_uploaded_parsed_and_named(replicas: Replicas) -> None:
    tokens = login("uploader")
    files = {"file": ("notes.txt", "笔记".encode(), "text/plain")}
    async with replicas.client(HOST) as client:
        assert (await client.post("/apiv2-files/file/upload", files=files)).status_code == 401
        answer = await client.post("/apiv2-files/file/upload", headers=msh_headers(tokens.access), files=files)
        stored = answer.json()["file"]
        signed = await client.get(stored["blob"]["signUrl"])
        assert signed.content == "笔记".encode()
    body = chat_body("read it")
    body["message"]["blocks"].insert(0, {"file": {"id": stored["id"], "status": "PROCESS_STATUS_SUCCESS"}})
    call: dict[str, Any] = {"headers": chat_headers(tokens.access), "content": envelope(body)}
    async with replicas.client(HOST) as client:
        early = cut_frames((await client.post(CHAT, **call)).content)
    assert early[0][1]["error"]["code"] == "invalid_argument"
    method, prefix = "FileService/GetFileParseProgress", "/apiv2-files/kimi.gateway.file.v1."
    polls = [await rpc(replicas, tokens, method, {"file_ids": [stored["id"]]}, prefix) for _ in range(2)]
    assert [poll["progresses"][0]["status"] for _, poll in polls] == [
        "PROCESS_STATUS_PROCESSING",
        "PROCESS_STATUS_SUCCESS",
    ]
    async with replicas.client(HOST) as client:
        frames = [frame for _, frame in cut_frames((await client.post(CHAT, **call)).content)]
    assert frames[-2] == {"done": {}}
    assert any(frame.get("mask") == "chat.files" for frame in frames)
    [record] = [each for each in await replicas.records(account="uploader", operation="upload") if each.uploads]
    assert record.uploads[0].sha256 == stored["meta"]["checksum"]


async def test_the_shield_keeps_out_who_is_not_the_page(replicas: Replicas) -> None:
    await replicas.play("kimi", "shielded", Scenario(shield=True))
    call = chat_call(login("shielded").access, "hi")
    async with replicas.client(HOST) as client:
        assert (await client.post(**call)).status_code == 403
        call["headers"]["x-msh-shield-data"] = "sg:mg1x2y3z.0123456789ab.0123456789abcdef0123"
        assert (await client.post(**call)).status_code == 403


async def test_old_names_redirect(replicas: Replicas) -> None:
    async with replicas.client("kimi.moonshot.cn") as client:
        answer = await client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (302, "https://www.kimi.com/")
