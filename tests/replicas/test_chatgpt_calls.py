"""The ChatGPT replica is as strict as its fact sheet: right calls pass, and each thing that is wrong is refused."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.replicas import Answer, Fault, Replicas, Scenario
from tests.replicas.chatgpt import access_token, session_token, storage_state
from tests.replicas.chatgpt.calls import (
    CHAT,
    IMAGE_PART,
    bearer,
    chat_body,
    chat_headers,
    conduit,
    sentinel,
    user_message,
)
from tests.replicas.chatgpt.reading import hear
from tests.replicas.chatgpt.tokens import COOKIE, device_id
from tests.replicas.chatgpt.user import API, User

HOST = "chatgpt.com"


@pytest.fixture
async def client(replicas: Replicas) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client of the site."""
    async with replicas.client(HOST) as client:
        yield client


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("authorization", None, 401),
        ("authorization", "Bearer a.b.c", 401),
        ("authorization", f"Bearer {session_token('gpt-strict')}", 401),
        ("authorization", f"Bearer {access_token('gpt-strict', ttl_s=-1)}", 401),
        ("authorization", f"Bearer {access_token('gpt-strict')}x", 401),
        ("authorization", f"Bearer {access_token('gpt-stranger')}", 403),
        ("content-type", "text/plain", 422),
        ("accept", "*/*", 400),
        ("oai-device-id", "me", 400),
        ("oai-session-id", None, 400),
        ("oai-language", None, 400),
        ("oai-client-version", "dev", 400),
        ("oai-client-build-number", None, 400),
        ("x-oai-turn-trace-id", None, 400),
        ("x-openai-target-path", "/backend-api/conversation", 400),
        ("x-openai-target-route", None, 400),
        ("openai-sentinel-chat-requirements-token", None, 403),
        ("openai-sentinel-proof-token", "gAAAAABother", 403),
        ("openai-sentinel-turnstile-token", None, 403),
        ("openai-sentinel-so-token", None, 403),
        ("x-conduit-token", None, 403),
        ("x-conduit-token", access_token("gpt-strict"), 403),
        ("cookie", "oai-did=7d1f0f6e-5f0d-4b57-9f8e-2f6f5b0c6a11", 400),
    ],
)
async def test_each_wrong_header_is_refused(
    client: httpx.AsyncClient, header: str, value: str | None, status: int
) -> None:
    call = await User(client, "gpt-strict").call("hi")
    call["headers"].pop(header, None)
    call["headers"] |= {} if value is None else {header: value}
    answer = await client.post(**call)
    assert answer.status_code == status, answer.text
    assert "detail" in answer.json()


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
        ("action", None),
        ("action", "variant"),
        ("action", "continue"),
        ("messages", []),
        ("messages", [user_message("a"), user_message("b")]),
        ("surprise", 1),
        ("model", "gpt-9"),
        ("thinking_effort", "huge"),
        ("system_hints", ["telepathy"]),
        ("supported_encodings", ["v2"]),
        ("client_prepare_state", "none"),
        ("conversation_mode", {"kind": "gizmo_interaction"}),
        ("conversation_mode", {"kind": "primary_assistant", "gizmo_id": "g-1"}),
        ("history_and_training_disabled", "no"),
        ("messages.0.id", "not-a-uuid"),
        ("messages.0.author.role", "assistant"),
        ("messages.0.content.parts", []),
        ("messages.0.content.parts", [IMAGE_PART]),
        ("messages.0.content", {"content_type": "multimodal_text", "parts": [IMAGE_PART, "hi"]}),
        ("messages.0.content.content_type", "multimodal_text"),
        ("messages.0.metadata.attachments", [{"id": "file-none", "name": "a", "size": 1}]),
        ("messages.0.metadata.surprise", 1),
    ],
)
async def test_each_wrong_field_is_refused(client: httpx.AsyncClient, path: str, value: object) -> None:
    call = await User(client, "gpt-strict").call("hi")
    answer = await client.post(**call | {"json": patched(path, value)})
    assert answer.status_code == 422, answer.text
    assert isinstance(answer.json()["detail"], list)


async def test_a_conversation_grows_only_at_its_answers(replicas: Replicas, client: httpx.AsyncClient) -> None:
    user, thief = User(client, "gpt-turns"), User(client, "gpt-thief")
    await replicas.play("chatgpt", "gpt-turns", Scenario(answer=Answer(echo=True, recall=True)))
    first = await user.ask("one")
    place = {"conversation": first.conversation, "parent": first.final["id"]}
    question = first.one("input_message")["input_message"]["id"]
    for wrong in (question, str(uuid.uuid4()), first.messages[0]["id"]):
        answer = await client.post(**await user.call("two", **place | {"parent": wrong}))
        assert answer.status_code == 422
    assert (await client.post(**await thief.call("mine", **place))).status_code == 404
    second = await user.ask("two", **place)
    assert second.text == "one\n\ntwo"
    assert "title_generation" not in second.types
    edited = await user.ask("zwei", **place)
    assert edited.text == "one\n\nzwei"
    assert (await user.ask("1", conversation=first.conversation)).text == "1", "the first prompt is edited too"
    told = await user.get(f"/conversation/{first.conversation}")
    assert told["mapping"][first.final["id"]]["message"]["content"]["parts"] == ["one"]
    assert len(told["mapping"][first.final["id"]]["children"]) == 2
    [seen] = (await replicas.seen("chatgpt", "gpt-turns")).conversations
    answers = [heard.final["id"] for heard in (first, second, edited)]
    assert [turn.prompt for turn in seen.turns] == ["one", "two", "zwei", "1"]
    assert [turn.parent for turn in seen.turns] == ["", answers[0], answers[0], ""]
    assert [turn.answer for turn in seen.turns[:3]] == answers


async def test_the_older_root_is_a_random_uuid(client: httpx.AsyncClient) -> None:
    user = User(client, "gpt-older")
    assert (await user.ask("hi", parent=str(uuid.uuid4()))).done
    answer = await client.post(**await user.call("hi", parent="somewhere"))
    assert answer.status_code == 422


async def test_regenerate_and_continue(replicas: Replicas, client: httpx.AsyncClient) -> None:
    user = User(client, "gpt-again")
    first = await user.ask("one")
    question = first.one("input_message")["input_message"]
    place = {"conversation": first.conversation, "parent": "client-created-root"}
    body = chat_body("one", **place) | {"action": "variant"}
    body["messages"][0]["id"] = question["id"]
    other = await user.ask(body=body)
    assert other.final["id"] != first.final["id"]
    told = await user.get(f"/conversation/{first.conversation}")
    assert (told["current_node"], len(told["mapping"][question["id"]]["children"])) == (other.final["id"], 2)
    named = chat_body("", conversation=first.conversation, parent=question["id"]) | {"action": "variant"}
    assert (await user.ask(body=named | {"messages": []})).done
    more = chat_body("", conversation=first.conversation, parent=other.final["id"]) | {"action": "continue"}
    assert (await user.ask(body=more | {"messages": []})).text
    turns = (await replicas.seen("chatgpt", "gpt-again")).conversations[0].turns
    assert [(turn.prompt, turn.again) for turn in turns] == [
        ("one", False),
        ("one", True),
        ("one", True),
        ("one", False),
    ]
    body["messages"][0]["id"] = str(uuid.uuid4())
    assert (await client.post(**await user.call(body=body))).status_code == 422


async def test_sentinel_tokens_have_one_purpose(client: httpx.AsyncClient) -> None:
    headers = bearer(access_token("gpt-sentinel"))
    at = f"{API}/sentinel/chat-requirements"
    for p in ("", "gAAAAAC", "gAAAAACW10=", "gAAAAAB" + "W10="):
        assert (await client.post(f"{at}/prepare", headers=headers, json={"p": p})).status_code == 403
    signed = await sentinel(client, headers)
    proof = signed["openai-sentinel-proof-token"]
    prepared = (
        await client.post(f"{at}/prepare", headers=headers, json={"p": proof.replace("AAAAAB", "AAAAAC")})
    ).json()
    assert prepared["proofofwork"]["required"]
    assert prepared["turnstile"]["required"]
    right = {"prepare_token": prepared["prepare_token"], "proofofwork": proof, "turnstile": "A" * 24}
    stranger = bearer(access_token("gpt-stranger"))
    assert (await client.post(f"{at}/finalize", headers=stranger, json=right)).status_code == 403
    assert (await client.post(f"{at}/finalize", headers=headers, json=right)).status_code == 403, "it works once"
    body = chat_body("hi")
    draft = (await conduit(client, headers, body))["x-conduit-token"]
    call = chat_headers("gpt-sentinel", access_token("gpt-sentinel")) | signed
    elsewhere = chat_body("hi", conversation=str(uuid.uuid4()), parent=str(uuid.uuid4()))
    assert (await client.post(CHAT, headers=call | {"x-conduit-token": draft}, json=elsewhere)).status_code == 403
    for _ in range(2):
        answer = await client.post(CHAT, headers=call | {"x-conduit-token": draft}, json=chat_body("hi"))
        assert answer.status_code == 200, "one requirements token is good for minutes of text"
    picture = chat_body("draw") | {"system_hints": ["picture_v2"]}
    answer = await client.post(CHAT, headers=call | {"x-conduit-token": draft}, json=picture)
    assert (answer.status_code, answer.json()) == (403, {"detail": answer.json()["detail"]})
    assert "nusual activity" in answer.json()["detail"]
    fresh = call | await sentinel(client, headers) | {"x-conduit-token": draft}
    assert (await client.post(CHAT, headers=fresh, json=picture)).status_code == 200


async def test_the_shield_keeps_out_who_is_not_the_page(replicas: Replicas, client: httpx.AsyncClient) -> None:
    await replicas.play("chatgpt", "gpt-shielded", Scenario(shield=True))
    assert (await client.post(**await User(client, "gpt-shielded").call("hi"))).status_code == 403


async def test_the_older_path_needs_no_conduit(client: httpx.AsyncClient) -> None:
    path = "/backend-api/conversation"
    headers = chat_headers("gpt-old-path", access_token("gpt-old-path"), path)
    signed = await sentinel(client, headers)
    assert hear((await client.post(path, headers=headers | signed, json=chat_body("hi"))).content).done


@pytest.mark.parametrize(
    ("fault", "body"),
    [
        (Fault(kind="status", status=401), {"detail": {"code": "token_expired"}}),
        (Fault(kind="status", status=429, resets_in_s=90), {"detail": {"code": "model_cap_exceeded", "clears_in": 90}}),
        (Fault(kind="status", status=429), {"detail": {"code": "model_cap_exceeded"}}),
        (
            Fault(kind="status", status=429, code="work_usage_limit_exceeded"),
            {"detail": {"code": "work_usage_limit_exceeded"}},
        ),
        (Fault(kind="status", status=500), {"detail": {"code": "internal"}}),
    ],
)
async def test_statuses_have_the_site_s_body(
    replicas: Replicas, client: httpx.AsyncClient, fault: Fault, body: dict[str, Any]
) -> None:
    fault.times = 1
    await replicas.play("chatgpt", "gpt-limited", Scenario(faults=[fault]))
    user = User(client, "gpt-limited")
    answer = await client.post(**await user.call("hi"))
    detail = {name: value for name, value in answer.json()["detail"].items() if name != "message"}
    assert (answer.status_code, {"detail": detail}) == (fault.status, body)
    assert (await user.ask("hi")).done


async def test_logins_of_all_kinds(replicas: Replicas, client: httpx.AsyncClient) -> None:
    async def session(user: str, token: str | None = None, name: str = COOKIE) -> Any:
        cookie = f"replica_account={user}; {name}={session_token(user) if token is None else token}"
        return (await client.get("/api/auth/session", headers={"cookie": cookie})).json()

    async def me(access: str) -> tuple[int, Any]:
        answer = await client.get(f"{API}/me", headers=bearer(access))
        return answer.status_code, answer.json()

    live = await session("gpt-live")
    assert live["user"]["name"] == "gpt-live"
    assert (await me(live["accessToken"]))[1]["email"] == "gpt-live@example.org"
    await replicas.play("chatgpt", "gpt-brief", Scenario(access_ttl_s=-1))
    assert await me((await session("gpt-brief"))["accessToken"]) == (401, {"detail": (await me("x"))[1]["detail"]})
    assert await session("gpt-live", "") == {}
    assert await session("gpt-live", session_token("gpt-live", ttl_s=-1)) == {}
    assert await session("gpt-live", access_token("gpt-live")) == {}
    for login, status in (("dead", 401), ("guest", 401), ("banned", 403)):
        name = f"gpt-{login}"
        await replicas.play("chatgpt", name, Scenario.model_validate({"login": login}))
        told = await session(name)
        assert ("accessToken" in told) == (login == "banned")
        assert (told == {}) == (login == "guest")
        assert (await me(access_token(name)))[0] == status
    parts = storage_state("gpt-parts", long=True)["cookies"]
    cookie = "; ".join(f"{one['name']}={one['value']}" for one in parts)
    assert f"{COOKIE}.1=" in cookie
    told = (await client.get("/api/auth/session", headers={"cookie": cookie})).json()
    assert told["user"]["name"] == "gpt-parts"


async def test_a_small_chat_without_an_account(replicas: Replicas, client: httpx.AsyncClient) -> None:
    guest = User(client, "gpt-nobody", anonymous=True)
    client.headers["oai-device-id"] = device_id("gpt-nobody")
    assert (await guest.ask(body=chat_body("hi", model="auto"))).text == "Because short waves scatter more."
    assert (await client.post(**await guest.call("hi", model="gpt-5-3"))).status_code == 422
    owner = await User(client, device_id("gpt-nobody")).ask("mine")
    place = {"conversation": owner.conversation, "parent": owner.final["id"], "model": "auto"}
    assert (await client.post(**await guest.call("mine?", **place))).status_code == 404
    assert (await client.get("/backend-anon/me")).status_code == 404
    assert (await client.get("/backend-anon/models")).json()["models"][0]["slug"] == "auto"
    seen = await replicas.seen("chatgpt", device_id("gpt-nobody"))
    assert [turn.prompt for one in seen.conversations for turn in one.turns] == ["hi", "mine"]


async def test_reading_back_renaming_hiding(replicas: Replicas, client: httpx.AsyncClient) -> None:
    user = User(client, "gpt-keeper")
    heard = await user.ask("why is the sky blue")
    path = f"/conversation/{heard.conversation}"
    assert (await user.get(f"{path}/stream_status"))["status"] == "COMPLETE"
    told = await user.get(path)
    assert (told["title"], told["current_node"]) == ("why is the sky blue", heard.final["id"])
    listed = await user.get("/conversations?offset=0&limit=28&order=updated")
    assert [one["id"] for one in listed["items"]] == [heard.conversation]
    assert (await user.post(f"/conversation/id/{heard.conversation}/rename", {"title": "Sky"}))["success"]
    assert (await user.get(path))["title"] == "Sky"
    audio = f"/synthesize?conversation_id={heard.conversation}&message_id={heard.final['id']}&voice=maple&format=aac"
    spoken = await client.get(API + audio, headers=bearer(user.access))
    assert (spoken.status_code, spoken.headers["content-type"]) == (200, "audio/aac")
    await User(client, "gpt-thief").get(path, 404)
    hidden = await client.patch(API + path, headers=bearer(user.access), json={"is_visible": False})
    assert hidden.json() == {"success": True}
    await user.get(path, 404)
    assert (await user.get("/conversations"))["items"] == []
    assert [one.deleted for one in (await replicas.seen("chatgpt", "gpt-keeper")).conversations] == [True]


async def test_temporary_chats_and_custom_gpts(replicas: Replicas, client: httpx.AsyncClient) -> None:
    user = User(client, "gpt-passing")
    heard = await user.ask(body=chat_body("hi") | {"history_and_training_disabled": True})
    assert "title_generation" not in heard.types
    assert (await user.get("/conversations"))["items"] == []
    place = {"conversation": heard.conversation, "parent": heard.final["id"]}
    assert (await client.post(**await user.call("on", **place))).status_code == 404
    assert (await user.ask(body=chat_body("on", **place) | {"history_and_training_disabled": True})).done
    gizmo = {"kind": "gizmo_interaction", "gizmo_id": "g-abc123"}
    assert (await user.ask(body=chat_body("hi") | {"conversation_mode": gizmo})).done
    passing, custom = (await replicas.seen("chatgpt", "gpt-passing")).conversations
    assert (passing.temporary, len(passing.turns)) == (True, 2)
    assert (custom.temporary, custom.turns[0].agent) == (False, "g-abc123")


async def test_models_are_the_endpoint_s(replicas: Replicas, client: httpx.AsyncClient) -> None:
    user = User(client, "gpt-catalogue")
    models = await user.get("/models?history_and_training_disabled=false")
    assert {"auto", "gpt-5-3", "gpt-5-6-thinking"} <= {one["slug"] for one in models["models"]}
    await replicas.play("chatgpt", "gpt-catalogue", Scenario(options={"models": "auto,gpt-9-thinking"}))
    assert [one["slug"] for one in (await user.get("/models"))["models"]] == ["auto", "gpt-9-thinking"]
    assert (await user.ask("hi", model="gpt-9-thinking")).reasoning
    assert (await client.post(**await user.call("hi", model="gpt-5-3"))).status_code == 422


async def test_a_prompt_can_be_too_long(replicas: Replicas, client: httpx.AsyncClient) -> None:
    await replicas.play("chatgpt", "gpt-verbose", Scenario(options={"max_chars": 10}))
    user = User(client, "gpt-verbose")
    assert (await user.ask("x" * 10)).done
    answer = await client.post(**await user.call("x" * 11))
    assert (answer.status_code, answer.json()["detail"]["code"]) == (413, "message_length_exceeds_limit")


async def test_the_challenge_stands_before_everything(replicas: Replicas, client: httpx.AsyncClient) -> None:
    call = await User(client, "gpt-challenged").call("hi")
    await replicas.play("chatgpt", "gpt-challenged", Scenario(challenge=True))
    cookie = {"cookie": "replica_account=gpt-challenged"}
    for answer in (await client.get("/", headers=cookie), await client.post(**call)):
        assert answer.status_code == 403
        assert "<title>Just a moment...</title>" in answer.text


async def test_old_names_redirect(replicas: Replicas) -> None:
    async with replicas.client("chat.openai.com") as client:
        answer = await client.get("/")
    assert (answer.status_code, answer.headers["location"]) == (302, "https://chatgpt.com/")


async def test_unknown_options_are_refused(replicas: Replicas) -> None:
    with pytest.raises(httpx.HTTPStatusError):
        await replicas.play("chatgpt", "gpt-typo", Scenario(options={"hand_off": "ws"}))
