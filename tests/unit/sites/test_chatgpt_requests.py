"""What ChatGPT is asked, how a token becomes a login, what its refusals mean (fact sheet sections 2, 3, 8 to 10)."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.browser.chromium import Context, State
from relay.browser.traffic import Exchange, Traffic, glob
from relay.chat.request import Turn
from relay.errors import (
    AccountBanned,
    BadRequest,
    ChallengeNeeded,
    ContextTooLong,
    LoginNeeded,
    RateLimited,
    RelayError,
    SiteChanged,
    SiteError,
    SiteUnavailable,
)
from relay.sites.base import SiteConfig
from relay.sites.chatgpt.faults import challenged, refusal, stream_error
from relay.sites.chatgpt.marks import Marks, Told, link
from relay.sites.chatgpt.models import Model, specs_of, thinks, to_pick
from relay.sites.chatgpt.page import SEND, sending
from relay.sites.chatgpt.requests import login_state, picture_address, picture_addresses
from relay.sites.chatgpt.site import UPLOADED, ChatGpt

TOKEN = "__Secure-next-auth.session-token"
HTML, PLAIN = {"content-type": "text/html; charset=UTF-8"}, {"content-type": "application/json"}
OFFERED = [
    Model(slug=slug, title=slug.upper()) for slug in ("auto", "gpt-5-6-thinking", "gpt-5-3", "gpt-5-3-thinking", "o3")
]


class Shelf(Context):
    """What `adopt` puts into a context."""

    def __init__(self) -> None:
        self.put: list[State] = []

    async def set_state(self, state: State) -> None:
        self.put.append(state)


# login


async def test_a_token_is_a_cookie() -> None:
    shelf = Shelf()
    await ChatGpt().adopt(shelf, "eyJhbGci..a.b.c")
    (cookie,) = shelf.put[0]["cookies"]
    assert (cookie["name"], cookie["value"], cookie["domain"]) == (TOKEN, "eyJhbGci..a.b.c", ".chatgpt.com")
    assert cookie["httpOnly"]
    assert cookie["secure"], "a cookie named __Secure- must be"


@given(st.integers(3900, 12_000))
def test_a_long_token_is_cut_over_several_cookies(length: int) -> None:
    token = ("eyJ" + "0123456789" * 1200)[:length]
    cookies = login_state(token, "https://chatgpt.com/")["cookies"]
    assert "".join(cookie["value"] for cookie in cookies) == token
    if len(cookies) > 1:
        assert [cookie["name"] for cookie in cookies] == [f"{TOKEN}.{number}" for number in range(len(cookies))]
    assert all(len(cookie["name"]) + len(cookie["value"]) <= 4096 for cookie in cookies)


# models


@pytest.mark.parametrize(
    ("model", "thinking", "picked"),
    [
        ("gpt-5-3", False, "gpt-5-3"),
        ("gpt-5-3", True, "gpt-5-3-thinking"),
        ("auto", False, "auto"),
        ("", True, "gpt-5-6-thinking"),
        ("auto", True, "gpt-5-6-thinking"),
        ("gpt-5-6-thinking", True, "gpt-5-6-thinking"),
        ("o3", True, "o3"),
    ],
)
def test_the_model_to_pick(model: str, thinking: bool, picked: str) -> None:
    assert to_pick(Turn("hi", model, thinking=thinking), OFFERED).slug == picked


@pytest.mark.parametrize(
    ("turn", "offered"),
    [
        (Turn("hi", "gpt-4o"), OFFERED),
        (Turn("hi", "auto", thinking=True), OFFERED[:1]),
        (Turn("hi", "gpt-5-3", thinking=True), OFFERED[:3]),
        (Turn("hi", "gpt-5-3"), []),
    ],
)
def test_a_model_that_is_not_offered(turn: Turn, offered: list[Model]) -> None:
    with pytest.raises(BadRequest, match="offers this account not"):
        to_pick(turn, offered)


def test_which_models_think() -> None:
    assert [slug for slug in ("o1", "o4-mini-high", "gpt-5-6-thinking", "gpt-5", "gpt-4o", "omni") if thinks(slug)] == [
        "o1",
        "o4-mini-high",
        "gpt-5-6-thinking",
    ]


def test_what_an_account_is_offered() -> None:
    specs = specs_of([*OFFERED, Model(slug="new-one", title="New")])
    assert [spec.key for spec in specs] == [*(model.slug for model in OFFERED), "new-one"]
    by_key = {spec.key: spec for spec in specs}
    assert {key for key, spec in by_key.items() if spec.thinking} == set(by_key) - {"new-one"}
    assert {key for key, spec in by_key.items() if spec.always_thinks} == {"gpt-5-6-thinking", "gpt-5-3-thinking", "o3"}
    assert (by_key["auto"].default, by_key["gpt-5-3"].aliases, by_key["new-one"].name) == (True, ("gpt-5.3",), "New")
    (alone,) = specs_of([])
    assert (alone.key, alone.thinking) == ("auto", False)


def test_the_models_names() -> None:
    models = ChatGpt.models
    assert [spec.key for spec in models if spec.default] == ["auto"]
    names = [name for spec in models for name in (spec.key, *spec.aliases)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("name", "agent"),
    [
        ("g-2fkFE8rbu", True),
        ("g-2fkFE8rbu-dall-e", True),
        ("g-p-67a1b2c3d4", True),
        ("g-2fkFE8rbu-search", False),  # a suffix of ours
        ("g-2fkFE8rbu-think", False),
        ("gpt-5-3", False),
        ("g-../../me", False),
        ("g-", False),
    ],
)
def test_ids_of_gpts(name: str, agent: bool) -> None:
    assert (re.fullmatch(ChatGpt.capabilities.agents, name) is not None) is agent


# temporary chats


def test_a_temporary_chat_is_not_continued() -> None:
    assert ChatGpt().continues("screen")
    assert not ChatGpt().continues("dom")
    assert not ChatGpt(SiteConfig(options={"temporary": True})).continues("screen")
    assert ChatGpt(SiteConfig(options={"temporary": "yes"})).continues("screen"), "only true is true"


# addresses


@pytest.mark.parametrize(
    ("url", "watched", "sends"),
    [
        ("https://chatgpt.com/backend-api/f/conversation", True, True),
        ("https://chatgpt.com/backend-api/conversation", True, True),
        ("https://chatgpt.com/backend-anon/f/conversation", True, True),
        ("https://chatgpt.com/backend-api/f/conversation/resume", True, False),
        ("https://chatgpt.com/backend-api/f/conversation/prepare", True, False),
        ("https://chatgpt.com/backend-api/sentinel/chat-requirements/prepare", True, False),
        ("https://chatgpt.com/backend-api/sentinel/chat-requirements", True, False),
        ("https://chatgpt.com/backend-api/conversation/6e0c", True, False),
        ("https://chatgpt.com/backend-api/conversations?offset=0&limit=28", False, False),
        ("wss://ws.chatgpt.com/p4/ws/user/u?verify=1", True, False),
    ],
)
def test_what_is_watched(url: str, watched: bool, sends: bool) -> None:
    screen = ChatGpt.screen
    assert screen is not None
    assert isinstance(screen.answer, tuple)
    assert any(glob(pattern).match(url) for pattern in screen.answer) is watched
    assert (SEND.search(url) is not None) is sends


API = "https://chatgpt.com/backend-api"
TOKEN_CALL = f"{API}/sentinel/chat-requirements/prepare"


async def sent(*calls: tuple[str, int]) -> str:
    """The address of the request that sends the prompt, after calls of the page that were answered with a status."""
    traffic = Traffic(("**",))
    for url, status in calls:
        exchange = Exchange("POST", url, "", "Fetch")
        exchange.began({"status": status, "url": url, "headers": {"content-length": "0"}})
        exchange.finish(None)
        traffic.add(exchange)
    return (await sending(traffic, ChatGpt().accepted)).url


async def test_which_request_sends_the_prompt() -> None:
    send = f"{API}/f/conversation"
    for before in ([], [(TOKEN_CALL, 200)], [(TOKEN_CALL, 401), (TOKEN_CALL, 200)], [(f"{send}/prepare", 403)]):
        assert await sent((f"{API}/conversation/init", 200), *before, (send, 200)) == send
    with pytest.raises(LoginNeeded, match="guest"):
        await sent(("https://chatgpt.com/backend-anon/f/conversation", 200))


@pytest.mark.parametrize(("status", "error"), [(401, LoginNeeded), (403, ChallengeNeeded), (429, RateLimited)])
async def test_a_page_that_gives_up(monkeypatch: pytest.MonkeyPatch, status: int, error: type[RelayError]) -> None:
    monkeypatch.setattr("relay.sites.chatgpt.page.GIVES_UP_S", 0.05)
    with pytest.raises(error) as caught:
        await sent((TOKEN_CALL, 200), (TOKEN_CALL, status))
    assert caught.value.refused, "the prompt was never sent"


@pytest.mark.parametrize(
    ("url", "last"),
    [
        ("https://chatgpt.com/backend-api/files", False),
        ("https://chatgpt.com/backend-api/files/file-1/uploaded", True),
        ("https://chatgpt.com/backend-api/files/process_upload_stream", True),
    ],
)
def test_the_calls_of_an_upload(url: str, last: bool) -> None:
    screen = ChatGpt.screen
    assert screen is not None
    assert any(glob(pattern).match(url) for pattern in screen.upload)
    assert (UPLOADED.search(url) is not None) is last


def test_where_a_picture_is_asked_for() -> None:
    address = picture_address("sediment://file_00/1#x", "6e0c")
    assert address == "/backend-api/conversation/6e0c/attachment/file_00%2F1/download"
    assert picture_addresses(address) == [
        "/backend-api/files/file_00%2F1/download",
        "/backend-api/files/download/file_00%2F1",
        address,
    ]
    alone = picture_address("file-service://file-1", "")
    assert picture_addresses(alone) == [alone] == ["/backend-api/files/file-1/download"]


# refusals

CAP = {"detail": {"code": "model_cap_exceeded", "message": "You have hit your limit.", "clears_in": 90}}
REFUSALS: list[tuple[int, dict[str, str], object, type[RelayError], bool]] = [
    (401, PLAIN, {"detail": {"code": "token_expired", "message": "expired"}}, LoginNeeded, True),
    (403, PLAIN, {"detail": "Unusual activity has been detected from your device."}, ChallengeNeeded, True),
    (403, HTML, "<title>Just a moment...</title>", ChallengeNeeded, True),
    (403, PLAIN, {"detail": "no"}, ChallengeNeeded, True),
    (429, PLAIN, CAP, RateLimited, True),
    (429, PLAIN, {"detail": {"code": "work_usage_limit_exceeded"}}, RateLimited, True),
    (429, PLAIN, {"detail": "Too many requests"}, RateLimited, True),
    (403, PLAIN, CAP, RateLimited, True),
    (403, PLAIN, {"detail": {"code": "account_deactivated"}}, AccountBanned, True),
    (400, PLAIN, CAP, RateLimited, True),
    (413, PLAIN, {"detail": {"code": "conversation_too_large"}}, ContextTooLong, True),
    (400, PLAIN, {"detail": {"code": "message_length_exceeds_limit", "message": "too long"}}, ContextTooLong, True),
    (422, PLAIN, {"detail": [{"loc": ["body", "model"], "msg": "field required"}]}, SiteChanged, True),
    (409, PLAIN, {"detail": "There is already a message in progress."}, SiteError, True),
    (500, PLAIN, {"detail": "oops"}, SiteUnavailable, False),
    (502, HTML, "<html>", SiteUnavailable, False),
    (503, HTML, "<html>", SiteUnavailable, False),
    (404, PLAIN, {"detail": "Not Found"}, SiteChanged, False),
]


@pytest.mark.parametrize(("status", "headers", "body", "error", "refused"), REFUSALS)
def test_what_a_refusal_means(
    status: int, headers: dict[str, str], body: object, error: type[RelayError], refused: bool
) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    found = refusal(status, headers, text, sends_prompt=True)
    assert type(found) is error
    assert found.refused is refused
    assert not refusal(status, headers, text, sends_prompt=False).refused


def test_a_forbidden_call_that_sends_nothing_may_be_a_logout() -> None:
    found = refusal(403, PLAIN, '{"detail": "no"}', sends_prompt=False)
    assert type(found) is LoginNeeded
    assert not found.renewable


@pytest.mark.parametrize(
    ("headers", "body", "after_s"),
    [
        ({}, CAP, 90),
        ({"retry-after": "30"}, CAP, 90),
        ({"retry-after": "30"}, {"detail": {"code": "model_cap_exceeded"}}, 30),
        ({"retry-after": "30"}, {"detail": "slow down"}, 30),
        ({}, {"detail": {"code": "other", "clears_in": 5}}, 5),
        ({}, {"detail": {"code": "model_cap_exceeded", "clears_in": -1}}, None),
        ({}, {"detail": {"code": "model_cap_exceeded", "clears_in": "soon"}}, None),
        ({}, "slow down", None),
    ],
)
def test_when_a_limit_is_over(headers: dict[str, str], body: object, after_s: float | None) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    assert refusal(429, headers, text, sends_prompt=True).retry_after_s == after_s


def test_what_is_a_challenge() -> None:
    assert challenged(403, HTML, "<html>")
    assert challenged(403, PLAIN, '{"detail": "Our systems detected unusual activity"}')
    assert not challenged(403, PLAIN, "{}")
    assert not challenged(200, HTML, "<html>")
    assert not challenged(401, HTML, "<html>")


@given(st.integers(400, 599), st.text(max_size=200), st.booleans())
def test_no_refusal_breaks_us(status: int, text: str, sends_prompt: bool) -> None:
    for headers in (HTML, PLAIN, {}):
        assert refusal(status, headers, text, sends_prompt=sends_prompt).message


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["detail", "error", "code", "message", "clears_in"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(JSON)
def test_no_error_of_a_stream_breaks_us(said: object) -> None:
    error = stream_error(said)
    assert error.message
    assert not error.refused
    assert len(error.message) < 1000


# texts


@given(st.lists(st.text("ab\ue200\ue201\ue202", max_size=6), max_size=8), st.integers(0, 5))
def test_marks_in_any_cut(pieces: list[str], cut: int) -> None:
    whole = "".join(pieces)
    known = dict.fromkeys(re.findall("\ue200[^\ue201]*\ue201", whole)[:cut], "X")
    marks, out = Marks(), ""
    for mark, meaning in known.items():
        out += marks.know(mark, meaning)
    for piece in pieces:
        out += marks.feed(piece)
    out += marks.close()
    assert not marks.waiting
    at_once = Marks()
    for mark, meaning in known.items():
        at_once.know(mark, meaning)
    assert out == at_once.feed(whole) + at_once.close()


@given(st.text("ab", max_size=9), st.text("ab", max_size=9))
def test_what_was_told_is_what_stands_or_is_revised(first: str, second: str) -> None:
    told = Told()
    out = told.append(first) + told.become(second)
    assert told.revised is (out != second)


def test_an_address_in_a_link() -> None:
    assert link(3, "https://a.example/x (y)<z>") == "[3](https://a.example/x%20%28y%29%3Cz%3E)"
