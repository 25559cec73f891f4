"""Bad input: the error of the interface, and the next request works."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.api.conftest import Served
from tests.api.raw import CHAT, body, error_of

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(autouse=True)
def next_request_works(http: httpx.Client) -> Iterator[None]:
    yield
    assert http.post(CHAT, json=body()).status_code == 200


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe{}",
        b'{"model":"demo","messages":[{"role":"user","content":"\xc3\x28"}]}',
        b'{"model":"demo","messages":[{"role":"user","content":"\\ud800"}]}',
        b"[" * 100_000,
        b'{"model":"demo","messages":' + b'[{"a":' * 50_000,
        b"model=demo",
    ],
)
def test_not_json(http: httpx.Client, raw: bytes) -> None:
    error_of(http.post(CHAT, content=raw, headers={"content-type": "application/json"}), 400, "invalid_request")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"model": ""}, "model"),
        ({"model": 5}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": 7}, "messages"),
        ({"messages": [7]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "poem"}]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": []}]}]}, "messages[0].content[0].text"),
        ({"stream": "perhaps"}, "stream"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"stop": 5}, "stop"),
        ({"stop": ["a", 5]}, "stop[1]"),
        ({"stop": ["x"] * 100}, "stop"),
        ({"n": 2}, "n"),
        ({"stream_options": 1}, "stream_options"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [7]}, "tools[0]"),
        ({"tools": [{"name": "f", "parameters": []}]}, "tools[0].parameters"),
        ({"tools": [{"name": "f"}] * 513}, "tools"),
        ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, "tool_choice"),
        ({"tools": [{"name": "f"}], "tool_choice": {"type": "function"}}, "tool_choice"),
        ({"tools": [{"name": "f"}], "tool_choice": {"name": "g"}}, "tool_choice"),
        ({"tools": [{"name": "f"}], "tool_choice": "perhaps"}, "tool_choice"),
        ({"tools": [{"name": "f"}], "tool_choice": 7}, "tool_choice"),
        ({"functions": [{}]}, "functions[0].name"),
        ({"functions": [{"name": "f"}], "function_call": {"name": "g"}}, "function_call"),
        ({"response_format": "json"}, "response_format.type"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": 7}}},
            "response_format.json_schema.schema",
        ),
    ],
)
def test_wrong_values_are_named(http: httpx.Client, change: dict[str, Any], param: str) -> None:
    error = error_of(http.post(CHAT, json={**body(), **change}), 400, "invalid_request")
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"


def part(**fields: Any) -> dict[str, Any]:
    return body("demo/echo", messages=[{"role": "user", "content": [fields]}])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,%%%"}}, "image_url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}, "image_url"),
        ({"type": "image_url", "image_url": {"url": "data:nothing"}}, "image_url"),
        ({"type": "image_url", "image_url": {"url": "https://localhost/a.png"}}, "image_url"),
        ({"type": "image_url", "image_url": {}}, "image_url"),
        ({"type": "input_image", "file_id": "file-1"}, "image_url"),
        ({"type": "input_audio", "input_audio": {"data": "*", "format": "wav"}}, "input_audio.data"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "file"),
        ({"type": "file", "file_url": {"url": "http://127.0.0.1/secret"}}, "file"),
        ({"type": "file", "file": {"filename": "a.pdf"}}, "file"),
    ],
)
def test_files_that_cannot_be_taken(http: httpx.Client, fields: dict[str, Any], param: str) -> None:
    error = error_of(http.post(CHAT, json=part(**fields)), 400, "invalid_request")
    assert error["param"] is not None and error["param"].startswith(f"messages[0].content[0].{param.split('.')[0]}")


def test_the_prompt_is_not_in_the_error(http: httpx.Client) -> None:
    response = http.post(CHAT, json={**body(), "messages": [{"role": "user", "content": {"secret prompt": 1}}]})
    assert "secret" not in response.text


def test_a_50_mb_body(http: httpx.Client) -> None:
    big = body(messages=[{"role": "user", "content": "x" * 50_000_000}])
    error_of(http.post(CHAT, json=big), 413, "request_too_large")


def test_a_50_mb_body_in_chunks(http: httpx.Client, relay: Served) -> None:
    before = len(relay.pool.chats)

    def chunks() -> Iterator[bytes]:
        yield b'{"model":"demo","messages":[{"role":"user","content":"'
        for _ in range(50):
            yield b"x" * 1_000_000
        yield b'"}]}'

    error_of(http.post(CHAT, content=chunks()), 413, "request_too_large")
    assert len(relay.pool.chats) == before


def test_a_large_body_below_the_limit(http: httpx.Client) -> None:
    response = http.post(CHAT, json=body(messages=[{"role": "user", "content": "x" * 5_000_000}]))
    assert response.status_code == 200
    assert response.json()["usage"]["prompt_tokens"] == 1_250_000


def test_unknown_model_names_close_ones(http: httpx.Client) -> None:
    error = error_of(http.post(CHAT, json=body("demo/ecko")), 404, "model_not_found")
    assert "demo/echo" in error["message"]
    assert error["param"] == "model"


def test_unknown_route_and_method(http: httpx.Client) -> None:
    error_of(http.get("/v1/nothing"), 404, "unknown_url")
    response = http.get(CHAT)
    error_of(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    error_of(http.get("/v1/models?all=perhaps"), 400, "invalid_request")


def test_an_unforeseen_fault_tells_nothing(http: httpx.Client) -> None:
    error = error_of(http.post(CHAT, json=body("demo/broken")), 500, "internal_error")
    assert "hunter2" not in error["message"]
    response = http.post(CHAT, json=body("demo/broken", stream=True))
    error_of(response, 500, "internal_error")


def test_waiting_times(http: httpx.Client) -> None:
    response = http.post(CHAT, json=body("demo/limited"))
    error_of(response, 429, "rate_limit_exceeded")
    assert response.headers["retry-after"] == "2"
    assert response.headers["retry-after-ms"] == "1500"
    assert "x-should-retry" not in response.headers
    full = http.post(CHAT, json=body("demo/full"))
    assert int(full.headers["retry-after"]) > 0
    dead = http.post(CHAT, json=body("demo/early-failure"))
    error_of(dead, 503, "login_needed")
    assert dead.headers["x-should-retry"] == "false"
