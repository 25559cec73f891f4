"""The list of models of several sites together, and models that nobody has."""

from __future__ import annotations

import json

import openai
import pytest

from tests.e2e.client import refusal, sdk
from tests.e2e.relay_server import RelayServer
from tests.spec import validate

pytestmark = pytest.mark.xdist_group("world")


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
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_an_unknown_model(relay: RelayServer, site: str, driver: str, stream: bool) -> None:
    failed = await refusal(relay, "chatgpt-9", "hi", stream=stream)
    assert (failed.status, failed.code) == (404, "model_not_found")
    assert json.loads(failed.heard.body)["error"]["message"]
