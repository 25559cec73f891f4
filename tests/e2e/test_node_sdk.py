"""The unmodified `openai` package for Node against the three sites, by fetch and by screen."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests.conftest import NODE
from tests.e2e.relay_server import RelayServer
from tests.e2e.stages import sent_by
from tests.e2e.world import World

pytestmark = pytest.mark.xdist_group("world")

TEXT = " \n# Sky 天空\n\nShort waves scatter **more** 🌌👩🏽‍🚀.\n\n```py\nprint(1 < 2)\n```\n"


@pytest.mark.parametrize("scenario", ["whole", "stream"])
@pytest.mark.parametrize(
    ("site", "driver"),
    [
        ("demo", "fetch"),
        ("demo", "screen"),
        ("kimi", "fetch"),
        ("kimi", "screen"),
        ("gradio", "fetch:queue"),
        ("gradio", "screen"),
    ],
)
async def test_the_answer(
    world: World, relay: RelayServer, node_modules: Path, site: str, driver: str, scenario: str
) -> None:
    stage = world.stage(site, relay)
    prompt = await stage.play(TEXT, seed=3)
    node = await asyncio.create_subprocess_exec(
        *("node", str(NODE / "chat.mjs"), f"{relay.url}/v1", scenario, stage.model, prompt),
        env={"PATH": os.environ["PATH"], "NODE_MODULES": str(node_modules)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await node.communicate()
    assert node.returncode == 0, error.decode()
    got = json.loads(out)
    assert got["content"] == sent_by(site, driver, TEXT)
    assert got["finish"] == "stop"
