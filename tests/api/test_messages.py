"""What clients send arrives at the pool as they meant it."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import httpx
import pytest

from relay.api.attachments import Pending, from_source, kind_of, sniff
from tests.api.conftest import Served
from tests.api.raw import CHAT, body
from tests.api.test_bad_input import PNG


def data_url(data: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


def echo(http: httpx.Client, messages: Any, **fields: Any) -> str:
    response = http.post(CHAT, json=body("demo/echo", **{"messages": messages, **fields}))
    assert response.status_code == 200, response.text
    content: str = response.json()["choices"][0]["message"]["content"]
    return content


def test_roles_and_contents(http: httpx.Client) -> None:
    said = echo(
        http,
        [
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "input_text", "text": "b"}]},
            {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"x":1}'}}
            ]},
            {"role": "tool", "tool_call_id": "c1", "content": "found"},
            {"role": "assistant", "content": ""},
            {"role": "user", "content": "go on", "name": None, "unknown": {"deep": [1]}},
        ],
    )  # fmt: skip
    assert said == ('system: be brief\nuser: a\nb\nassistant: <look {"x":1} c1>\ntool(look c1): found\nuser: go on\n')


def test_a_body_of_the_responses_shape(http: httpx.Client) -> None:
    said = echo(
        http,
        None,
        instructions="be kind",
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "reasoning", "summary": []},
            {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "found"},
        ],
    )
    assert said == "system: be kind\nuser: hi\nassistant: <look {} c1>\ntool(look c1): found\n"
    assert echo(http, None, input="just text") == "user: just text\n"


def test_files(http: httpx.Client) -> None:
    said = echo(
        http,
        [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": data_url(PNG, "image/jpeg"), "detail": "low"}},
                    {"type": "input_image", "image_url": data_url(PNG, "image/png")},
                    {
                        "type": "file",
                        "file": {"file_data": data_url(b"%PDF-1.7", "application/pdf"), "filename": "../a.pdf"},
                    },
                    {"type": "file", "file_url": {"url": "data:text/plain,hello%20you"}},
                    {"type": "input_audio", "input_audio": {"data": base64.b64encode(b"RIFF0000WAVE").decode()}},
                ],
            }
        ],
    )
    assert said == (
        f"user: <image image/png file.png {len(PNG)}><image image/png file.png {len(PNG)}>"
        "<file application/pdf a.pdf 8><file text/plain file.txt 9><audio audio/wav audio.wav 12>\n"
    )


@pytest.mark.parametrize(
    ("data", "name", "claimed", "found"),
    [
        (PNG, "a.jpg", "image/jpeg", "image/png"),
        (b"PK\x03\x04rest", "a.docx", "", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        (b"PK\x03\x04rest", "", "image/png", "application/zip"),
        (b"hello", "", "image/png", "text/plain"),
        (b"hello", "a.py", "", "text/x-python"),
        (b"a,b", "", "text/csv", "text/csv"),
        (b"\x00\x01\x02", "", "image/png", "application/octet-stream"),
        ("你好".encode(), "", "", "text/plain"),
        (b"RIFF0000WEBP", "", "", "image/webp"),
    ],
)
def test_sniffing(data: bytes, name: str, claimed: str, found: str) -> None:
    mime = sniff(data, name=name, claimed=claimed)
    # The platform's table knows some types that others do not; then the container's own type stands.
    assert mime in (found, "application/zip")


def test_kinds() -> None:
    assert [kind_of(m) for m in ("image/png", "image/svg+xml", "audio/wav", "video/mp4", "text/plain")] == [
        "image", "file", "audio", "video", "file",
    ]  # fmt: skip


@pytest.mark.parametrize("url", ["HTTPS://example.org/x", " http://localhost/", "file:///etc/passwd"])
def test_addresses_are_for_later(url: str) -> None:
    pending = from_source(url, param="p", name="a", mime="image/*")
    assert pending == Pending("a", "image/*", b"", address=url.strip(), param="p")


@pytest.mark.parametrize(
    ("fields", "thinking", "search", "ignored"),
    [
        ({}, False, False, None),
        ({"reasoning_effort": "high"}, True, False, None),
        ({"reasoning_effort": "minimal"}, False, False, None),
        ({"reasoning_effort": None, "use_search": None, "stop": None, "n": 1}, False, False, None),
        ({"enable_thinking": True, "use_search": True}, True, True, None),
        ({"thinking": {"type": "enabled"}, "web_search_options": {}}, True, True, None),
        ({"reasoning": {"effort": "low"}}, True, False, None),
        (
            {"tools": [{"type": "web_search"}, {"type": "namespace"}]},
            False,
            False,
            "tools[web_search], tools[namespace]",
        ),
        ({"tools": [], "response_format": {"type": "text"}}, False, False, None),
        ({"response_format": None, "top_p": 0.1}, False, False, "top_p"),
    ],
)
def test_switches(
    http: httpx.Client, relay: Served, fields: dict[str, Any], thinking: bool, search: bool, ignored: str | None
) -> None:
    response = http.post(CHAT, json=body("demo", **fields))
    assert response.status_code == 200, response.text
    choice = relay.pool.last.request.choice
    assert (choice.thinking, choice.search) == (thinking, search)
    assert response.headers.get("x-relay-ignored") == ignored


def test_a_switch_the_model_has_not_is_ignored_and_said(http: httpx.Client, relay: Served) -> None:
    response = http.post(CHAT, json=body("demo/echo", reasoning_effort="high", use_search=True))
    assert response.headers["x-relay-ignored"] == "reasoning_effort, use_search"
    assert not relay.pool.last.request.choice.thinking


def test_conversation_id_passes(http: httpx.Client, relay: Served) -> None:
    http.post(CHAT, json=body(conversation_id="none"))
    assert relay.pool.last.request.conversation_id == "none"
    http.post(CHAT, json=body(conversation_id=""))
    assert relay.pool.last.request.conversation_id is None


def test_files_are_hashed_before_they_reach_the_pool(relay: Served) -> None:
    with relay.client() as http:
        file = {"type": "file", "file": {"filename": "a.txt", "file_data": data_url(b"data", "text/plain")}}
        echo(http, [{"role": "user", "content": [file]}])
    (attachment,) = relay.pool.last.request.messages[0].attachments
    assert vars(attachment)["digest"] == hashlib.sha256(b"data").digest(), "so the pool's loop never does it"
