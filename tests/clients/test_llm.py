"""The `llm` command: a prompt, a schema, a tool."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clients.tap import Tap
from tests.e2e.relay_server import environment

WEATHER = 'def get_weather(city: str) -> str:\n    "The weather of a city"\n    return f"It snows in {city}."\n'
Llm = Callable[..., str]


@pytest.fixture
def llm(relay: Tap, programs: Path, tmp_path: Path) -> Llm:
    """Runs `llm` as its manual says for a server that is not OpenAI's; what it prints."""
    model = {
        "model_id": "relay",
        "model_name": "demo",
        "api_base": f"{relay.url}/v1",
        "supports_tools": True,
        "supports_schema": True,
    }
    (tmp_path / "extra-openai-models.yaml").write_text(json.dumps([model]), "utf-8")
    env = environment({"LLM_USER_PATH": str(tmp_path), "HOME": str(tmp_path), "OPENAI_API_KEY": "none"})

    def run(*arguments: str) -> str:
        command = [str(programs / "llm"), *arguments, "--model", "relay"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_a_prompt(llm: Llm) -> None:
    assert "“good morning”" in llm("good morning")


def test_a_schema(llm: Llm) -> None:
    assert json.loads(llm("Jane is 54 years old.", "--schema", "name, age int")) == {"name": "Jane", "age": 54}


def test_a_tool(llm: Llm) -> None:
    assert "It snows in Oslo." in llm("What is the weather in Oslo?", "--functions", WEATHER)
