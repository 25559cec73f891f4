"""The unmodified `openai` package for Node."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import Served
from tests.api.pool import ANSWER

NODE = Path(__file__).parent.parent / "node"


def run(node_modules: Path, relay: Served, scenario: str) -> Any:
    done = subprocess.run(
        ["node", str(NODE / "chat.mjs"), f"{relay.url}/v1", scenario],
        env={"PATH": os.environ["PATH"], "NODE_MODULES": str(node_modules)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_whole(node_modules: Path, relay: Served) -> None:
    got = run(node_modules, relay, "whole")
    assert got["content"] == ANSWER
    assert got["finish"] == "stop"
    assert got["request_id"] == relay.pool.last.id


def test_stream(node_modules: Path, relay: Served) -> None:
    got = run(node_modules, relay, "stream")
    assert got["content"] == ANSWER
    assert got["finish"] == "stop"
    assert got["ids"] == 1
    assert got["usage"]["total_tokens"] == got["usage"]["prompt_tokens"] + got["usage"]["completion_tokens"]


def test_reasoning_and_sources(node_modules: Path, relay: Served) -> None:
    got = run(node_modules, relay, "rich")
    assert got["reasoning"] == "Searching: weather in Oslo\nLet me think."
    assert [a["url_citation"]["url"] for a in got["annotations"]] == ["https://example.org/a"]


def test_models(node_modules: Path, relay: Served) -> None:
    got = run(node_modules, relay, "models")
    assert "demo" in got["ids"]
    assert got["one"] == "demo/echo"


def test_unknown_model(node_modules: Path, relay: Served) -> None:
    got = run(node_modules, relay, "unknown")
    assert (got["name"], got["status"], got["code"]) == ("NotFoundError", 404, "model_not_found")
    assert got["requestID"]


def test_an_answer_cut_in_the_middle_raises(node_modules: Path, relay: Served) -> None:
    got = run(node_modules, relay, "cut")
    assert (got["name"], got["code"]) == ("APIError", "answer_cut")


@pytest.mark.parametrize("scenario", ["cancel", "cancelResponse"])
def test_cancel_reaches_the_pool(node_modules: Path, relay: Served, scenario: str) -> None:
    assert run(node_modules, relay, scenario) == {"aborted": True}
    assert relay.pool.last.cancelled.wait(10)
