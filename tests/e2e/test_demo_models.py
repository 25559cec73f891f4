"""The demo site's own models: those that think, search and read files, and those that fail on purpose."""

from __future__ import annotations

import base64
import hashlib

import pytest

from tests.e2e.client import ask, refusal
from tests.e2e.relay_server import RelayServer
from tests.e2e.world import World

pytestmark = pytest.mark.xdist_group("world")

FAILURES = {
    "rate-limited": (429, "rate_limit_exceeded"),
    "refuses": (400, "content_filter"),
    "cut": (502, "answer_cut"),
    "error": (502, "site_error"),
    "login-dead": (503, "login_needed"),
    "challenge": (503, "challenge_needed"),
}


demo = pytest.mark.parametrize(("site", "driver"), [("demo", "fetch")])


@demo
async def test_the_thinker(relay: RelayServer, site: str, driver: str) -> None:
    got = await ask(relay, "demo/thinker", "hello")
    assert got.reasoning.startswith("The user writes: “hello”.")
    assert got.text.startswith("# About “hello”")


@demo
async def test_search(relay: RelayServer, site: str, driver: str) -> None:
    got = await ask(relay, "demo", "hello", use_search=True)
    assert got.sources == [
        "https://example.com/overview",
        "https://example.org/guide?page=2",
        "https://example.net/faq",
    ]
    assert "hello" in got.reasoning
    assert "**demo model**" in got.text


@demo
async def test_files_are_read(relay: RelayServer, site: str, driver: str) -> None:
    notes = "笔记 notes\n".encode() * 500
    data = f"data:text/plain;base64,{base64.b64encode(notes).decode()}"
    file = {"type": "file", "file": {"filename": "notes.txt", "file_data": data}}
    got = await ask(relay, "demo", [file, {"type": "text", "text": "read it"}])
    assert hashlib.sha256(notes).hexdigest() in got.text
    assert "notes.txt" in got.text


@pytest.mark.parametrize("model", FAILURES)
@demo
async def test_the_error_and_after_it(world: World, relay: RelayServer, site: str, driver: str, model: str) -> None:
    status, code = FAILURES[model]
    whole = await refusal(relay, f"demo/{model}", "hello", stream=False)
    assert (whole.status, whole.code) == (status, code)
    if model == "rate-limited":
        assert 1 <= int(whole.heard.headers["retry-after"]) <= 30
        assert whole.type == "rate_limit_error"
    elif model not in ("cut", "error"):
        assert whole.heard.headers["x-should-retry"] == "false"
    streamed = await refusal(relay, f"demo/{model}", "hello")
    assert streamed.code == code
    if model == "cut":
        assert streamed.status is None
        assert streamed.text.startswith("A short answer about “hello”")
    else:
        assert streamed.status == status, "nothing had been shown, so the status is its own"
    prompt = await world.demo.play("as if nothing had been")
    assert (await ask(relay, "demo/script", prompt)).text == "as if nothing had been"


@pytest.mark.parametrize(("site", "driver"), [("demo", "screen")])
async def test_slow_is_only_slow(relay: RelayServer, site: str, driver: str) -> None:
    got = await ask(relay, "demo/slow", "a")
    assert got.text == "A short answer about “a”: one plain paragraph, without headings or tables."
