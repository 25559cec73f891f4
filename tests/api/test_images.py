"""Pictures in answers, and asked for by themselves; what only the site's login could fetch is served by the relay."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import httpx
import openai
import pytest

from tests.api.conftest import Served
from tests.api.pool import PICTURE
from tests.api.raw import CHAT, body, error_of, parse
from tests.spec import validate

IMAGES = "/v1/images/generations"
LINK = re.compile(r"!\[a cat\]\((http://[^)]+/v1/files/file-[\w-]+/content)\)")


def linked(text: str) -> str:
    found = LINK.search(text)
    assert found, text
    return found[1]


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_links_to_what_the_relay_serves(http: httpx.Client, relay: Served, stream: bool) -> None:
    answer = http.post(CHAT, json=body("demo/draws", stream=stream))
    text = parse(answer.text).content if stream else answer.json()["choices"][0]["message"]["content"]
    link = linked(text)
    assert link.startswith(relay.url)
    assert "site.example" not in text
    got = http.get(link)
    assert (got.content, got.headers["content-type"]) == (PICTURE, "image/png")
    [stored, *_] = http.get("/v1/files").json()["data"]
    validate("OpenAIFile", stored)
    assert stored["purpose"] == "assistants_output"


def test_a_page_shows_it_without_a_key_and_nothing_else(serve: Callable[..., Served]) -> None:
    served = serve(api_keys=["k-secret"])
    key = {"authorization": "Bearer k-secret"}
    with served.client() as http:
        link = linked(http.post(CHAT, json=body("demo/draws"), headers=key).json()["choices"][0]["message"]["content"])
        assert http.get(link).content == PICTURE
        assert http.get(link.removesuffix("/content")).status_code == 401
        uploaded = http.post("/v1/files", files={"file": ("a.png", PICTURE)}, data={"purpose": "vision"}, headers=key)
        own = f"/v1/files/{uploaded.json()['id']}/content"
        assert http.get(own).status_code == 401
        assert http.get(own, headers=key).content == PICTURE


def test_where_people_reach_the_server(serve: Callable[..., Served]) -> None:
    served = serve(public_url="https://relay.home/")
    with served.client() as http:
        text = http.post(CHAT, json=body("demo/draws")).json()["choices"][0]["message"]["content"]
        assert "](https://relay.home/v1/files/file-" in text
    with served.owners_client() as http:
        assert "](https://relay.home/" in http.post(CHAT, json=body("demo/draws")).text


def test_no_room_for_it(serve: Callable[..., Served]) -> None:
    served = serve(files={"quota_mib": 1})
    with served.client() as http:
        filling = {"file": ("a.txt", b"x" * (1024 * 1024 - 100))}
        assert http.post("/v1/files", files=filling, data={"purpose": "user_data"}).status_code == 200
        text = http.post(CHAT, json=body("demo/draws")).json()["choices"][0]["message"]["content"]
    assert base64.b64encode(PICTURE).decode() in text, "then it stands in the answer"


def test_the_sdk_draws(relay: Served) -> None:
    client = openai.OpenAI(base_url=f"{relay.url}/v1", api_key="none", max_retries=0)
    drawn = client.images.generate(model="demo/draws", prompt="a cat", size="1024x1024")
    assert drawn.data
    assert httpx.get(drawn.data[0].url or "", trust_env=False).content == PICTURE
    prompt = relay.pool.last.request.messages[0].text
    assert "a cat" in prompt
    assert "1024x1024" in prompt
    drawn = client.images.generate(prompt="a cat", response_format="b64_json", model="demo/draws")
    assert drawn.data
    assert base64.b64decode(drawn.data[0].b64_json or "") == PICTURE


def test_drawing_is_described(http: httpx.Client) -> None:
    answer = http.post(IMAGES, json={"prompt": "a cat", "model": None})
    assert answer.status_code == 200, answer.text
    validate("ImagesResponse", answer.json())


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({}, 400, "invalid_request"),
        ({"prompt": ""}, 400, "invalid_request"),
        ({"prompt": "x" * 32_001}, 400, "invalid_request"),
        ({"prompt": "x", "n": 2}, 400, "invalid_request"),
        ({"prompt": "x", "stream": True}, 400, "invalid_request"),
        ({"prompt": "x", "response_format": "gif"}, 400, "invalid_request"),
        ({"prompt": "x", "model": "demo"}, 404, "model_not_found"),
        ({"prompt": "x", "model": "dall-e-3"}, 404, "model_not_found"),
        ({"prompt": "x", "model": "demo/limited"}, 429, "rate_limit_exceeded"),
    ],
)
def test_refusals(http: httpx.Client, asked: dict[str, Any], status: int, code: str) -> None:
    error_of(http.post(IMAGES, json=asked), status, code)


def test_who_draws_is_named(http: httpx.Client) -> None:
    error = error_of(http.post(IMAGES, json={"prompt": "x", "model": "demo"}), 404, "model_not_found")
    assert "demo/draws" in error["message"]


@pytest.mark.parametrize("path", ["audio/speech", "audio/transcriptions", "videos", "embeddings", "completions"])
def test_what_nobody_does_is_said(http: httpx.Client, path: str) -> None:
    error = error_of(http.post(f"/v1/{path}", json={"model": "x"}), 404, "model_not_found")
    assert "/v1/" in error["message"]
