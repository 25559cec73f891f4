"""Vercel's AI SDK, by each of its providers that speak to relay."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.clients.tap import Tap
from tests.conftest import NODE

JANE = {"name": "Jane", "age": 54}


@pytest.mark.parametrize("provider", ["compatible", "chat", "responses", "anthropic"])
def test_provider(relay: Tap, node_modules: Path, provider: str) -> None:
    done = subprocess.run(
        ["node", str(NODE / "ai.mjs"), relay.url, provider],
        env={"PATH": os.environ["PATH"], "NODE_MODULES": str(node_modules)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    got = json.loads(done.stdout)
    assert "“good morning”" in got["text"]["text"], got["text"]
    assert got["text"]["pieces"] > 5
    assert got["text"]["finish"] == "stop"
    assert got["text"]["usage"]["outputTokens"] > 0
    assert "“good morning”" in got["thinker"]["text"], got["thinker"]
    if provider != "chat":  # OpenAI's own chat API shows no reasoning, so that provider reads none.
        assert "“good morning”" in got["thinker"]["reasoning"]
    assert got["tools"]["calls"] == [["get_weather", {"city": "Oslo"}]], got["tools"]
    assert "It snows in Oslo." in got["tools"]["text"]
    assert got["tools"]["finish"] == ["tool-calls", "stop"]
    assert got["object"] == JANE
    assert got["objectStream"]["object"] == JANE, got["objectStream"]
