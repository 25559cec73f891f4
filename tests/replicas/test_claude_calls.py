"""The Claude replica is as strict as its fact sheet: right calls pass, and each thing that is wrong is refused."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.replicas import Answer, Fault, Page, Piece, Replicas, Scenario
from tests.replicas.claude import HOME, organization, session_key
from tests.replicas.claude.calls import (
    ARTIFACTS,
    WEB_SEARCH,
    chats,
    completion_body,
    completion_call,
    completion_headers,
    cookies,
    create_params,
)
from tests.replicas.claude.requests import ROOT
from tests.replicas.claude.sessions import api_organization, read

HOST = "claude.ai"
Events = list[dict[str, Any]]


def events(data: bytes) -> Events:
    """An answer's events; fails when the bytes are no whole row of them, or when a name differs from its data's."""
    assert data.endswith(b"\n\n")
    found: Events = []
    for part in data.decode().removesuffix("\n\n").split("\n\n"):
        name, _, value = part.partition("\n")
        found.append(json.loads(value.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def deltas(found: Events, kind: str, field: str) -> list[Any]:
    """What the deltas of one kind carry."""
    return [event["delta"][field] for event in found if event.get("delta", {}).get("type") == kind]


def text(found: Events) -> str:
    """The answer."""
    return "".join(deltas(found, "text_delta", "text"))


def client(replicas: Replicas, account: str, **options: Any) -> httpx.AsyncClient:
    """A client with the account's login."""
    return replicas.client(HOST, **({"cookies": cookies(account)} | options))


async def post(replicas: Replicas, account: str, conversation: str, prompt: str, **fields: Any) -> httpx.Response:
    """The response to an otherwise right completion."""
    async with client(replicas, account) as caller:
        return await caller.post(**completion_call(account, conversation, prompt, **fields))


async def ask(replicas: Replicas, account: str, conversation: str, prompt: str, **fields: Any) -> Events:
    """The events of a completion that is answered."""
    answer = await post(replicas, account, conversation, prompt, **fields)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return events(answer.content)


async def begin(replicas: Replicas, account: str, prompt: str = "hi", **fields: Any) -> tuple[str, Events]:
    """A new conversation, and the events of its first answer."""
    conversation = str(uuid4())
    return conversation, await ask(
        replicas, account, conversation, prompt, create_conversation_params=create_params(), **fields
    )


def answer_id(found: Events) -> str:
    """The uuid that the answer's head tells: the next parent."""
    [head] = [event["message"] for event in found if event["type"] == "message_start"]
    return str(head["uuid"])


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status and kind of a refusal in the site's shape."""
    said = answer.json()
    assert said["type"] == "error", said
    return answer.status_code, said["error"]["type"]


async def test_the_sample_of_the_sheet(replicas: Replicas) -> None:
    conversation, found = await begin(replicas, "sample", "why", thinking_mode="extended")
    kinds = [event["delta"]["type"] if event["type"] == "content_block_delta" else event["type"] for event in found]
    assert kinds == [
        "conversation_ready",
        "message_start",
        "content_block_start",
        "thinking_delta",
        "thinking_summary_delta",
        "thinking_delta",
        "signature_delta",
        "content_block_stop",
        "content_block_start",
        "text_delta",
        "ping",
        "text_delta",
        "text_delta",
        "content_block_stop",
        "message_delta",
        "message_limit",
        "message_stop",
    ]
    head = found[1]["message"]
    assert head["id"].startswith("chatcompl_")
    assert (head["role"], head["content"], head["stop_reason"]) == ("assistant", [], None)
    assert [event["index"] for event in found if "index" in event] == [0] * 6 + [1] * 5
    assert found[-3]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert found[-2]["message_limit"]["windows"]["5h"]["utilization"] == 0.12
    assert text(found) == "Because short waves scatter more."
    [kept] = (await replicas.seen("claude", "sample")).conversations
    assert (kept.id, kept.turns[0].prompt, kept.turns[0].answer) == (conversation, "why", head["uuid"])
    assert (kept.turns[0].parent, kept.turns[0].thinking, kept.turns[0].stopped) == ("", True, False)


@pytest.mark.parametrize(
    ("key", "status", "kind"),
    [
        (None, 403, "permission_error"),
        ("sk-ant-sid01-abc", 401, "authentication_error"),
        (session_key("strict", -1), 401, "authentication_error"),
        (session_key("strict") + "x", 401, "authentication_error"),
        (session_key("other"), 403, "permission_error"),
    ],
)
async def test_each_wrong_login_is_refused(replicas: Replicas, key: str | None, status: int, kind: str) -> None:
    async with replicas.client(HOST, cookies={"sessionKey": key} if key else {}) as caller:
        answer = await caller.post(**completion_call("strict", str(uuid4()), "hi"))
    assert refusal(answer) == (status, kind)


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("content-type", "text/plain", 415),
        ("accept", "application/json", 400),
        ("anthropic-client-platform", "ios", 400),
        ("origin", "https://example.org", 403),
    ],
)
async def test_each_wrong_header_is_refused(replicas: Replicas, header: str, value: str, status: int) -> None:
    call = completion_call("strict", str(uuid4()), "hi", create_conversation_params=create_params())
    call["headers"][header] = value
    async with client(replicas, "strict") as caller:
        assert refusal(await caller.post(**call))[0] == status


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("prompt", None),
        ("prompt", ""),
        ("prompt", ["hi"]),
        ("surprise", 1),
        ("parent_message_uuid", None),
        ("parent_message_uuid", "1"),
        ("turn_message_uuids", {"human_message_uuid": ROOT, "assistant_message_uuid": str(uuid4())}),
        ("turn_message_uuids", {"human_message_uuid": str(uuid4())}),
        ("timezone", None),
        ("timezone", "GMT +1"),
        ("locale", "english"),
        ("rendering_mode", "raw"),
        ("files", [str(uuid4())]),
        ("attachments", [{"file_name": "a.txt", "extracted_content": "a"}]),
        ("personalized_styles", [{"type": "default"}]),
        ("tools", [{"type": "web_search_v0", "name": "search"}]),
        ("tools", [{"type": "web_search", "name": "web_search"}]),
        ("thinking_mode", "high"),
        ("effort", "max"),
        ("max_tokens_to_sample", 0),
        ("create_conversation_params", {}),
        ("create_conversation_params", create_params(surprise=1)),
        ("create_conversation_params", create_params(paprika_mode="on")),
        ("create_conversation_params", create_params(compass_mode="advanced")),
    ],
)
async def test_each_wrong_field_is_refused(replicas: Replicas, field: str, value: object) -> None:
    body = completion_body("hi", create_conversation_params=create_params())
    if value is None:
        del body[field]
    else:
        body[field] = value
    address = f"{chats('strict')}/{uuid4()}/completion"
    async with client(replicas, "strict") as caller:
        answer = await caller.post(address, headers=completion_headers(), json=body)
    assert refusal(answer) == (400, "invalid_request_error")


async def test_a_body_that_is_no_json_is_refused(replicas: Replicas) -> None:
    async with client(replicas, "strict") as caller:
        address = f"{chats('strict')}/{uuid4()}/completion"
        answer = await caller.post(address, headers=completion_headers(), content=b"{")
    assert refusal(answer) == (400, "invalid_request_error")


async def test_the_new_way_to_begin_works_once(replicas: Replicas) -> None:
    unknown = await post(replicas, "starter", str(uuid4()), "hi")
    assert refusal(unknown) == (404, "not_found_error")
    conversation, first = await begin(replicas, "starter")
    again = await post(
        replicas, "starter", conversation, "two", parent=answer_id(first), create_conversation_params=create_params()
    )
    assert refusal(again) == (400, "invalid_request_error")
    assert text(await ask(replicas, "starter", conversation, "two", parent=answer_id(first)))
    wrong = str(uuid4()).replace("-4", "-1", 1)
    assert (await post(replicas, "starter", wrong, "hi")).status_code == 404


async def test_the_old_way_to_begin(replicas: Replicas) -> None:
    uuid = str(uuid4())
    made = {"uuid": uuid, "name": "", "include_conversation_preferences": True, "paprika_mode": None}
    async with client(replicas, "older") as caller:
        created = await caller.post(chats("older"), json=made | {"is_temporary": True})
        assert (created.status_code, created.json()["uuid"]) == (201, uuid)
        assert refusal(await caller.post(chats("older"), json=made)) == (400, "invalid_request_error")
        other = made | {"uuid": str(uuid4())}
        assert refusal(await caller.post(chats("older"), json=other | {"surprise": 1}))[0] == 400
        assert refusal(await caller.post(chats("older"), json=other | {"model": "claude-9"}))[0] == 403
    found = await ask(replicas, "older", uuid, "hi")
    assert found[0]["type"] == "message_start", "the event conversation_ready belongs to the new way"
    assert deltas(found, "thinking_delta", "thinking") == []
    async with client(replicas, "older") as caller:
        put = await caller.put(f"{chats('older')}/{uuid}", json={"settings": {"paprika_mode": "extended"}})
        assert put.json()["settings"] == {"paprika_mode": "extended"}
        assert (
            refusal(await caller.put(f"{chats('older')}/{uuid}", json={"settings": {"paprika_mode": "on"}}))[0] == 400
        )
    thinking = await ask(replicas, "older", uuid, "and now", parent=answer_id(found))
    assert "".join(deltas(thinking, "thinking_delta", "thinking")) == "The user asks about scattering."
    off = await ask(replicas, "older", uuid, "not now", parent=answer_id(thinking), thinking_mode="off")
    assert deltas(off, "thinking_delta", "thinking") == []
    [kept] = (await replicas.seen("claude", "older")).conversations
    assert (kept.temporary, [turn.thinking for turn in kept.turns]) == (True, [False, True, False])


async def test_a_turn_follows_an_answer_of_its_conversation(replicas: Replicas) -> None:
    conversation, first = await begin(replicas, "turns", "one")
    _, other = await begin(replicas, "turns", "elsewhere")
    ids = {"human_message_uuid": str(uuid4()), "assistant_message_uuid": str(uuid4())}
    for parent in (str(uuid4()), answer_id(other), first[1]["message"]["parent_uuid"]):
        assert refusal(await post(replicas, "turns", conversation, "two", parent=parent))[0] == 400
    second = await ask(replicas, "turns", conversation, "two", parent=answer_id(first), turn_message_uuids=ids)
    assert answer_id(second) == ids["assistant_message_uuid"], "the client chose it"
    used = await post(replicas, "turns", conversation, "3", parent=answer_id(second), turn_message_uuids=ids)
    assert refusal(used) == (400, "invalid_request_error")
    await ask(replicas, "turns", conversation, "two, edited", parent=answer_id(first), turn_message_uuids=None)
    async with client(replicas, "thief") as caller:
        stolen = await caller.post(**completion_call("thief", conversation, "mine", parent=answer_id(first)))
    assert refusal(stolen) == (404, "not_found_error")
    kept = (await replicas.seen("claude", "turns")).conversations[0]
    assert [turn.parent for turn in kept.turns] == ["", answer_id(first), answer_id(first)]
    async with client(replicas, "turns") as caller:
        address = f"{chats('turns')}/{conversation}"
        query = {"tree": "True", "rendering_mode": "messages", "render_all_tools": "true"}
        tree = (await caller.get(address, params=query)).json()
        branch = (await caller.get(address)).json()
        assert refusal(await caller.get(address, params={"rendering_mode": "raw"}))[0] == 400
    assert [message["content"][0]["text"] for message in tree["chat_messages"] if message["sender"] == "human"] == [
        "one",
        "two",
        "two, edited",
    ]
    assert [message["sender"] for message in branch["chat_messages"]] == ["human", "assistant"] * 2
    assert branch["current_leaf_message_uuid"] == branch["chat_messages"][-1]["uuid"] == kept.turns[-1].answer
    assert branch["chat_messages"][-1]["content"][-1]["text"] == "Because short waves scatter more."


async def test_an_answer_is_made_again(replicas: Replicas) -> None:
    conversation, first = await begin(replicas, "again", "one")
    question = first[1]["message"]["parent_uuid"]
    retry = await ask(replicas, "again", conversation, "", parent=question, operation="retry_completion")
    assert answer_id(retry) != answer_id(first)
    for prompt, parent in (("new", question), ("", answer_id(first)), ("", ROOT)):
        wrong = await post(replicas, "again", conversation, prompt, parent=parent, operation="retry_completion")
        assert refusal(wrong) == (400, "invalid_request_error")
    [kept] = (await replicas.seen("claude", "again")).conversations
    assert [(turn.prompt, turn.again) for turn in kept.turns] == [("one", False), ("one", True)]


async def test_recall_follows_the_branch(replicas: Replicas) -> None:
    await replicas.play("claude", "recall", Scenario(answer=Answer(echo=True, recall=True)))
    conversation, first = await begin(replicas, "recall", "one")
    await ask(replicas, "recall", conversation, "two", parent=answer_id(first))
    edited = await ask(replicas, "recall", conversation, "drei 三", parent=answer_id(first))
    assert text(edited) == "one\n\ndrei 三"


async def test_search_results_and_citation_marks(replicas: Replicas) -> None:
    pages = [Page(url="https://a.example/1", title="A", snippet="a"), Page(url="https://b.example/2", title="B")]
    pieces = [
        Piece(kind="search", text="sky colour", pages=pages),
        Piece(text="It is blue"),
        Piece(kind="cite", page=2),
        Piece(kind="cite", page=1),
        Piece(text="."),
        Piece(kind="cite", page=7),
    ]
    await replicas.play("claude", "searcher", Scenario(answer=Answer(pieces=pieces)))
    conversation, found = await begin(replicas, "searcher", tools=[WEB_SEARCH])
    blocks = [event["content_block"] for event in found if event["type"] == "content_block_start"]
    assert [block["type"] for block in blocks] == ["tool_use", "tool_result", "text"]
    assert (blocks[0]["name"], blocks[1]["tool_use_id"]) == ("web_search", blocks[0]["id"])
    assert json.loads("".join(deltas(found, "input_json_delta", "partial_json"))) == {"query": "sky colour"}
    assert deltas(found, "tool_use_block_update_delta", "message") == ["Searching the web"]
    assert [(page["title"], page["url"]) for page in blocks[1]["content"]] == [(p.title, p.url) for p in pages]
    marks = [event["delta"] for event in found if event["type"] == "content_block_delta" and event["index"] == 2]
    assert [mark.get("citation", mark).get("url", mark.get("text")) for mark in marks] == [
        "https://b.example/2",
        "https://a.example/1",
        "It is blue",
        "https://b.example/2",
        "https://a.example/1",
        ".",
    ]
    async with client(replicas, "searcher") as caller:
        kept = (await caller.get(f"{chats('searcher')}/{conversation}")).json()["chat_messages"][-1]["content"]
    assert kept[0]["input"] == {"query": "sky colour"}
    assert [(mark["url"], mark["end_index"]) for mark in kept[2]["citations"]] == [
        ("https://b.example/2", 10),
        ("https://a.example/1", 10),
    ]
    _, plain = await begin(replicas, "searcher")
    assert {block["content_block"]["type"] for block in plain if block["type"] == "content_block_start"} == {"text"}
    assert text(plain) == text(found) == "It is blue."
    seen = await replicas.seen("claude", "searcher")
    assert [each.turns[0].search for each in seen.conversations] == [True, False]


async def test_an_artifact_is_a_tools_input(replicas: Replicas) -> None:
    document = "# Sky\n\n" + "蓝 “blue” 🌌\n" * 30
    await replicas.play("claude", "maker", Scenario(options={"artifact": document}))
    _, found = await begin(replicas, "maker", tools=[ARTIFACTS])
    parts = deltas(found, "input_json_delta", "partial_json")
    assert len(parts) > 3
    assert json.loads("".join(parts))["content"] == document
    _, plain = await begin(replicas, "maker")
    assert deltas(plain, "input_json_delta", "partial_json") == []


async def test_a_megabyte_cut_anywhere_is_whole(replicas: Replicas) -> None:
    answer = Answer(chars=1_000_000, count=400, reasoning_chars=10_000, seed=4)
    await replicas.play("claude", "long", Scenario(answer=answer, cuts=11))
    _, found = await begin(replicas, "long", thinking_mode="auto", effort="high")
    assert text(found) == answer.text()
    assert "".join(deltas(found, "thinking_delta", "thinking")) == answer.reasoning()


@pytest.mark.parametrize(
    ("kind", "code", "last"),
    [
        ("error", "rate_limit_error", {"type": "rate_limit_error", "message": "too many"}),
        ("error", "internal", {"type": "api_error", "message": "too many"}),
        ("failed", "internal", {"type": "overloaded_error", "message": "Overloaded"}),
    ],
)
async def test_failures_inside_http_200(replicas: Replicas, kind: str, code: str, last: object) -> None:
    fault = Fault.model_validate({"kind": kind, "after": 1, "code": code, "message": "too many"})
    await replicas.play("claude", f"{kind}-{code}", Scenario(faults=[fault]))
    _, found = await begin(replicas, f"{kind}-{code}")
    assert found[-1] == {"type": "error", "error": last}
    assert "message_stop" not in {event["type"] for event in found}


async def test_a_used_up_window_inside_http_200(replicas: Replicas) -> None:
    fault = Fault(kind="error", code="exceeded_limit", resets_in_s=600)
    await replicas.play("claude", "spent", Scenario(faults=[fault]))
    _, found = await begin(replicas, "spent")
    limit = found[-1]["message_limit"]
    assert (limit["type"], limit["resetsAt"]) == ("exceeded_limit", limit["windows"]["5h"]["resets_at"])
    assert isinstance(limit["resetsAt"], int)


@pytest.mark.parametrize("after", [0, 4])
async def test_a_refusal_is_a_stop_reason(replicas: Replicas, after: int) -> None:
    await replicas.play("claude", f"refused-{after}", Scenario(faults=[Fault(kind="refusal", after=after)]))
    _, found = await begin(replicas, f"refused-{after}")
    assert [event["delta"]["stop_reason"] for event in found if event["type"] == "message_delta"] == ["refusal"]
    assert found[-1] == {"type": "message_stop"}
    assert text(found) == ("" if after == 0 else "Because short waves")


@pytest.mark.parametrize("resets_in_s", [None, 90])
async def test_a_429_holds_json_in_a_string(replicas: Replicas, resets_in_s: int | None) -> None:
    account = f"limited-{resets_in_s}"
    fault = Fault(kind="status", status=429, resets_in_s=resets_in_s, retry_after_s=9)
    await replicas.play("claude", account, Scenario(faults=[fault]))
    answer = await post(replicas, account, str(uuid4()), "hi", create_conversation_params=create_params())
    assert refusal(answer) == (429, "rate_limit_error")
    assert answer.headers["retry-after"] == "9"
    limit = json.loads(answer.json()["error"]["message"])
    assert limit["type"] == "exceeded_limit"
    header = answer.headers.get("anthropic-ratelimit-unified-reset")
    if resets_in_s is None:
        assert (limit["resetsAt"], header) == (None, None)
    else:
        assert abs(limit["resetsAt"] - int(header)) <= 1
    assert (await replicas.seen("claude", account)).conversations == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (500, "api_error"),
        (529, "overloaded_error"),
    ],
)
async def test_each_status_has_its_error(replicas: Replicas, status: int, kind: str) -> None:
    account = f"status-{status}"
    await replicas.play("claude", account, Scenario(faults=[Fault(kind="status", status=status)]))
    assert refusal(await post(replicas, account, str(uuid4()), "hi")) == (status, kind)


async def test_beats_of_a_stall_are_pings(replicas: Replicas) -> None:
    await replicas.play("claude", "beating", Scenario(faults=[Fault(kind="stall", after=0, heartbeat_ms=5)]))
    call = completion_call("beating", str(uuid4()), "hi", create_conversation_params=create_params())
    seen = b""
    async with client(replicas, "beating") as caller, caller.stream("POST", **call) as answer:
        async for data in answer.aiter_raw():
            seen += data
            if seen.count(b"event: ping") >= 4:
                break
    await replicas.records(account="beating", operation="chat", state="aborted", count=1)
    [kept] = (await replicas.seen("claude", "beating")).conversations
    assert kept.turns[0].stopped


async def test_an_answer_that_is_stopped_ends(replicas: Replicas) -> None:
    pieces = [Piece(text="one"), *[Piece(text=" more", after_ms=20) for _ in range(500)]]
    await replicas.play("claude", "stopper", Scenario(answer=Answer(pieces=pieces)))
    conversation = str(uuid4())
    call = completion_call("stopper", conversation, "hi", create_conversation_params=create_params())
    seen = b""
    async with client(replicas, "stopper") as caller, caller.stream("POST", **call) as answer:
        async for data in answer.aiter_raw():
            if b"one" not in seen and b"one" in seen + data:
                stopped = await caller.post(f"{chats('stopper')}/{conversation}/stop_response", json={})
                assert stopped.status_code == 200
            seen += data
    assert b"message_stop" not in seen
    assert len(seen) < 50_000
    [kept] = (await replicas.seen("claude", "stopper")).conversations
    assert kept.turns[0].stopped


async def test_models_and_plans(replicas: Replicas) -> None:
    await replicas.play("claude", "poor", Scenario(options={"plan": "free"}))
    query = {"statsig_hashing_algorithm": "djb2", "growthbook_format": "sdk"}
    found: dict[str, list[str]] = {}
    for account in ("poor", "subscriber"):
        async with client(replicas, account) as caller:
            address = f"/edge-api/bootstrap/{organization(account)}/app_start"
            started = (await caller.get(address, params=query)).json()
            assert refusal(await caller.get(address))[0] == 400
            [chatting] = [
                each for each in (await caller.get("/api/organizations")).json() if "chat" in each["capabilities"]
            ]
        assert chatting["uuid"] == organization(account)
        found[account] = chatting["capabilities"]
        models = started["claude_ai_bootstrap_models_config"]
        assert ("claude-opus-5-5" in {model["model"] for model in models}) == (account == "subscriber")
        assert started["account"]["memberships"][1]["organization"]["uuid"] == organization(account)
    assert found == {"poor": ["chat"], "subscriber": ["chat", "claude_pro"]}
    for account, model in (("poor", "claude-opus-5-5"), ("subscriber", "claude-2.1"), ("subscriber", "gpt-5")):
        params = create_params(model=model)
        answer = await post(replicas, account, str(uuid4()), "hi", create_conversation_params=params)
        assert refusal(answer) == (403, "permission_error")
        assert "not available" in answer.text
    await begin(replicas, "subscriber", model="claude-opus-5-5")
    await begin(replicas, "subscriber")
    seen = await replicas.seen("claude", "subscriber")
    assert [each.turns[0].model for each in seen.conversations] == ["claude-opus-5-5", "claude-sonnet-5-5"]


async def test_what_is_left_can_be_asked(replicas: Replicas) -> None:
    scenario = Scenario(options={"utilization": 0.9, "limit": "approaching_limit", "usage_times": "iso"})
    await replicas.play("claude", "user", scenario)
    async with client(replicas, "user") as caller:
        usage = (await caller.get(f"/api/organizations/{organization('user')}/usage")).json()
        other = await caller.get(f"/api/organizations/{api_organization('user')}/usage")
    assert refusal(other) == (403, "permission_error")
    assert usage["five_hour"]["utilization"] == usage["limits"][0]["percent"] == 90
    assert usage["five_hour"]["resets_at"].startswith("20")
    assert usage["limits"][2]["scope"]["model"]["display_name"] == "Opus"
    _, found = await begin(replicas, "user")
    limit = found[-2]["message_limit"]
    assert (limit["type"], limit["windows"]["5h"]["utilization"]) == ("approaching_limit", 0.9)


@pytest.mark.parametrize(
    ("login", "options", "expected"),
    [
        ("dead", {}, (401, "authentication_error")),
        ("dead", {"dead_status": 403}, (403, "permission_error")),
        ("guest", {}, (403, "permission_error")),
        ("banned", {}, (400, "invalid_request_error")),
    ],
)
async def test_logins_that_are_none(
    replicas: Replicas, login: str, options: dict[str, int], expected: tuple[int, str]
) -> None:
    account = f"{login}-{len(options)}"
    await replicas.play("claude", account, Scenario.model_validate({"login": login, "options": options}))
    async with client(replicas, account) as caller:
        for path in ("/api/organizations", "/api/account", f"/api/organizations/{organization(account)}/usage"):
            answer = await caller.get(path)
            assert refusal(answer) == expected
        assert (await caller.get("/api/bootstrap")).json() == {"account": None}
    if login == "banned":
        assert answer.json()["error"]["message"] == "This organization has been disabled."


async def test_the_cookie_slides(replicas: Replicas) -> None:
    async with client(replicas, "slider", cookies=cookies("slider", 900)) as caller:
        assert "set-cookie" not in (await caller.get("/api/account")).headers
    async with client(replicas, "slider", cookies=cookies("slider", 30)) as caller:
        [cookie] = (await caller.get("/api/organizations")).headers.get_list("set-cookie")
        assert "; HttpOnly; Secure" in cookie
    fresh = read(cookie.partition(";")[0].removeprefix("sessionKey="))
    assert fresh is not None
    old = read(cookies("slider", 30)["sessionKey"])
    assert old is not None
    assert fresh.exp > old.exp


@pytest.mark.parametrize("options", [{}, {"challenge_status": 403}])
async def test_a_challenge_is_html(replicas: Replicas, options: dict[str, int]) -> None:
    account = f"challenged-{len(options)}"
    await replicas.play("claude", account, Scenario.model_validate({"challenge": True, "options": options}))
    async with client(replicas, account) as caller:
        page = await caller.get("/new")
        answer = await caller.get("/api/organizations")
        followed = await caller.get("/api/organizations", follow_redirects=True)
    assert answer.status_code == options.get("challenge_status", 302)
    for each in (page, answer, followed):
        assert each.headers["cf-mitigated"] == "challenge"
        assert each.headers["content-type"].startswith("text/html")
    assert page.status_code == followed.status_code == 403
    assert "Just a moment" in page.text
    assert page.text == followed.text


async def test_a_challenge_later_on(replicas: Replicas) -> None:
    await replicas.play("claude", "later", Scenario(faults=[Fault(kind="challenge", times=1)]))
    async with client(replicas, "later") as caller:
        call = completion_call("later", str(uuid4()), "hi", create_conversation_params=create_params())
        walled = await caller.post(**call)
        assert (walled.status_code, walled.headers["cf-mitigated"]) == (302, "challenge")
        assert (await caller.get(walled.headers["location"])).status_code == 403
        assert (await caller.get("/new")).status_code == 200
        assert (await caller.post(**call)).status_code == 200


async def test_files_go_to_their_conversation(replicas: Replicas) -> None:
    data = "笔记".encode()
    digest = hashlib.sha256(data).hexdigest()
    conversation, account = str(uuid4()), "uploader"
    prefix = f"/api/organizations/{organization(account)}/conversations"
    files = {"file": ("notes.txt", data, "text/plain")}
    async with replicas.client(HOST) as nobody:
        assert (await nobody.post(f"{prefix}/{conversation}/wiggle/upload-file", files=files)).status_code == 403
    async with client(replicas, account) as caller:
        address = f"{prefix}/{conversation}/wiggle/upload-file"
        stored = (await caller.post(address, files=files)).json()
        assert (stored["success"], stored["size_bytes"], stored["file_kind"]) == (True, len(data), "document")
        picture = (await caller.post(address, files={"file": ("a.png", b"\x89PNG", "image/png")})).json()
        assert (await caller.get(picture["preview_url"])).content == b"\x89PNG"
        wrong = await caller.post(address, files={"upload": ("notes.txt", data, "text/plain")})
        assert refusal(wrong)[0] == 400
        assert (await caller.post(address, content=b"notes")).status_code == 400
        download = f"{prefix}/{conversation}/wiggle/download-file"
        assert (await caller.get(download, params={"path": stored["path"]})).content == data
        assert refusal(await caller.get(download, params={"path": "/etc/passwd"}))[0] == 404
    uuids = [stored["file_uuid"], picture["file_uuid"]]
    elsewhere = await post(
        replicas, account, str(uuid4()), "hi", files=uuids, create_conversation_params=create_params()
    )
    assert refusal(elsewhere) == (400, "invalid_request_error")
    await ask(replicas, account, conversation, "read", files=uuids, create_conversation_params=create_params())
    seen = await replicas.seen("claude", account)
    assert seen.conversations[0].turns[0].files == [digest, hashlib.sha256(b"\x89PNG").hexdigest()]
    assert [file.name for file in seen.files] == ["notes.txt", "a.png"]
    async with client(replicas, account) as caller:
        kept = (await caller.get(f"{chats(account)}/{conversation}")).json()
        assert kept["chat_messages"][0]["files_v2"][0]["file_uuid"] == stored["file_uuid"]


async def test_too_many_and_too_large_files(replicas: Replicas) -> None:
    account, conversation = "hoarder", str(uuid4())
    address = f"/api/organizations/{organization(account)}/conversations/{conversation}/wiggle/upload-file"
    async with client(replicas, account) as caller:
        uuids = [
            (await caller.post(address, files={"file": (f"{n}.txt", b"x", "text/plain")})).json()["file_uuid"]
            for n in range(21)
        ]
        large = {"file": ("large.bin", bytes(30 * 1024 * 1024 + 1), "application/octet-stream")}
        assert refusal(await caller.post(address, files=large))[0] == 413
    params = create_params()
    answer = await post(replicas, account, conversation, "hi", files=uuids, create_conversation_params=params)
    assert refusal(answer)[0] == 400
    assert (await replicas.seen("claude", account)).conversations == []


async def test_text_goes_inline(replicas: Replicas) -> None:
    account = "inline"
    async with client(replicas, account) as caller:
        older = f"/api/{organization(account)}"
        files = {"file": ("notes.md", "# 笔记".encode(), "text/markdown")}
        attachment = (await caller.post(f"{older}/convert_document", files=files)).json()
        assert attachment["extracted_content"] == "# 笔记"
        unreadable = {"file": ("a.bin", b"\xff\xfe\xfd", "application/octet-stream")}
        assert refusal(await caller.post(f"{older}/convert_document", files=unreadable))[0] == 400
        stored = (await caller.post(f"{older}/upload", files=files)).json()
    paste = {"file_name": "paste.txt", "file_type": "txt", "file_size": 4, "extracted_content": "long"}
    await replicas.play("claude", account, Scenario(answer=Answer(echo=True)))
    _, found = await begin(replicas, account, "", attachments=[attachment, paste], files=[stored["file_uuid"]])
    assert text(found) == "long", "a long paste is what the user said"
    [kept] = (await replicas.seen("claude", account)).conversations
    digest = hashlib.sha256("# 笔记".encode()).hexdigest()
    assert (kept.turns[0].prompt, kept.turns[0].files) == ("long", [digest, digest])


async def test_deletion(replicas: Replicas) -> None:
    account = "cleaner"
    [one, two, three] = [await begin(replicas, account) for _ in range(3)]
    async with client(replicas, account) as caller:
        assert (await caller.delete(f"{chats(account)}/{one[0]}")).status_code == 204
        for method in ("DELETE", "GET"):
            assert refusal(await caller.request(method, f"{chats(account)}/{one[0]}")) == (404, "not_found_error")
        named = {"conversation_uuids": [one[0], two[0]]}
        assert (await caller.post(f"{chats(account)}/delete_many", json=named)).json() == {"deleted": [two[0]]}
        title = {"message_content": "hi there", "recent_titles": []}
        named_now = await caller.post(f"{chats(account)}/{three[0]}/title", json=title)
        assert named_now.status_code == 202
        assert (await caller.get(f"{chats(account)}/{three[0]}")).json()["name"] == "hi there"
    gone = await post(replicas, account, one[0], "more", parent=answer_id(one[1]))
    assert refusal(gone) == (404, "not_found_error")
    revived = await post(replicas, account, one[0], "hi", create_conversation_params=create_params())
    assert refusal(revived)[0] == 400
    seen = await replicas.seen("claude", account)
    assert [each.deleted for each in seen.conversations] == [True, True, False]


async def test_projects(replicas: Replicas) -> None:
    project = str(uuid4())
    await begin(replicas, "planner")
    params = create_params(project_uuid=project)
    await ask(replicas, "planner", str(uuid4()), "hi", create_conversation_params=params)
    seen = await replicas.seen("claude", "planner")
    assert [each.turns[0].agent for each in seen.conversations] == ["", project]


async def test_the_old_name_redirects(replicas: Replicas) -> None:
    async with replicas.client("www.claude.ai") as caller:
        answer = await caller.get("/new")
    assert (answer.status_code, answer.headers["location"]) == (301, f"{HOME}/new")


@pytest.mark.parametrize("options", [{"stop_reason": "max_tokens"}, {"conversation_ready": False}])
async def test_variants_of_an_answer(replicas: Replicas, options: dict[str, Any]) -> None:
    account = next(iter(options))
    await replicas.play("claude", account, Scenario(options=options))
    _, found = await begin(replicas, account)
    [ended] = [event["delta"]["stop_reason"] for event in found if event["type"] == "message_delta"]
    assert ended == options.get("stop_reason", "end_turn")
    assert (found[0]["type"] == "conversation_ready") == options.get("conversation_ready", True)
