"""What DeepSeek is asked, and what its JSON answers mean (fact sheet sections 2 to 4 and 7 to 9)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.browser.answer import Answer
from relay.browser.tab import Response
from relay.chat.request import Attachment, Conversation, FileRef, Turn
from relay.errors import (
    BadRequest,
    ChallengeNeeded,
    ContentRefused,
    ContextTooLong,
    ConversationNotFound,
    LoginNeeded,
    RateLimited,
    RelayError,
    SiteChanged,
    SiteError,
    SiteUnavailable,
    TooLarge,
)
from relay.sites.deepseek.calls import was_read
from relay.sites.deepseek.messages import Challenge, CreatedSession, CurrentUser, File, Files, StillWriting, parsed
from relay.sites.deepseek.proof import Proof
from relay.sites.deepseek.requests import (
    bearer,
    completion_body,
    continue_body,
    headers,
    login_state,
    mode,
    upload_headers,
)
from relay.sites.deepseek.site import DeepSeek
from relay.sites.deepseek.stock import Kept
from tests.unit.wire.cutting import json_values

JSON = {"content-type": "application/json; charset=utf-8"}
HTML = {"content-type": "text/html; charset=utf-8"}
IMAGE = Attachment("a.png", "image/png", b"png", "image")
TEXT = Attachment("a.txt", "text/plain", b"text")


def reply(biz_data: Any = None, *, code: int = 0, msg: str = "", biz_code: int = 0, biz_msg: str = "") -> bytes:
    data = {"biz_code": biz_code, "biz_msg": biz_msg, "biz_data": biz_data}
    return json.dumps({"code": code, "msg": msg, "data": data}).encode()


def response(body: bytes, status: int = 200, **more: str) -> Response:
    return Response(status, {**JSON, **more}, "https://chat.deepseek.com/api/v0/x", body)


# login


@pytest.mark.parametrize(
    ("stored", "token"),
    [
        ('{"value":"tok","__version":"0"}', "tok"),
        ('{"token":"tok"}', "tok"),
        ('{"accessToken":"tok"}', "tok"),
        ('{"value":"","token":"tok"}', "tok"),
        ('"tok"', "tok"),
        ('{"value":null,"__version":"0"}', ""),
        ('{"value":{"value":"tok"}}', ""),
        ("null", ""),
        (None, ""),
        ("", ""),
        ("tok", ""),
        ("3", ""),
        ("[" * 100_000, ""),
    ],
)
def test_what_the_page_keeps(stored: str | None, token: str) -> None:
    assert bearer(stored) == token


@given(st.text())
def test_what_a_pasted_token_becomes(token: str) -> None:
    (origin,) = login_state(token, "https://chat.deepseek.com/")["origins"]
    assert origin["origin"] == "https://chat.deepseek.com"
    (item,) = origin["localStorage"]
    assert (item["name"], bearer(item["value"])) == ("userToken", token)


def test_headers() -> None:
    assert headers("tok", "zh-CN", 28800) == {
        "Authorization": "Bearer tok",
        "x-client-platform": "web",
        "x-client-version": "2.0.0",
        "X-App-Version": "2.0.0",
        "x-client-locale": "zh_CN",
        "x-client-timezone-offset": "28800",
    }
    assert headers("tok", "de", -3600)["x-client-locale"] == "en_US"
    assert headers("tok", "de", -3600)["x-client-timezone-offset"] == "-3600"


def test_who_is_logged_in() -> None:
    assert parsed(CurrentUser, response(reply({"token": "tok", "email": "a@b"}))).token == "tok"
    for wrong in (reply({"token": ""}), reply({}), reply(), b"", b"[]", b'{"code":"x"}', b'{"code":0}'):
        with pytest.raises(SiteChanged):
            parsed(CurrentUser, response(wrong))


# chat


def test_the_body_of_a_new_chat() -> None:
    files = [FileRef("file-1", "a.txt", "text/plain", 4)]
    assert completion_body(Turn("hi", "deepseek-chat", search=True), "s-1", files, "default", thinking=False) == {
        "chat_session_id": "s-1",
        "parent_message_id": None,
        "model_type": "default",
        "prompt": "hi",
        "ref_file_ids": ["file-1"],
        "thinking_enabled": False,
        "search_enabled": True,
        "action": None,
        "preempt": False,
    }


def test_the_body_of_a_next_turn() -> None:
    def body(parent: str) -> dict[str, object]:
        turn = Turn("hi", "deepseek-chat", conversation=Conversation("s-1", parent))
        return completion_body(turn, "s-1", [], "expert", thinking=True)

    assert body("4")["parent_message_id"] == 4
    assert (body("4")["model_type"], body("4")["thinking_enabled"]) == ("expert", True)
    for parent in ("", "x", "-1", "4.0", "٤"):
        with pytest.raises(ConversationNotFound) as caught:
            body(parent)
        assert caught.value.refused


def test_the_body_of_a_continuation() -> None:
    assert continue_body("s-1", 4) == {"chat_session_id": "s-1", "message_id": 4, "fallback_to_resume": True}


@pytest.mark.parametrize(
    ("turn", "expected"),
    [
        (Turn("", ""), ("default", False)),
        (Turn("", "deepseek-chat", thinking=True), ("default", True)),
        (Turn("", "deepseek-reasoner"), ("default", True)),
        (Turn("", "deepseek-expert"), ("expert", False)),
        (Turn("", "deepseek-expert", thinking=True, attachments=(TEXT,)), ("expert", True)),
        (Turn("", "deepseek-v4-vision", attachments=(IMAGE,)), ("vision", False)),
        (Turn("", "deepseek-chat", thinking=True, attachments=(TEXT, IMAGE)), ("vision", True)),
        (Turn("", "deepseek-reasoner", attachments=(IMAGE,)), ("vision", True)),
        (Turn("", "deepseek-v4-vision", conversation=Conversation("s", "2")), ("vision", False)),
    ],
)
def test_modes(turn: Turn, expected: tuple[str, bool]) -> None:
    assert mode(turn) == expected


def test_what_does_not_fit_its_mode() -> None:
    with pytest.raises(BadRequest, match="takes no images"):
        mode(Turn("", "deepseek-expert", attachments=(TEXT, IMAGE)))
    with pytest.raises(BadRequest, match="send one"):
        mode(Turn("", "deepseek-v4-vision"))


def test_the_page_goes_on_only_in_a_mode_that_it_need_not_choose() -> None:
    site = DeepSeek()
    assert all(site.continues("fetch", model, newest=False) for model in ("deepseek-chat", "deepseek-expert"))
    assert site.continues("screen", "deepseek-chat")
    assert not site.continues("screen", "deepseek-chat", newest=False)
    assert not site.continues("screen", "deepseek-expert")
    assert not site.continues("dom", "deepseek-chat")


# proof of work


def challenge(**fields: Any) -> Challenge:
    made = {
        "algorithm": "DeepSeekHashV1",
        "challenge": "ab" * 32,
        "salt": "demo_salt",
        "signature": "sig",
        "difficulty": 144000,
        "expire_at": 1790000000000,
        "expire_after": 300000,
        "target_path": "/api/v0/chat/completion",
    }
    return Challenge.model_validate(made | fields)


def test_what_carries_a_proof() -> None:
    (header,) = Proof(challenge(), 42).headers.items()
    assert header[0] == "X-DS-PoW-Response"
    assert json.loads(base64.b64decode(header[1], validate=True)) == {
        "algorithm": "DeepSeekHashV1",
        "challenge": "ab" * 32,
        "salt": "demo_salt",
        "answer": 42,
        "signature": "sig",
        "target_path": "/api/v0/chat/completion",
    }


@pytest.mark.parametrize(
    "fields",
    [
        {"algorithm": "DeepSeekHashV2"},
        {"challenge": "ab"},
        {"challenge": "zz" * 32},
        {"difficulty": 0},
        {"difficulty": 10**12},
        {"salt": "x" * 100_000},
    ],
)
def test_a_challenge_that_would_hang_the_page_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        challenge(**fields)


def test_what_is_kept_spoils() -> None:
    kept: Kept[str] = Kept()
    assert not kept
    assert kept.take() is None
    kept.put("a", 60)
    assert kept
    assert (kept.take(), kept.take()) == ("a", None)
    kept.put("b", Proof(challenge(expire_after=0), 1).keeps_s)
    assert not kept
    assert kept.take() is None


# files


def test_what_an_upload_says() -> None:
    assert upload_headers("file", 4, thinking=True) == {
        "x-model-type": "default",
        "x-file-size": "4",
        "x-thinking-enabled": "1",
    }
    assert upload_headers("image", 8 << 20, thinking=False)["x-model-type"] == "vision"
    assert upload_headers("file", 9 << 20, thinking=False)["x-file-size"] == str(9 << 20)
    with pytest.raises(TooLarge):
        upload_headers("image", (8 << 20) + 1, thinking=False)


def test_when_a_file_is_read() -> None:
    files = parsed(Files, response(reply({"files": [{"id": "file-1", "status": "PARSING", "audit_result": None}]})))
    assert not was_read(files.files[0], "a")
    assert not was_read(File(id="f", status="PENDING", audit_result="unknown"), "a")
    assert was_read(File(id="f", status="SUCCESS", audit_result="PASS"), "a")
    with pytest.raises(BadRequest, match="7"):
        was_read(File.model_validate({"id": "f", "status": "FAILED", "error_code": 7}), "a")
    with pytest.raises(ContentRefused):
        was_read(File(id="f", status="SUCCESS", audit_result="REJECTED"), "a")


def test_sessions_old_and_new() -> None:
    new = {"chat_session": {"id": "s-1", "seq_id": 1, "agent": "chat"}, "ttl_seconds": 259200}
    assert parsed(CreatedSession, response(reply(new))).session == "s-1"
    assert parsed(CreatedSession, response(reply({"id": "s-1"}))).session == "s-1"
    with pytest.raises(SiteChanged):
        _ = parsed(CreatedSession, response(reply({"id": ""}))).session


# errors (section 9)

ROWS: list[tuple[bytes, type[RelayError]]] = [
    *((reply(code=code, msg="Missing Token"), LoginNeeded) for code in (40001, 40002, 40003)),
    *((reply(biz_code=code, biz_msg="invalid token"), LoginNeeded) for code in (40001, 40002, 40003)),
    (reply(biz_code=1, biz_msg="消息发送过于频繁，请稍后重试"), RateLimited),
    (reply(code=2, msg="服务器繁忙，请稍后重试"), SiteUnavailable),
    (reply(biz_code=3, biz_msg="有消息正在生成，请稍后"), StillWriting),
    (reply(biz_code=4, biz_msg="内容超长约 20%，请删减后再试"), ContextTooLong),
    (reply(biz_code=5, biz_msg="达到对话长度上限，请开启新对话"), ContextTooLong),
    (reply(code=40300, msg="INVALID_POW_RESPONSE"), SiteError),
    (reply(biz_code=99), SiteError),
]


async def accepted(body: bytes, status: int = 200, **more: str) -> None:
    answer = Answer(status, {**JSON, **more}, "https://chat.deepseek.com/api/v0/chat/completion")
    answer.push(body)
    answer.finish()
    await DeepSeek().accepted(answer)


@pytest.mark.parametrize(("body", "error"), ROWS)
async def test_json_in_the_place_of_an_answer(body: bytes, error: type[RelayError]) -> None:
    with pytest.raises(error) as caught:
        await accepted(body)
    assert type(caught.value) is error
    if not isinstance(caught.value, ContextTooLong) or "内容超长" in caught.value.message:
        assert caught.value.refused, "it was not taken"
    with pytest.raises(error) as caught:
        parsed(CurrentUser, response(body))
    assert not caught.value.refused, "no prompt was sent"


@pytest.mark.parametrize("status", [401, 403])
async def test_a_refused_login(status: int) -> None:
    with pytest.raises(LoginNeeded) as caught:
        await accepted(b'{"msg":"no"}', status)
    assert caught.value.refused


async def test_too_many_requests() -> None:
    with pytest.raises(RateLimited) as caught:
        await accepted(b"", 429, **{"retry-after": "17"})
    assert (caught.value.refused, caught.value.retry_after_s) == (True, 17)
    with pytest.raises(RateLimited) as caught:
        await accepted(b"<html></html>", 429, **HTML)
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize(
    ("status", "more"),
    [
        (202, {"x-amzn-waf-action": "challenge", **HTML}),
        (202, {"x-amzn-waf-action": "challenge"}),
        (405, {"x-amzn-waf-action": "captcha", **HTML}),
        (200, HTML),
        (403, HTML),
    ],
)
async def test_the_firewall_is_no_logout(status: int, more: dict[str, str]) -> None:
    with pytest.raises(ChallengeNeeded) as caught:
        parsed(CurrentUser, response(b"<html>", status, **more))
    with pytest.raises(ChallengeNeeded) as caught:
        await accepted(b"<html>", status, **more)
    assert caught.value.refused


@pytest.mark.parametrize("status", [500, 502, 503])
async def test_a_broken_site_is_no_challenge(status: int) -> None:
    with pytest.raises(SiteUnavailable):
        await accepted(b"<html>", status, **HTML)


@pytest.mark.parametrize(
    ("body", "more"),
    [(reply({}), {}), (b"[]", {}), (b"", {}), (b"x", {"content-type": "text/plain"}), (b"{", {})],
)
async def test_another_answer_is_a_changed_site(body: bytes, more: dict[str, str]) -> None:
    with pytest.raises(SiteChanged) as caught:
        await accepted(body, 200, **more)
    assert not caught.value.refused, "who knows what became of the prompt"


async def test_a_stream_is_accepted() -> None:
    await accepted(b"", 200, **{"content-type": "text/event-stream; charset=utf-8"})


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_body_is_an_answer_or_one_of_our_errors(body: bytes) -> None:
    for model in (CurrentUser, CreatedSession, Files, File, Challenge):
        with pytest.raises(RelayError):
            parsed(model, response(body))
        with pytest.raises(RelayError):
            _ = parsed(model, response(reply(body.decode("latin-1"))))
