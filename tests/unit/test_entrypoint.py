"""The image's entrypoint: it starts what it is asked to, or says why that cannot work."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ENTRYPOINT = Path(__file__).resolve().parents[2] / "docker" / "entrypoint"


def start(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "RELAY_HOME": str(home)}
    return subprocess.run(["sh", ENTRYPOINT, *command], env=environment, capture_output=True, text=True, timeout=20)


def test_starts_what_it_is_asked_to(tmp_path: Path) -> None:
    assert start(tmp_path, "echo", "a b", "$c").stdout == "a b $c\n"
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    done = start(tmp_path / "missing", "echo", "started")
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not writable for uid" in done.stderr
