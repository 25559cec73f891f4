"""The DeepSeek replica is as strict as its fact sheet: right calls pass, and each thing that is wrong is refused."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.replicas import Answer, Fault, Replicas, Scenario
from tests.replicas.deepseek import mint
from tests.replicas.deepseek.calls import (
    ask,
    biz,
    chat_body,
    chat_call,
    headers,
    new_session,
    proof,
    proved,
    solve,
)
from tests.replicas.deepseek.keccak import digest
from tests.replicas.deepseek.proofs import CHAT, UPLOAD
from tests.replicas.deepseek.reading import events, refused, said, shown
from tests.replicas.deepseek.tokens import read

HOST = "chat.deepseek.com"
REGENERATE = "/api/v0/chat/regenerate"


@pytest.fixture
async def client(replicas: Replicas) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client of the site."""
    async with replicas.client(HOST) as plain:
        yield plain


def test_the_hash_is_the_sheets() -> None:
    assert digest(b"").hex() == "e594808bc5b7151ac160c6d39a02e0a8e261ed588578403099e3561dc40c26b3"
    vector = "cac2b654c785ffb41ef328a92088cbd18e145b27a5029bbf87e447d4a2b27e4b"
    assert digest(b"demo_salt_1790000000000_42").hex() == vector


@pytest.mark.parametrize("user", ["a", "名字", "x" * 28, "x" * 29, "a-rather-long-name-of-an-account-of-a-test"])
def test_a_token_looks_like_the_sites_and_names_its_user(user: str) -> None:
    token = mint(user)
    login = read(token)
    assert login
    assert login.user == user
    assert len(token) == 64 if len(user.encode()) <= 28 else len(token) > 64
    assert read(token[:-8] + "AAAAAAAB") is None
    assert read("x" + token) is None


# Section 2: who may call

DEAD = [
    ({"authorization": None}, 40002, "live"),
    ({"authorization": "Basic eDp5"}, 40002, "live"),
    ({"authorization": "Bearer nothing"}, 40003, "live"),
    ({"authorization": f"Bearer {mint('strict', -1)}"}, 40003, "live"),
    ({"authorization": f"Bearer {mint('strict')[:-4]}AAAB"}, 40003, "live"),
    ({}, 40003, "dead"),
    ({}, 40003, "banned"),
    ({}, 40002, "guest"),
]


@pytest.mark.parametrize(("changes", "code", "login"), DEAD)
async def test_a_dead_login_is_told_with_http_200(
    client: httpx.AsyncClient, replicas: Replicas, changes: dict[str, str | None], code: int, login: Any
) -> None:
    user = f"ds-strict-{login}"
    await replicas.play("deepseek", user, Scenario(login=login))
    sent = {name: value for name, value in {**headers(mint(user)), **changes}.items() if value is not None}
    assert refused(await client.get("/api/v0/users/current", headers=sent))[0] == code
    assert refused(await client.post("/api/v0/chat_session/create", headers=sent, json={}))[0] == code


@pytest.mark.parametrize("status", [401, 403])
async def test_or_with_a_status_or_inside(client: httpx.AsyncClient, replicas: Replicas, status: int) -> None:
    await replicas.play("deepseek", "ds-gone", Scenario(login="dead", options={"dead_status": status}))
    answer = await client.get("/api/v0/users/current", headers=headers(mint("ds-gone")))
    assert (answer.status_code, answer.json()["code"]) == (status, 40003)
    await replicas.play("deepseek", "ds-gone", Scenario(login="dead", options={"dead_inside": True}))
    told = (await client.get("/api/v0/users/current", headers=headers(mint("ds-gone")))).json()
    assert (told["code"], told["data"]["biz_code"]) == (0, 40003)


async def test_a_living_login(client: httpx.AsyncClient) -> None:
    token = mint("ds-alive")
    assert (await biz(client, token, "users/current"))["token"] == token
    cookie = {"cookie": f"ds_session_id={token}"}
    bare = {name: value for name, value in headers(token).items() if name != "authorization"}
    assert refused(await client.get("/api/v0/users/current", headers=bare | cookie))[0] == 40002


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x-client-platform", "ios"),
        ("x-client-version", None),
        ("x-app-version", "two"),
        ("x-client-locale", "zh-CN"),
        ("x-client-timezone-offset", "GMT+8"),
        ("x-client-timezone-offset", None),
        ("accept", "application/json"),
    ],
)
async def test_each_wrong_header_is_refused(client: httpx.AsyncClient, header: str, value: str | None) -> None:
    token = mint("ds-strict")
    call = await chat_call(client, token, chat_body(await new_session(client, token), "hi"))
    call["headers"] = {name: told for name, told in {**call["headers"], header: value}.items() if told is not None}
    answer = await client.post(**call)
    assert answer.status_code == 400, answer.text


# Section 4: the proof


async def test_a_challenge_is_the_sheets(client: httpx.AsyncClient, replicas: Replicas) -> None:
    await replicas.play("deepseek", "ds-miner", Scenario(options={"difficulty": 144_000}))
    made = (await biz(client, mint("ds-miner"), "chat/create_pow_challenge", {"target_path": CHAT}))["challenge"]
    assert set(made) == {
        "algorithm",
        "challenge",
        "salt",
        "signature",
        "difficulty",
        "expire_at",
        "expire_after",
        "target_path",
    }
    assert (made["algorithm"], made["difficulty"], made["expire_after"]) == ("DeepSeekHashV1", 144_000, 300_000)
    assert len(made["challenge"]) == 64
    easy = (await biz(client, mint("ds-digger"), "chat/create_pow_challenge", {"target_path": CHAT}))["challenge"]
    text = f"{easy['salt']}_{easy['expire_at']}_{solve(easy)}"
    assert digest(text.encode()).hex() == easy["challenge"]


@pytest.mark.parametrize(
    "change",
    [
        {"answer": -1},
        {"answer": "7"},
        {"answer": 7.5},
        {"salt": "0" * 20},
        {"challenge": "0" * 64},
        {"signature": "0" * 64},
        {"algorithm": "SHA3"},
        {"target_path": UPLOAD},
        {"difficulty": 500},
        "no base64",
        base64.b64encode(b"[]").decode(),
        None,
    ],
    ids=str,
)
async def test_each_wrong_proof_is_refused(client: httpx.AsyncClient, change: Any) -> None:
    token = mint("ds-cheat")
    session = await new_session(client, token)
    challenge = (await biz(client, token, "chat/create_pow_challenge", {"target_path": CHAT}))["challenge"]
    sent = headers(token) | {"accept": "text/event-stream"}
    if change is not None:
        value = proof(challenge, change) if isinstance(change, dict) else change
        sent["x-ds-pow-response"] = value
    answer = await client.post(CHAT, headers=sent, json=chat_body(session, "hi"))
    assert refused(answer)[1] == "INVALID_POW_RESPONSE"


async def test_a_proof_is_good_once_for_its_user_and_path_and_not_for_ever(
    client: httpx.AsyncClient, replicas: Replicas
) -> None:
    token, thief = mint("ds-prover"), mint("ds-thief")
    body = chat_body(await new_session(client, token), "hi")
    call = await chat_call(client, token, body)
    assert events(await client.post(**call))
    assert refused(await client.post(**call))[1] == "INVALID_POW_RESPONSE"
    theirs = await proved(client, token) | {"authorization": f"Bearer {thief}"}
    stolen = chat_body(await new_session(client, thief), "hi")
    assert refused(await client.post(CHAT, headers=theirs, json=stolen))[1] == "INVALID_POW_RESPONSE"
    other = await proved(client, token, UPLOAD) | {"accept": "text/event-stream"}
    assert refused(await client.post(CHAT, headers=other, json=body))[1] == "INVALID_POW_RESPONSE"
    await replicas.play("deepseek", "ds-prover", Scenario(options={"expire_after_ms": -1}))
    late = await chat_call(client, token, body)
    assert refused(await client.post(**late))[1] == "INVALID_POW_RESPONSE"
    [*_, record] = await replicas.records(account="ds-prover", operation="chat")
    assert record.refused == "the challenge has expired"


# Section 4: the body


@pytest.mark.parametrize(
    "changes",
    [
        {"prompt": ""},
        {"prompt": None},
        {"surprise": 1},
        {"model_type": "v3"},
        {"parent_message_id": "2"},
        {"parent_message_id": True},
        {"ref_file_ids": None},
        {"thinking_enabled": "yes"},
        {"search_enabled": 0},
        {"action": "go"},
        {"preempt": True},
        {"chat_session_id": 7},
    ],
    ids=str,
)
async def test_each_wrong_field_is_refused(client: httpx.AsyncClient, changes: dict[str, Any]) -> None:
    token = mint("ds-strict")
    body = chat_body(await new_session(client, token), "hi") | changes
    answer = await client.post(**await chat_call(client, token, body))
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("missing", sorted(chat_body("", "")))
async def test_each_missing_field_is_refused(client: httpx.AsyncClient, missing: str) -> None:
    token = mint("ds-strict")
    body = chat_body(await new_session(client, token), "hi")
    del body[missing]
    answer = await client.post(**await chat_call(client, token, body))
    assert answer.status_code == 400, answer.text


async def test_a_body_that_is_no_json_is_refused(client: httpx.AsyncClient) -> None:
    token = mint("ds-strict")
    sent = await proved(client, token)
    answer = await client.post(CHAT, headers=sent | {"content-type": "text/plain"}, content=b"{}")
    assert answer.status_code == 415
    answer = await client.post(CHAT, headers=sent | {"content-type": "application/json"}, content=b"{")
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("chat_session/create", {"title": "x"}),
        ("chat/create_pow_challenge", {}),
        ("chat/create_pow_challenge", {"target_path": "/api/v0/users/current"}),
        ("chat_session/delete", {}),
        ("chat/stop_stream", {"chat_session_id": "x"}),
        ("chat_session/delete_all", {"sure": True}),
    ],
)
async def test_the_other_bodies_are_strict_too(client: httpx.AsyncClient, path: str, body: object) -> None:
    answer = await client.post(f"/api/v0/{path}", headers=headers(mint("ds-strict")), json=body)
    assert answer.status_code == 400, answer.text


# Conversations


async def test_a_conversation_goes_on_after_its_answers_only(client: httpx.AsyncClient, replicas: Replicas) -> None:
    token = mint("ds-turns")
    session = await new_session(client, token)
    for wrong in (0, 1, 2):
        answer = await client.post(**await chat_call(client, token, chat_body(session, "no", parent=wrong)))
        assert refused(answer)[1] == "invalid message id", "an empty session has no parent"
    first = await ask(client, token, session, "one")
    assert [event for event, _ in first].count("title") == 1
    for none in (None, 1, 3):
        answer = await client.post(**await chat_call(client, token, chat_body(session, "no", parent=none)))
        assert refused(answer)[1] == "invalid message id"
    second = await ask(client, token, session, "two", parent=2, model_type="expert", thinking_enabled=False)
    assert second[0][1] == {"request_message_id": 3, "response_message_id": 4, "model_type": "expert"}
    assert "title" not in [event for event, _ in second]
    branch = await ask(client, token, session, "two, but else", parent=2)
    assert branch[0][1]["response_message_id"] == 6
    thief = mint("ds-thief")
    stolen = await client.post(**await chat_call(client, thief, chat_body(session, "mine", parent=2)))
    assert refused(stolen)[1] == "会话不存在"
    [talk] = (await replicas.seen("deepseek", "ds-turns")).conversations
    assert (talk.id, talk.deleted, talk.temporary) == (session, False, False)
    assert [(turn.prompt, turn.parent, turn.answer) for turn in talk.turns] == [
        ("one", "", "2"),
        ("two", "2", "4"),
        ("two, but else", "2", "6"),
    ]
    assert [(turn.model, turn.thinking, turn.search) for turn in talk.turns] == [
        ("default", True, False),
        ("expert", False, False),
        ("default", True, False),
    ]
    history = await biz(client, token, "chat/history_messages", chat_session_id=session)
    told = [(message["message_id"], message["parent_id"], message["role"]) for message in history["chat_messages"]]
    assert told[:4] == [(1, None, "USER"), (2, 1, "ASSISTANT"), (3, 2, "USER"), (4, 3, "ASSISTANT")]
    assert history["chat_session"]["title"] == "one"


async def test_sessions_are_listed_and_deleted(client: httpx.AsyncClient, replicas: Replicas) -> None:
    token = mint("ds-keeper")
    made = await biz(client, token, "chat_session/create", {})
    assert made["ttl_seconds"] == 259_200
    assert (made["chat_session"]["agent"], made["chat_session"]["title_type"]) == ("chat", "WIP")
    empty, used = made["chat_session"]["id"], await new_session(client, token)
    assert (await replicas.seen("deepseek", "ds-keeper")).conversations == [], "nobody has written yet"
    await ask(client, token, used, "hi")
    page = await biz(client, token, "chat_session/fetch_page", count="1")
    assert ([each["id"] for each in page["chat_sessions"]], page["has_more"]) == ([used], True)
    assert await biz(client, token, "chat_session/delete", {"chat_session_id": used}) is None
    again = await client.post("/api/v0/chat_session/delete", headers=headers(token), json={"chat_session_id": used})
    assert refused(again)[1] == "会话不存在"
    gone = await client.post(**await chat_call(client, token, chat_body(used, "two", parent=2)))
    assert refused(gone)[1] == "会话不存在"
    assert [talk.deleted for talk in (await replicas.seen("deepseek", "ds-keeper")).conversations] == [True]
    page = await biz(client, token, "chat_session/fetch_page", count="10")
    assert [each["id"] for each in page["chat_sessions"]] == [empty]
    await biz(client, token, "chat_session/delete_all", {})
    state = await replicas.state("deepseek", "ds-keeper")
    assert [session["deleted"] for session in state["sessions"]] == [True, True]
    await replicas.play("deepseek", "ds-keeper", Scenario(options={"older_session": True}))
    assert len((await biz(client, token, "chat_session/create", {"character_id": None}))["id"]) == 36


async def test_echo_and_recall(client: httpx.AsyncClient, replicas: Replicas) -> None:
    await replicas.play("deepseek", "ds-echo", Scenario(answer=Answer(echo=True, recall=True, count=3)))
    token = mint("ds-echo")
    session = await new_session(client, token)
    assert said(shown(await ask(client, token, session, "one\n two ")), "RESPONSE") == "one\n two "
    assert said(shown(await ask(client, token, session, "three", parent=2)), "RESPONSE") == "one\n two \n\nthree"


async def test_an_answer_is_made_once_more(client: httpx.AsyncClient, replicas: Replicas) -> None:
    token = mint("ds-again")
    session = await new_session(client, token)
    await ask(client, token, session, "one")
    body = {"chat_session_id": session, "child_message_id": 2}
    pairs = events(await client.post(**await chat_call(client, token, body, REGENERATE)))
    assert (pairs[0][1]["request_message_id"], pairs[0][1]["response_message_id"]) == (1, 3)
    wrong = await client.post(**await chat_call(client, token, body | {"child_message_id": 1}, REGENERATE))
    assert refused(wrong)[1] == "invalid message id"
    unproved = await client.post(REGENERATE, headers=headers(token) | {"accept": "text/event-stream"}, json=body)
    assert refused(unproved)[1] == "INVALID_POW_RESPONSE"
    turns = (await replicas.seen("deepseek", "ds-again")).conversations[0].turns
    assert [(turn.prompt, turn.answer, turn.again) for turn in turns] == [("one", "2", False), ("one", "3", True)]
    assert turns[1].thinking
    await ask(client, token, session, "two", parent=3)


async def test_stop_ends_the_stream_without_its_mark(client: httpx.AsyncClient, replicas: Replicas) -> None:
    await replicas.play("deepseek", "ds-stopper", Scenario(faults=[Fault(kind="stall", after=3, times=1)]))
    token = mint("ds-stopper")
    session = await new_session(client, token)
    async with client.stream("POST", **await chat_call(client, token, chat_body(session, "hi"))) as running:
        parts, text = running.aiter_text(), ""
        while "Because" not in text:
            text += await anext(parts)
        early = await client.post(**await chat_call(client, token, chat_body(session, "too early")))
        assert refused(early)[1] == "有消息正在生成"
        body = {"chat_session_id": session, "message_id": 2}
        assert await biz(client, token, "chat/stop_stream", body) is None
        async for part in parts:
            text += part
    assert "FINISHED" not in text
    [turn] = (await replicas.seen("deepseek", "ds-stopper")).conversations[0].turns
    assert turn.stopped
    history = await biz(client, token, "chat/history_messages", chat_session_id=session)
    assert history["chat_messages"][1]["status"] == "INCOMPLETE"
    await ask(client, token, session, "again", parent=2)


async def test_leaving_frees_the_session(client: httpx.AsyncClient, replicas: Replicas) -> None:
    await replicas.play("deepseek", "ds-leaver", Scenario(faults=[Fault(kind="stall", after=1, times=1)]))
    token = mint("ds-leaver")
    session = await new_session(client, token)
    async with client.stream("POST", **await chat_call(client, token, chat_body(session, "hi"))) as running:
        assert await anext(running.aiter_raw())
    await replicas.records(account="ds-leaver", operation="chat", state="aborted", count=1)
    assert [turn.stopped for turn in (await replicas.seen("deepseek", "ds-leaver")).conversations[0].turns] == [True]
    await ask(client, token, session, "again", parent=2)
    unknown = await client.post(
        "/api/v0/chat/stop_stream", headers=headers(token), json={"chat_session_id": session, "message_id": 1}
    )
    assert refused(unknown)[1] == "invalid message id"


async def test_pages_and_a_scenario_that_it_does_not_know(client: httpx.AsyncClient, replicas: Replicas) -> None:
    session = "01234567-89ab-cdef-0123-456789abcdef"
    for path in ("/", "/sign_in", f"/a/chat/s/{session}", f"/chat/s/{session}"):
        answer = await client.get(path)
        assert (answer.status_code, "unsafe-eval" in answer.headers["content-security-policy"]) == (200, False)
    assert (await client.get("/a/chat/s/x")).status_code == 404
    with pytest.raises(httpx.HTTPStatusError):
        await replicas.play("deepseek", "ds-misspelt", Scenario(options={"dificulty": 1}))
    results = await asyncio.gather(*(client.get("/assets/index.html") for _ in range(2)))
    assert {result.status_code for result in results} == {200}
