"""A chat by every driver of every site: the text arrives exactly, streamed and whole."""

from __future__ import annotations

import base64
import hashlib
import json

import openai
import pytest

from tests.corpus import canonical
from tests.e2e.client import ask, refusal, sdk
from tests.e2e.relay_server import RelayServer
from tests.e2e.stages import sent_by
from tests.e2e.world import PAIRS, World
from tests.replicas import Scenario
from tests.spec import validate

pytestmark = pytest.mark.xdist_group("world")

pairs = pytest.mark.parametrize(("site", "driver"), PAIRS)
streams = pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])

MARKDOWN = """\
# Why is the sky blue? 天空为什么是蓝色的？

Short waves scatter **more** than long ones, by $\\lambda^{-4}$. 短波散射得更强 🌌👩🏽‍🚀, *naïve* façade.

```python
def f(x):
    return x ** 2  # <b>not</b> &amp; markup
```

- one
- two

| a | b |
| --- | --- |
| 1 | 二 |

The end: `1 < 2`."""
SPACES = "  \n\tindented\n\n\n   three  spaces\r\n" + MARKDOWN + "\n trailing \t\n\n"


@pairs
@streams
async def test_the_text_is_exact(world: World, relay: RelayServer, site: str, driver: str, stream: bool) -> None:
    stage = world.stage(site, relay)
    if driver == "dom":  # what a page renders has no more than Markdown says
        text = MARKDOWN.replace("$\\lambda^{-4}$", "four powers") if site == "gradio" else MARKDOWN
        got = await ask(relay, stage.model, await stage.play(text, seed=7), stream=stream)
        assert canonical(got.text) == canonical(text)
    else:
        got = await ask(relay, stage.model, await stage.play(SPACES, seed=7), stream=stream)
        assert got.text == sent_by(site, driver, SPACES)
    assert got.finish == "stop"
    assert got.headers["x-relay-site"] == site
    assert got.headers["x-relay-driver"] == driver
    assert int(got.headers["x-relay-queue-ms"]) >= 0
    assert got.headers["x-request-id"]
    if stream:
        assert got.chunks >= 3
        assert bytes(got.heard.body).endswith(b"data: [DONE]\n\n") if got.heard else False


@pairs
@streams
async def test_reasoning(world: World, relay: RelayServer, site: str, driver: str, stream: bool) -> None:
    if site == "demo":
        got = await ask(relay, "demo/thinker", "hello", stream=stream)
        assert got.reasoning.startswith("The user writes: “hello”.")
        assert got.text.startswith("# About “hello”")
    elif site == "kimi" and driver == "fetch":
        await world.kimi(relay).play("answer")
        plain = await ask(relay, "kimi", "why", stream=stream)
        assert (plain.text, plain.reasoning) == ("answer", "")
        await world.kimi(relay).set(Scenario(cuts=3))
        got = await ask(relay, "kimi", "why", stream=stream, reasoning_effort="high")
        assert got.reasoning == "The user asks about scattering."
        assert got.text == "Because short waves scatter more."
    elif site == "kimi":
        failed = await refusal(relay, "kimi", "why", stream=stream, enable_thinking=True)
        assert (failed.status, failed.code) == (400, "invalid_request")
    else:
        got = await ask(relay, "gradio/thinking", "how much", stream=stream)
        assert got.text == "The answer is **42**."
        # Gradio folds its bubble up when the thought is done: the page has nothing to read then.
        assert got.reasoning == ("" if driver == "dom" else "Let me see ...")


@pairs
async def test_search(world: World, relay: RelayServer, site: str, driver: str) -> None:
    if site == "demo":
        got = await ask(relay, "demo", "hello", use_search=True)
        pages = ["https://example.com/overview", "https://example.org/guide?page=2", "https://example.net/faq"]
        assert got.sources == ([] if driver == "dom" else pages)
        assert ("hello" in got.reasoning) is (driver != "dom")
        assert "**demo model**" in got.text
    elif site == "kimi" and driver == "fetch":
        stage = world.kimi(relay)
        prompt = await stage.play("found")
        await stage.replicas.forget(account=stage.account)
        got = await ask(relay, "kimi-search", prompt)
        assert (got.text, got.annotations) == ("found", [])
        [record] = await stage.replicas.records(account=stage.account, operation="chat", count=1)
        assert record.body["tools"] == [{"type": "TOOL_TYPE_SEARCH", "search": {}}]
    elif site == "kimi":
        failed = await refusal(relay, "kimi", "look it up", use_search=True)
        assert (failed.status, failed.code) == (400, "invalid_request")
        assert "search" in failed.message
    else:  # no such switch: clients send the field to every model
        prompt = await world.gradio.play("found")
        got = await ask(relay, "gradio/text", prompt, use_search=True)
        assert got.text == "found"
        assert "use_search" in got.headers["x-relay-ignored"]


@pairs
async def test_attachments(world: World, relay: RelayServer, site: str, driver: str) -> None:
    notes = "笔记 notes\n".encode() * 500
    picture = base64.b64decode(PIXEL)
    files = [
        {"type": "file", "file": {"filename": "notes.txt", "file_data": _data_url("text/plain", notes)}},
        {"type": "image_url", "image_url": {"url": _data_url("image/png", picture)}},
    ]
    digests = {hashlib.sha256(data).hexdigest() for data in (notes, picture)}
    if site == "kimi":
        stage = world.kimi(relay)
        await stage.replicas.forget(account=stage.account)
        prompt = await stage.play("read")
        got = await ask(relay, "kimi", [*files, {"type": "text", "text": prompt}])
        assert got.text == "read"
        uploads = await stage.replicas.records(account=stage.account, operation="upload", count=2)
        assert {record.uploads[0].sha256 for record in uploads} == digests
        [chat] = await stage.replicas.records(account=stage.account, operation="chat", count=1)
        assert [block["file"]["status"] for block in chat.body["message"]["blocks"] if "file" in block] == [
            "PROCESS_STATUS_SUCCESS",
            "PROCESS_STATUS_SUCCESS",
        ]
    else:
        model = "demo" if site == "demo" else "gradio/multimodal"
        got = await ask(relay, model, [*files, {"type": "text", "text": "read them"}])
        assert all(digest in got.text for digest in digests), got.text
        assert "notes.txt" in got.text


@pytest.mark.parametrize(("site", "driver"), [("demo", "fetch")])
async def test_models(relay: RelayServer, site: str, driver: str) -> None:
    async with sdk(relay) as (client, tape):
        listed = [model.id async for model in await client.models.list()]
        validate("ListModelsResponse", tape.heard[-1].records()[0])
        one = await client.models.retrieve("kimi-thinking")
        validate("Model", tape.heard[-1].records()[0])
        with pytest.raises(openai.NotFoundError) as caught:
            await client.models.retrieve("kimi/nothing-of-the-kind")
    assert {"demo", "demo/echo", "kimi", "kimi/k2d6-thinking", "gradio", "gradio/text"} <= set(listed)
    assert one.id == "kimi-thinking"
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(("site", "driver"), [("demo", "fetch")])
@streams
async def test_an_unknown_model(relay: RelayServer, site: str, driver: str, stream: bool) -> None:
    failed = await refusal(relay, "chatgpt-9", "hi", stream=stream)
    assert (failed.status, failed.code) == (404, "model_not_found")
    assert json.loads(failed.heard.body)["error"]["message"]


def _data_url(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
