"""Codex CLI: OpenAI's coding agent, by /v1/responses. It runs a command, and tells what that printed."""

from __future__ import annotations

from pathlib import Path

from tests import npm
from tests.clients.programs.place import Place

CONFIG = """\
model = "demo"
model_provider = "relay"
check_for_update_on_startup = false

[analytics]
enabled = false

[model_providers.relay]
name = "relay"
base_url = "{url}"
wire_api = "responses"
"""
WRITTEN = "written by Codex"
PROMPT = f"Use the exec_command tool to run `echo {WRITTEN} | tee proof.txt`."


def install() -> Path:
    """The program."""
    return npm.node_modules(Path(__file__).parent) / ".bin" / "codex"


def use(program: Path, place: Place) -> str:
    """A turn in which the model wants a command run, and the turn that sends what it printed."""
    settings = place.home / ".codex" / "config.toml"
    settings.parent.mkdir()
    settings.write_text(CONFIG.format(url=place.url), "utf-8")
    # Its sandbox wants rights that a container may not have; the only command is the one above.
    said = place.run(
        program, "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "--color=never", PROMPT
    )
    assert (place.project / "proof.txt").read_text("utf-8") == f"{WRITTEN}\n"
    assert "The tools say: exec_command: " in said and WRITTEN in said, said
    first, second = [each.request for each in place.gather() if each.path == "/v1/responses"]
    kinds = [item["type"] for item in second["input"]]
    assert "function_call_output" not in [item["type"] for item in first["input"]]
    assert kinds[-2:] == ["function_call", "function_call_output"], kinds
    return "ran a command that the model called for, sent what it printed, showed the answer"
