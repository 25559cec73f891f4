"""Prompts that are longer than the site takes: as a text file where the model takes files, else refused unsent."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from relay.chat.prompt import PROMPT_FILE, flatten
from relay.chat.request import Message
from tests.e2e.client import ask, refusal, sdk
from tests.e2e.relay_server import RelayServer
from tests.e2e.world import World

pytestmark = pytest.mark.xdist_group("world")

LIMIT = 100_000
"""Characters of a prompt, at the demo site."""
LINE = "Short waves scatter more 天空 🌌 naïve façade\n\t"
LONG = LINE * (LIMIT // len(LINE) + 1)
FEW = "what is in the attached file, in short?"


def received(prompt: str) -> tuple[str, str]:
    """What the demo model tells of the file that holds this prompt."""
    data = prompt.encode()
    return f"{len(data)} bytes", hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("driver", ["fetch", "screen", "dom"])
@pytest.mark.parametrize("site", ["demo"])
async def test_the_prompt_goes_as_a_file(world: World, relay: RelayServer, site: str, driver: str) -> None:
    assert len(LONG) > LIMIT
    got = await ask(relay, "demo", LONG)
    assert PROMPT_FILE in got.text
    for part in received(LONG):
        assert part in got.text
    messages = [Message("user", LONG), Message("assistant", "Very long."), Message("user", FEW)]
    async with sdk(relay) as (client, _):
        asked: Any = [{"role": message.role, "content": message.text} for message in messages]
        answer = await client.chat.completions.create(model="demo", messages=asked)
    text = answer.choices[0].message.content or ""
    for part in received(flatten(messages)):
        assert part in text
    assert FEW in text, "what has to be answered is said in the box as well"


@pytest.mark.parametrize("driver", ["fetch", "screen"])
@pytest.mark.parametrize("site", ["demo"])
async def test_a_prompt_at_the_limit_goes_as_it_is(world: World, relay: RelayServer, site: str, driver: str) -> None:
    prompt = LONG[: LIMIT - 1] + "."
    assert (await ask(relay, "demo/echo", prompt)).text == prompt


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("site", "driver"), [("demo", "fetch"), ("demo", "screen")])
async def test_a_model_without_files_takes_no_longer_one(
    world: World, relay: RelayServer, site: str, driver: str, stream: bool
) -> None:
    before = await world.demo.stats()
    failed = await refusal(relay, "demo/script", LONG, stream=stream)
    assert (failed.status, failed.code, failed.type) == (400, "context_length_exceeded", "invalid_request_error")
    assert str(len(LONG)) in failed.message and str(LIMIT) in failed.message
    assert (await world.demo.stats())["started"] == before["started"], "nothing was sent"
    assert (await ask(relay, "demo/script", await world.demo.play("short"))).text == "short"
