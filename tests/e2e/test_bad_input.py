"""Bad requests: each gives the error of the one form, nothing reaches a site, and the next request works."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.e2e.client import ask
from tests.e2e.world import World

pytestmark = pytest.mark.xdist_group("world")

HI: list[dict[str, Any]] = [{"role": "user", "content": "hi"}]
BAD: dict[str, tuple[bytes, int, str]] = {
    "malformed": (b'{"model": "demo", "messages": [', 400, "invalid_request"),
    "no-json": (b"\xff\xfe\x00", 400, "invalid_request"),
    "empty": (b"", 400, "invalid_request"),
    "list": (b"[]", 400, "invalid_request"),
    "wrong-type": (json.dumps({"model": 7, "messages": HI}).encode(), 400, "invalid_request"),
    "wrong-messages": (json.dumps({"model": "demo", "messages": {"role": "user"}}).encode(), 400, "invalid_request"),
    "wrong-part": (
        json.dumps({"model": "demo", "messages": [{"role": "user", "content": [{"type": "hologram"}]}]}).encode(),
        400,
        "invalid_request",
    ),
    "wrong-role": (
        json.dumps({"model": "demo", "messages": [{"role": "oracle", "content": "hi"}]}).encode(),
        400,
        "invalid_request",
    ),
    "no-messages": (json.dumps({"model": "demo", "messages": []}).encode(), 400, "invalid_request"),
    "no-words": (
        json.dumps({"model": "demo", "messages": [{"role": "user", "content": ""}]}).encode(),
        400,
        "invalid_request",
    ),
    "unknown-model": (json.dumps({"model": "chatgpt-9", "messages": HI}).encode(), 404, "model_not_found"),
    "gone-conversation": (
        json.dumps({"model": "demo", "messages": HI, "conversation_id": "conv-gone"}).encode(),
        404,
        "conversation_not_found",
    ),
    "50-mb": (
        json.dumps({"model": "demo", "messages": [{"role": "user", "content": "x" * 50_000_000}]}).encode(),
        413,
        "request_too_large",
    ),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_request(world: World, name: str) -> None:
    relay = world.serve("fetch")
    body, status, code = BAD[name]
    before = (await world.demo.stats())["started"]
    async with httpx.AsyncClient(base_url=relay.url, timeout=60, trust_env=False) as client:
        answer = await client.post("/v1/chat/completions", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(answer.json()) == {"error"}
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["type"]) == (code, "invalid_request_error")
    assert answer.headers["x-should-retry"] == "false"
    assert (await world.demo.stats())["started"] == before
    assert (await ask(relay, "demo/script", await world.demo.play("fine"), stream=False)).text == "fine"


@pytest.mark.parametrize("size_mb", [50])
async def test_a_body_without_a_length(world: World, size_mb: int) -> None:
    relay = world.serve("fetch")

    async def endless() -> Any:
        yield b'{"model": "demo", "messages": [{"role": "user", "content": "'
        for _ in range(size_mb):
            yield b"x" * 1_000_000
        yield b'"}]}'

    async with httpx.AsyncClient(base_url=relay.url, timeout=60, trust_env=False) as client:
        answer = await client.post("/v1/chat/completions", content=endless())
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert (await ask(relay, "demo/script", await world.demo.play("fine"))).text == "fine"
