"""The image's entrypoint: the key made at the first start, shown once, and handed to the server."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ENTRYPOINT = Path(__file__).resolve().parents[2] / "docker" / "entrypoint"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    commands = tmp_path / "bin"
    commands.mkdir()
    relay = commands / "relay"
    relay.write_text('#!/bin/sh\necho "keys=${RELAY_API_KEYS:-}"\n')
    relay.chmod(0o755)
    (commands / "python").symlink_to(sys.executable)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def start(home: Path, *command: str, **extra: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": f"{home.parent / 'bin'}:{os.environ['PATH']}", "RELAY_HOME": str(home), **extra}
    return subprocess.run(["sh", ENTRYPOINT, *command], env=environment, capture_output=True, text=True, timeout=20)


def test_makes_a_key_shows_it_once_and_keeps_it(home: Path) -> None:
    first = start(home, "relay", "serve")
    key = (home / "api-key").read_text().strip()
    assert re.fullmatch(r"rk-[\w-]{40,}", key)
    assert stat.S_IMODE((home / "api-key").stat().st_mode) == 0o600
    assert key in first.stderr
    assert first.stdout == f"keys={key}\n"

    second = start(home, "relay", "serve")
    assert second.stdout == f"keys={key}\n"
    assert second.stderr == ""


def test_a_given_key_wins(home: Path) -> None:
    done = start(home, "relay", "demo", RELAY_API_KEYS="rk-mine")
    assert done.stdout == "keys=rk-mine\n"
    assert list(home.iterdir()) == []


def test_other_commands_make_none(home: Path) -> None:
    assert start(home, "relay", "sites").stdout == "keys=\n"
    assert list(home.iterdir()) == []


def test_a_home_that_cannot_be_written_is_said(home: Path) -> None:
    done = start(home, "relay", "serve", RELAY_HOME=str(home / "missing"))
    assert done.returncode == 1
    assert "is not writable for uid" in done.stderr
