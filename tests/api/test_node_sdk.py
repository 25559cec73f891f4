"""The unmodified `openai` package for Node."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.api.conftest import Served
from tests.api.pool import ANSWER

NODE = Path(__file__).parent.parent / "node"
CACHE = Path(__file__).parent.parent.parent / ".cache"


@pytest.fixture(scope="module")
def modules() -> Path:
    """`node_modules` with the locked packages, installed once per lock file."""
    if shutil.which("npm") is None:
        pytest.fail("npm is needed: install Node 20 or newer")
    lock = NODE / "package-lock.json"
    digest = hashlib.sha256(lock.read_bytes() + (NODE / "package.json").read_bytes()).hexdigest()[:16]
    folder = CACHE / f"node-{digest}"
    CACHE.mkdir(exist_ok=True)
    with FileLock(CACHE / f"node-{digest}.lock"):
        if not (folder / "installed").exists():
            folder.mkdir(exist_ok=True)
            for name in ("package.json", "package-lock.json", ".npmrc"):
                shutil.copy(NODE / name, folder / name)
            subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=folder, check=True, timeout=100)
            (folder / "installed").touch()
    return folder / "node_modules"


def run(modules: Path, relay: Served, scenario: str) -> Any:
    done = subprocess.run(
        ["node", str(NODE / "chat.mjs"), f"{relay.url}/v1", scenario],
        env={"PATH": os.environ["PATH"], "NODE_MODULES": str(modules)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_whole(modules: Path, relay: Served) -> None:
    got = run(modules, relay, "whole")
    assert got["content"] == ANSWER
    assert got["finish"] == "stop"
    assert got["request_id"] == relay.pool.last.id


def test_stream(modules: Path, relay: Served) -> None:
    got = run(modules, relay, "stream")
    assert got["content"] == ANSWER
    assert got["finish"] == "stop"
    assert got["ids"] == 1
    assert got["usage"]["total_tokens"] == got["usage"]["prompt_tokens"] + got["usage"]["completion_tokens"]


def test_reasoning_and_sources(modules: Path, relay: Served) -> None:
    got = run(modules, relay, "rich")
    assert got["reasoning"] == "Searching: weather in Oslo\nLet me think."
    assert [a["url_citation"]["url"] for a in got["annotations"]] == ["https://example.org/a"]


def test_models(modules: Path, relay: Served) -> None:
    got = run(modules, relay, "models")
    assert "demo" in got["ids"]
    assert got["one"] == "demo/echo"


def test_unknown_model(modules: Path, relay: Served) -> None:
    got = run(modules, relay, "unknown")
    assert (got["name"], got["status"], got["code"]) == ("NotFoundError", 404, "model_not_found")
    assert got["requestID"]


def test_an_answer_cut_in_the_middle_raises(modules: Path, relay: Served) -> None:
    got = run(modules, relay, "cut")
    assert (got["name"], got["code"]) == ("APIError", "answer_cut")


def test_cancel_reaches_the_pool(modules: Path, relay: Served) -> None:
    assert run(modules, relay, "cancel") == {"aborted": True}
    assert relay.pool.last.cancelled.wait(10)
