"""What a Bearer brings in place of a key, and `POST /token/check`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from relay.api.tokens import MAX_TOKEN_CHARS, MAX_TOKENS, tokens_of
from relay.errors import Unauthorized
from tests.api.conftest import Served
from tests.api.raw import CHAT, body, error_of

PATTERN = r"tok-[a-z]{4,}"
TOKEN = "tok-abcd"


@pytest.fixture
def keyed(serve: Callable[..., Served]) -> Served:
    """A server with a key that takes tokens."""
    return serve(api_keys=[SecretStr("key-of-anna")])


def chat(served: Served, bearer: str, model: str = "demo", **headers: str) -> httpx.Response:
    with served.client() as http:
        return http.post(CHAT, json=body(model), headers={"authorization": f"Bearer {bearer}", **headers})


def brought(served: Served, bearer: str) -> tuple[str, tuple[str, ...]]:
    """The caller of the chat that was submitted, and its tokens."""
    assert chat(served, bearer).status_code == 200
    return served.pool.last.request.caller, served.pool.last.request.tokens


# The pure part


@pytest.mark.parametrize(
    ("presented", "tokens"),
    [
        (TOKEN, (TOKEN,)),
        (f"{TOKEN},tok-efgh", (TOKEN, "tok-efgh")),
        (f"{TOKEN} , tok-efgh", (TOKEN, "tok-efgh")),
        (",".join([TOKEN] * MAX_TOKENS), (TOKEN,) * MAX_TOKENS),
        ("", ()),
        (",", ()),
        (",,,", ()),
        ("none", ()),
        ("key-of-anna", ()),
        ("tok-", ()),
        (f"{TOKEN}\n", ()),
        (f"x{TOKEN}", ()),
        ("tok-" + "a" * MAX_TOKEN_CHARS, ()),
        ("a," * 300 + "b", ()),
    ],
)
def test_tokens_of(presented: str, tokens: tuple[str, ...]) -> None:
    assert tokens_of(presented, PATTERN) == tokens
    assert tokens_of(presented, "") == ()


@pytest.mark.parametrize(
    ("presented", "said"),
    [
        (f"{TOKEN},", "Part 2 of 2 of the Bearer is empty"),
        (f",{TOKEN}", "Part 1 of 2"),
        (f"{TOKEN},none", "Part 2 of 2 of the Bearer is no token of the model's site"),
        (f"{TOKEN},\t,{TOKEN}", "Part 2 of 3"),
        (f"{TOKEN},{TOKEN}\x00", "Part 2 of 2"),
        (f"{TOKEN};{TOKEN},{TOKEN}", "Part 1 of 2"),
        (",".join([TOKEN] * (MAX_TOKENS + 1)), "101 site tokens; at most 100"),
        (",".join([TOKEN] * 5_000), "5000 site tokens"),
        ("x" * 1_000_000, "1000000 characters"),
    ],
)
def test_tokens_among_other_things(presented: str, said: str) -> None:
    with pytest.raises(Unauthorized) as refused:
        tokens_of(presented, PATTERN)
    assert said in refused.value.message
    assert TOKEN not in refused.value.message


# Chats


def test_without_keys(relay: Served) -> None:
    caller, tokens = brought(relay, f"{TOKEN},tok-efgh")
    assert tokens == (TOKEN, "tok-efgh")
    assert caller.startswith("tokens-")
    assert "tok-" not in caller[7:]
    assert brought(relay, f"{TOKEN},tok-efgh")[0] == caller
    assert brought(relay, TOKEN)[0] != caller
    for other in ("none", "sk-whatever", "kim-abcd", "rk-0123456789"):
        assert brought(relay, other) == ("local", ())


def test_a_header_of_another_name(relay: Served) -> None:
    with relay.client() as http:
        assert http.post(CHAT, json=body(), headers={"x-api-key": TOKEN}).status_code == 200
    assert relay.pool.last.request.tokens == (TOKEN,)


def test_with_keys(keyed: Served) -> None:
    caller, tokens = brought(keyed, "key-of-anna")
    assert (caller.startswith("key-"), tokens) == (True, ())
    assert brought(keyed, TOKEN)[1] == (TOKEN,)
    count = len(keyed.pool.chats)
    for bearer in ("none", "kim-abcd", f"{TOKEN},none", f"none,{TOKEN}", f"{TOKEN},key-of-anna", f"{TOKEN},"):
        error_of(chat(keyed, bearer), 401, "invalid_api_key")
    assert len(keyed.pool.chats) == count
    assert error_of(chat(keyed, TOKEN, "no-such-model"), 404, "model_not_found")
    for path in ("/v1/models", "/metrics"):
        with keyed.client() as http:
            error_of(http.get(path, headers={"authorization": f"Bearer {TOKEN}"}), 401, "invalid_api_key")


def test_a_key_in_the_shape_of_a_token(serve: Callable[..., Served]) -> None:
    served = serve(api_keys=[SecretStr(TOKEN)])
    caller, tokens = brought(served, TOKEN)
    assert (caller.startswith("key-"), tokens) == (True, ())


def test_switched_off(serve: Callable[..., Served]) -> None:
    assert brought(serve(token_passthrough=False), TOKEN) == ("local", ())
    error_of(chat(serve(token_passthrough=False, api_keys=[SecretStr("k")]), TOKEN), 401, "invalid_api_key")


def test_a_body_is_not_read_for_just_anybody(keyed: Served) -> None:
    with keyed.client() as http:
        for bearer in ("none", "x" * 60_000):
            answer = http.post(CHAT, content=b"{", headers={"authorization": f"Bearer {bearer}"})
            error_of(answer, 401, "invalid_api_key")
        answer = http.post(CHAT, content=b"{", headers={"authorization": f"Bearer {TOKEN}"})
        error_of(answer, 400, "invalid_request")


# POST /token/check


def check(served: Served, asked: Any, **headers: str) -> httpx.Response:
    with served.client() as http:
        return http.post("/token/check", json=asked, headers=headers)


def test_by_shape_or_by_name(relay: Served) -> None:
    asked = relay.pool.tokens.asked
    asked.clear()
    assert check(relay, {"token": "tok-live"}).json() == {"live": True}
    assert check(relay, {"token": " tok-dead\n"}).json() == {"live": False}
    assert check(relay, {"token": "kim-live", "site": None}).json() == {"live": True}
    assert check(relay, {"token": "no shape", "more": 1}).json() == {"live": False}
    assert check(relay, {"token": "tok-live", "site": "kimi"}).json() == {"live": True}
    assert asked == [
        ("demo", "tok-live"), ("demo", "tok-dead"), ("kimi", "kim-live"), ("kimi", "no shape"), ("kimi", "tok-live"),
    ]  # fmt: skip


def test_what_keeps_the_site_from_telling(relay: Served) -> None:
    error_of(check(relay, {"token": "tok-unreachable"}), 502, "site_unavailable")


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({}, "token"),
        ({"token": ""}, "token"),
        ({"token": None}, "token"),
        ({"token": ["tok-live"]}, "token"),
        ({"token": "x" * (MAX_TOKEN_CHARS + 1)}, "token"),
        ({"token": "tok-live", "site": "nowhere"}, "site"),
        ({"token": "tok-live", "site": "gradio"}, "site"),
        ({"token": "tok-live", "site": "x" * 100}, "site"),
        ([], None),
        ("tok-live", None),
    ],
)
def test_bad_questions(relay: Served, asked: Any, param: str | None) -> None:
    answer = check(relay, asked)
    assert error_of(answer, 400, "invalid_request")["param"] == param
    assert "tok-live" not in answer.text


def test_a_check_needs_a_key_where_there_are_keys(keyed: Served) -> None:
    error_of(check(keyed, {"token": "tok-live"}), 401, "invalid_api_key")
    error_of(check(keyed, {"token": "tok-live"}, authorization="Bearer tok-live"), 401, "invalid_api_key")
    assert keyed.pool.tokens.asked == []
    assert check(keyed, {"token": "tok-live"}, authorization="Bearer key-of-anna").json() == {"live": True}
