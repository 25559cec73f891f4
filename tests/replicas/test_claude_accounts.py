"""The Claude replica's accounts: logins, plans, windows that limit, and the challenge."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from tests.replicas import Fault, Replicas, Scenario
from tests.replicas.claude import HOME, organization, session_key
from tests.replicas.claude.asking import begin, client, post, refusal
from tests.replicas.claude.calls import (
    completion_call,
    cookies,
    create_params,
)
from tests.replicas.claude.sessions import api_organization, read

HOST = "claude.ai"


@pytest.mark.parametrize(
    ("key", "status", "kind"),
    [
        (None, 403, "permission_error"),
        ("sk-ant-sid01-abc", 401, "authentication_error"),
        (session_key("c-strict", -1), 401, "authentication_error"),
        (session_key("c-strict") + "x", 401, "authentication_error"),
        (session_key("other"), 403, "permission_error"),
    ],
)
async def test_each_wrong_login_is_refused(replicas: Replicas, key: str | None, status: int, kind: str) -> None:
    async with replicas.client(HOST, cookies={"sessionKey": key} if key else {}) as caller:
        answer = await caller.post(**completion_call("c-strict", str(uuid4()), "hi"))
    assert refusal(answer) == (status, kind)


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
    async with client(replicas, "c-slider", cookies=cookies("c-slider", 900)) as caller:
        assert "set-cookie" not in (await caller.get("/api/account")).headers
    async with client(replicas, "c-slider", cookies=cookies("c-slider", 30)) as caller:
        [cookie] = (await caller.get("/api/organizations")).headers.get_list("set-cookie")
        assert "; HttpOnly; Secure" in cookie
    fresh = read(cookie.partition(";")[0].removeprefix("sessionKey="))
    assert fresh is not None
    old = read(cookies("c-slider", 30)["sessionKey"])
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
    await replicas.play("claude", "c-later", Scenario(faults=[Fault(kind="challenge", times=1)]))
    async with client(replicas, "c-later") as caller:
        call = completion_call("c-later", str(uuid4()), "hi", create_conversation_params=create_params())
        walled = await caller.post(**call)
        assert (walled.status_code, walled.headers["cf-mitigated"]) == (302, "challenge")
        assert (await caller.get(walled.headers["location"])).status_code == 403
        assert (await caller.get("/new")).status_code == 200
        assert (await caller.post(**call)).status_code == 200


async def test_the_old_name_redirects(replicas: Replicas) -> None:
    async with replicas.client("www.claude.ai") as caller:
        answer = await caller.get("/new")
    assert (answer.status_code, answer.headers["location"]) == (301, f"{HOME}/new")
