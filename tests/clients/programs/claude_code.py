"""Claude Code: Anthropic's coding agent, by /v1/messages. It writes a file, and reads it in the next run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests import npm
from tests.clients.exchange import Exchange
from tests.clients.programs.place import Place

WRITTEN = "written by Claude Code"


def install() -> Path:
    """The program."""
    return npm.node_modules(Path(__file__).parent) / ".bin" / "claude"


def use(program: Path, place: Place) -> str:
    """Two runs of one conversation: each has a turn in which the model calls a tool, and one that sends its result."""
    proof = place.project / "proof.txt"
    settings = {
        "ANTHROPIC_BASE_URL": place.root,
        "ANTHROPIC_API_KEY": "none",
        "ANTHROPIC_MODEL": "demo",
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": "demo",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }

    def ask(*words: str) -> dict[str, Any]:
        answer = json.loads(place.run(program, "-p", *words, "--output-format", "json", **settings))
        assert isinstance(answer, dict) and not answer["is_error"], answer
        return answer

    wrote = ask(f'Use the Write tool with file_path: {proof}, content: "{WRITTEN}".', "--allowedTools", "Write")
    assert proof.read_text("utf-8") == WRITTEN
    assert (wrote["num_turns"], "The tools say: Write: " in wrote["result"]) == (2, True), wrote
    read = ask(f"Use the Read tool with file_path: {proof}.", "--allowedTools", "Read", "--continue")
    assert f"\t{WRITTEN}" in read["result"], read
    told = [each.request for each in place.gather() if each.path == "/v1/messages" and _ends_with_a_result(each)]
    assert len(told) == 2, "a request for each result"
    return "wrote a file by a tool that the model called, and read it by another when the conversation went on"


def _ends_with_a_result(exchange: Exchange) -> bool:
    last = exchange.request["messages"][-1]
    return any(block["type"] == "tool_result" for block in last["content"] if isinstance(block, dict))
