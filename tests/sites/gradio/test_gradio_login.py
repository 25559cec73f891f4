"""A real Gradio app that asks for a password (`auth=`): added from the command line, dead and logged in again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.e2e.relay_server import environment
from tests.sites.gradio.conftest import Apps


def relay(home: Path, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "relay", "accounts", *arguments]
    env = environment({"RELAY_HOME": str(home)})
    return subprocess.run(command, cwd=home, env=env, input=given, capture_output=True, text=True, timeout=90)


def test_a_password_from_standard_input(apps: Apps, tmp_path: Path) -> None:
    (tmp_path / "browser_profiles").mkdir()
    add = ("add", "gradio", "--account", "mine", "--base-url", f"{apps.address}/auth", "--token-stdin")
    wrong = relay(tmp_path, *add, given="ada:wrong\n")
    assert wrong.returncode == 1
    assert "user name and password" in wrong.stderr
    assert list((tmp_path / "browser_profiles").iterdir()) == []
    added = relay(tmp_path, *add, given="ada:lovelace:1815\n")
    assert added.returncode == 0, added.stderr
    state = tmp_path / "browser_profiles" / "gradio" / "mine" / "state.json"
    assert "lovelace" not in state.read_text() + added.stdout + added.stderr
    assert relay(tmp_path, "check").stdout == "gradio/mine: ready (ada)\n"
    state.write_text('{"cookies": [], "origins": []}')
    dead = relay(tmp_path, "check")
    assert (dead.returncode, dead.stdout.partition(":")[0]) == (1, "gradio/mine")
    assert "login_needed" in dead.stdout
    again = relay(tmp_path, "add", "gradio", "--account", "mine", "--token-stdin", given="ada:lovelace:1815")
    assert again.returncode == 0, again.stderr
    assert relay(tmp_path, "check").stdout == "gradio/mine: ready (ada)\n"
