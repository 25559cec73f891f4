"""What Claude is asked, and what its answers beside the stream mean (fact sheet sections 2 to 4, 7 and 9)."""

from __future__ import annotations

import json
import re
import time
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from relay.browser.answer import Answer
from relay.browser.tab import Response
from relay.browser.traffic import glob
from relay.chat.events import Quota
from relay.chat.request import Conversation, FileRef, Turn
from relay.errors import (
    AccountBanned,
    BadRequest,
    ChallengeNeeded,
    ConversationNotFound,
    LoginNeeded,
    RateLimited,
    RelayError,
    SiteChanged,
    SiteUnavailable,
    TooLarge,
    UnknownModel,
)
from relay.sites.base import SiteConfig
from relay.sites.claude.errors import site_error
from relay.sites.claude.limits import LONGEST_S, Usage
from relay.sites.claude.messages import (
    MODELS,
    Organization,
    Organizations,
    Uploaded,
    chosen,
    model_spec,
    models_in,
    parsed,
)
from relay.sites.claude.messages import Conversation as Told
from relay.sites.claude.requests import FIRST_PARENT, WEB_SEARCH, Visit, completion_body, create_body
from relay.sites.claude.site import DEFAULT, Claude

VISIT = Visit("o-1", "Europe/Berlin", "en-US", "d-1")
PROJECT = "01234567-89ab-4cde-8f01-23456789abcd"
JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html; charset=UTF-8"}
MOMENT = "<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>"


def said(kind: str, message: str) -> str:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}})


# requests


def test_where_calls_go() -> None:
    assert VISIT.chat("c-1") == "/api/organizations/o-1/chat_conversations/c-1"
    assert VISIT.chat("../a b?c") == "/api/organizations/o-1/chat_conversations/..%2Fa%20b%3Fc"
    assert VISIT.upload("c-1") == "/api/organizations/o-1/conversations/c-1/wiggle/upload-file"
    assert VISIT.older_upload == "/api/o-1/upload"
    assert VISIT.headers == {"anthropic-client-platform": "web_claude_ai", "anthropic-device-id": "d-1"}
    assert Visit("o-1", "UTC", "de").headers == {"anthropic-client-platform": "web_claude_ai"}


def test_the_first_turn_makes_its_conversation() -> None:
    body = completion_body(Turn("hi", ""), VISIT, "", creates=True)
    turn = body.pop("turn_message_uuids")
    assert isinstance(turn, dict)
    assert {UUID(turn[name]).version for name in ("human_message_uuid", "assistant_message_uuid")} == {4}
    assert body == {
        "prompt": "hi",
        "parent_message_uuid": FIRST_PARENT,
        "timezone": "Europe/Berlin",
        "locale": "en-US",
        "rendering_mode": "messages",
        "attachments": [],
        "files": [],
        "sync_sources": [],
        "tools": [],
        "thinking_mode": "off",
        "create_conversation_params": {
            "name": "",
            "include_conversation_preferences": True,
            "paprika_mode": None,
            "is_temporary": False,
            "compass_mode": None,
            "enabled_imagine": False,
            "tool_search_mode": "auto",
        },
    }


def test_what_a_turn_asks_for() -> None:
    turn = Turn("hi", "claude-sonnet-5", thinking=True, search=True)
    body = completion_body(turn, VISIT, "", [FileRef("f-1", "a.txt", "text/plain", 3)], creates=True, temporary=True)
    assert (body["model"], body["thinking_mode"], body["tools"]) == ("claude-sonnet-5", "extended", [WEB_SEARCH])
    assert body["files"] == ["f-1"]
    made = body["create_conversation_params"]
    assert isinstance(made, dict)
    assert (made["model"], made["paprika_mode"], made["is_temporary"]) == ("claude-sonnet-5", "extended", True)


def test_a_next_turn_makes_no_conversation_again() -> None:
    body = completion_body(Turn("hi", "", conversation=Conversation("c-1", "m-1")), VISIT, "m-1", creates=False)
    assert "create_conversation_params" not in body
    assert body["parent_message_uuid"] == "m-1"
    again = completion_body(Turn("hi", ""), VISIT, "m-1", creates=False)
    assert body["turn_message_uuids"] != again["turn_message_uuids"], "each message has an id of its own"


def test_a_conversation_by_itself() -> None:
    assert create_body("c-1", Turn("hi", "claude-sonnet-5", agent=PROJECT), temporary=False) == {
        "uuid": "c-1",
        "name": "",
        "model": "claude-sonnet-5",
        "include_conversation_preferences": True,
        "paprika_mode": None,
        "is_temporary": False,
        "project_uuid": PROJECT,
    }
    assert not {"model", "project_uuid"} & create_body("c-1", Turn("hi", ""), temporary=True).keys()


@given(st.text())
def test_any_prompt_is_sent_as_it_is(prompt: str) -> None:
    body = json.dumps(completion_body(Turn(prompt, ""), VISIT, "", creates=True))
    assert json.loads(body.encode())["prompt"] == prompt


# the site's facts


def test_models_and_their_names() -> None:
    default, *named = Claude.models
    assert default is DEFAULT and default.key == ""
    assert len({name for spec in named for name in (spec.key, *spec.aliases)}) == len(named) + 2
    assert model_spec("claude-haiku-4-5-20251001").aliases == ("claude-haiku-4-5",)
    assert model_spec("claude-sonnet-5-5").aliases == ()


def test_what_names_a_project() -> None:
    assert re.fullmatch(Claude.capabilities.agents, PROJECT)
    assert not any(re.fullmatch(Claude.capabilities.agents, spec.key) for spec in Claude.models)


@pytest.mark.parametrize(
    ("address", "watched"),
    [
        (f"https://claude.ai{VISIT.chat('c-1')}/completion", True),
        (f"https://claude.ai{VISIT.chat('c-1')}/completion?rendering_mode=messages", True),
        (f"https://claude.ai{VISIT.chat('c-1')}/title", False),
        (f"https://claude.ai{VISIT.chat('c-1')}/retry_completion", False),
        ("https://claude.ai/x?next=/completion", False),
    ],
)
def test_which_of_the_pages_requests_carries_the_answer(address: str, watched: bool) -> None:
    recipe = Claude.screen
    assert recipe is not None
    assert isinstance(recipe.answer, str)
    assert isinstance(recipe.upload, str)
    assert bool(glob(recipe.answer).match(address)) == watched
    assert glob(recipe.upload).match(f"https://claude.ai{VISIT.upload('c-1')}")


async def test_what_the_page_cannot_be_set_to_is_refused() -> None:
    site = Claude(SiteConfig())
    for turn in (Turn("hi", "", thinking=True), Turn("hi", "", search=True), Turn("hi", "", agent=PROJECT)):
        with pytest.raises(BadRequest, match="cannot choose"):
            site._refuse_unchosen(turn)
    site._refuse_unchosen(Turn("hi", "claude-sonnet-5"))


# what it answers


def response(body: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(status, JSON if headers is None else headers, "https://claude.ai/api/x", body.encode())


ORGS = [
    {"uuid": "o-api", "name": "API", "capabilities": ["api"]},
    {"uuid": "o-1", "name": "Ann's", "capabilities": ["chat", "claude_pro"], "rate_limit_tier": "x"},
    {"uuid": "o-2", "capabilities": ["raven", "chat"]},
]


def test_whose_chats() -> None:
    found = parsed(Organizations, response(json.dumps(ORGS))).root
    assert [one.label for one in found] == ["API (free)", "Ann's (Pro)", "Team"]
    for preferred, uuid in (("", "o-1"), ("o-2", "o-2"), ("o-api", "o-1"), ("gone", "o-1")):
        one = chosen(found, preferred)
        assert one is not None and one.uuid == uuid
    assert chosen(found[:1], "o-api") is None
    assert chosen([], "") is None
    assert Organization.model_validate({"uuid": "o", "capabilities": ["claude_max"]}).label == "Max"


@pytest.mark.parametrize("body", ["", "{}", "[{}]", '[{"uuid": ""}]', '{"type":"error"}', "[" * 100_000, "\x00"])
def test_what_is_not_as_it_was_is_said(body: str) -> None:
    with pytest.raises(SiteChanged) as caught:
        parsed(Organizations, response(body))
    assert caught.value.refused, "no prompt was sent yet"
    with pytest.raises(SiteChanged):
        parsed(Uploaded, response(body))


def test_the_message_to_go_on_from() -> None:
    messages = [{"uuid": "m-1", "sender": "human"}, {"uuid": "m-2", "sender": "assistant"}]
    assert parsed(Told, response(json.dumps({"chat_messages": messages}))).leaf == "m-2"
    told = {"chat_messages": messages, "current_leaf_message_uuid": "m-9", "name": ""}
    assert parsed(Told, response(json.dumps(told))).leaf == "m-9"
    assert parsed(Told, response('{"chat_messages": []}')).leaf == ""


OFFERED = [
    {"model": "claude-sonnet-5-5", "name": "Sonnet 5.5", "thinking_modes": ["extended", "auto", "off"]},
    {"model": "claude-haiku-4-5-20251001", "name": "Haiku 4.5", "thinking_modes": ["off"], "capabilities": {}},
    {"model": "claude-opus-4-6", "name": None, "paprika_modes": ["extended"], "overflow": True},
    {"model": "claude-2", "name": "Claude 2", "inactive": True},
]


@pytest.mark.parametrize(
    "wrapped", [OFFERED, {"value": OFFERED}, {"defaultValue": OFFERED, "rules": 3}], ids=["bare", "value", "flag"]
)
def test_models_wherever_the_bootstrap_has_them(wrapped: Any) -> None:
    bootstrap = {"account": {"memberships": []}, "org": [{"features": {MODELS: wrapped}}]}
    specs = [model.spec for model in models_in(bootstrap)]
    assert [(spec.key, spec.name, spec.thinking) for spec in specs] == [
        ("claude-sonnet-5-5", "Sonnet 5.5", True),
        ("claude-haiku-4-5-20251001", "Haiku 4.5", False),
        ("claude-opus-4-6", "", True),
    ]


@pytest.mark.parametrize("bootstrap", [None, {}, [], {MODELS: None}, {MODELS: {}}, {MODELS: [3]}, {MODELS: [{}]}])
def test_a_bootstrap_without_models(bootstrap: Any) -> None:
    with pytest.raises(SiteChanged):
        models_in(bootstrap)


def quotas(usage: dict[str, Any]) -> list[Quota]:
    return list(parsed(Usage, response(json.dumps(usage))).quotas())


def test_how_far_limits_are_used_up() -> None:
    iso, unix = "2026-11-01T12:00:00Z", 1793534400.0
    newer = [
        {"kind": "session", "percent": 12, "resets_at": unix},
        {"kind": "weekly_all", "percent": 3.5, "resets_at": iso},
        {"kind": "weekly_scoped", "percent": 100, "resets_at": None, "scope": {"model": {"display_name": "Opus"}}},
        {"kind": "brand_new", "percent": None},
    ]
    expected = [Quota("5h", 0.12, unix), Quota("7d", 0.035, unix), Quota("7d Opus", 1.0), Quota("brand_new")]
    assert quotas({"limits": newer, "five_hour": {"utilization": 99}}) == expected
    older = {"five_hour": {"utilization": 12.0, "resets_at": iso}, "seven_day": {"utilization": 1, "resets_at": unix},
             "seven_day_opus": None, "extra_usage": {"is_enabled": False}}  # fmt: skip
    assert quotas(older) == [Quota("5h", 0.12, unix), Quota("7d", 0.01, unix)]
    parts = {"five_hour": {"utilization": 0.12, "resets_at": None}, "seven_day_opus": {"utilization": 1}}
    assert quotas(parts) == [Quota("5h", 0.12), Quota("7d opus", 1.0)]
    assert quotas({}) == []
    for wrong in ({"five_hour": {"utilization": "much"}}, {"five_hour": {"utilization": 1, "resets_at": "soon"}}):
        with pytest.raises(ValidationError):
            quotas(wrong)


# refusals


ROWS: list[tuple[int, dict[str, str], str, type[RelayError]]] = [
    (429, JSON, said("rate_limit_error", json.dumps({"type": "exceeded_limit", "resetsAt": 1})), RateLimited),
    (401, JSON, said("authentication_error", "no"), LoginNeeded),
    (403, JSON, said("permission_error", "Invalid authorization"), LoginNeeded),
    (403, JSON, said("permission_error", "no"), LoginNeeded),
    (400, JSON, said("invalid_request_error", "This organization has been disabled."), AccountBanned),
    (403, JSON, said("permission_error", "This model is not available on your plan"), UnknownModel),
    (403, JSON, said("model_not_available", "claude-opus-5-5"), UnknownModel),
    (0, {}, "", ChallengeNeeded),
    (302, {"location": "/cdn-cgi/challenge"}, "", ChallengeNeeded),
    (403, HTML, MOMENT, ChallengeNeeded),
    (403, HTML | {"cf-mitigated": "challenge"}, "", ChallengeNeeded),
    (503, JSON | {"cf-mitigated": "challenge"}, "", ChallengeNeeded),
    (200, HTML, "<html>", ChallengeNeeded),
    (401, HTML, "<html>", ChallengeNeeded),
    (503, HTML, MOMENT, ChallengeNeeded),
    (502, HTML, "<html><h1>Bad gateway</h1>", SiteUnavailable),
    (529, JSON, said("overloaded_error", "Overloaded"), SiteUnavailable),
    (500, JSON, "", SiteUnavailable),
    (400, JSON, said("invalid_request_error", "create_conversation_params"), SiteChanged),
    (413, JSON, said("request_too_large", "Too large"), TooLarge),
    (404, JSON, said("not_found_error", "no"), SiteChanged),
    (418, JSON, "\udcff", SiteChanged),
]


@pytest.mark.parametrize(("status", "headers", "body", "error"), ROWS)
async def test_every_refusal(status: int, headers: dict[str, str], body: str, error: type[RelayError]) -> None:
    answer = Answer(status, headers, f"https://claude.ai{VISIT.chat('c-1')}/completion")
    answer.push(body.encode("utf-8", "replace"))
    answer.finish()
    with pytest.raises(error) as caught:
        await Claude().accepted(answer)
    assert type(caught.value) is error
    not_taken = error not in (SiteUnavailable, SiteChanged)  # of the others nobody knows
    assert caught.value.refused == not_taken
    probed = site_error(status, headers, body, refused=False)
    assert type(probed) is error and not probed.refused


async def test_a_stream_is_no_refusal() -> None:
    await Claude().accepted(Answer(200, {"Content-Type": "text/event-stream; charset=utf-8"}, "https://claude.ai/x"))
    other = Answer(200, JSON, "https://claude.ai/x")
    other.finish()
    with pytest.raises(SiteChanged, match="text/event-stream"):
        await Claude().accepted(other)


def test_which_dead_logins_another_driver_may_try() -> None:
    known = site_error(403, JSON, said("permission_error", "Invalid authorization"), refused=True)
    other = site_error(403, JSON, said("permission_error", "no"), refused=True)
    assert isinstance(known, LoginNeeded) and known.renewable
    assert isinstance(other, LoginNeeded) and not other.renewable, "only this call may be forbidden"


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [(400, "invalid_request_error", ConversationNotFound), (404, "not_found_error", ConversationNotFound),
     (400, "other_error", SiteChanged), (529, "overloaded_error", SiteUnavailable)],
)  # fmt: skip
def test_a_conversation_that_cannot_go_on(status: int, kind: str, error: type[RelayError]) -> None:
    assert type(site_error(status, JSON, said(kind, "bad parent"), refused=True, continues=True)) is error


@pytest.mark.parametrize(
    ("told", "headers", "after_s"),
    [
        ({"type": "exceeded_limit", "resetsAt": 7200}, {}, 7200),
        ({"type": "exceeded_limit", "resetsAt": -5}, {}, 1),
        ({"type": "exceeded_limit", "resetsAt": 1e300}, {}, LONGEST_S),
        ({"type": "exceeded_limit", "resetsAt": None}, {"anthropic-ratelimit-unified-reset": 60}, 60),
        ({"type": "exceeded_limit", "windows": {"7d": {"utilization": 1.0, "resets_at": 600}}}, {}, 600),
        ({"type": "exceeded_limit", "resetsAt": None}, {"retry-after": "30"}, 30),
        ({"type": "exceeded_limit"}, {"retry-after": "Wed, 21 Oct"}, None),
        ("slow down", {"anthropic-ratelimit-unified-reset": 60, "retry-after": "5"}, 60),
        ("slow down", {}, None),
        ([], {}, None),
    ],
)
def test_when_a_limit_opens(told: Any, headers: dict[str, Any], after_s: float | None) -> None:
    now = time.time()
    if isinstance(told, dict):
        told = {**told}
        if isinstance(told.get("resetsAt"), int):
            told["resetsAt"] += now
        for window in told.get("windows", {}).values():
            window["resets_at"] += now
    message = told if isinstance(told, str) else json.dumps(told)
    at = {name: str(int(now) + value) if isinstance(value, int) else value for name, value in headers.items()}
    error = site_error(429, JSON | at, said("rate_limit_error", message), refused=True)
    assert isinstance(error, RateLimited)
    assert error.retry_after_s == (None if after_s is None else pytest.approx(after_s, abs=5))


HEADERS = st.dictionaries(st.sampled_from(["content-type", "cf-mitigated", "retry-after"]), st.text())


@given(st.integers(0, 599), HEADERS, st.text() | st.text().map(lambda text: said("rate_limit_error", text)))
def test_any_refusal_is_one_of_our_errors(status: int, headers: dict[str, str], body: str) -> None:
    error = site_error(status, headers, body, refused=True)
    assert (error is None) == (0 < status < 300) or isinstance(error, ChallengeNeeded)
