"""Where a program runs: a home and a project of its own, and nothing of this machine's but the PATH."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.clients.exchange import Exchange
from tests.clients.tap import Tap
from tests.conftest import ROOT

RUN_S = 180
NOWHERE = "http://127.0.0.1:9"
"""Nobody listens there: whoever asks its maker for news gets no answer, at once."""


@dataclass
class Place:
    """`home` and `project` are empty at first. What the program asked of relay is in `heard`, once it was gathered."""

    tap: Tap
    home: Path
    project: Path
    heard: list[Exchange] = field(default_factory=list)

    @property
    def root(self) -> str:
        """The address that clients of Anthropic's API want."""
        return self.tap.url

    @property
    def url(self) -> str:
        """The address that clients of OpenAI's API want."""
        return f"{self.tap.url}/v1"

    def environment(self, **settings: str) -> dict[str, str]:
        """A program's: no key, no setting and no network of the machine's owner."""
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), NOWHERE)
        here = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
        return {"PATH": os.environ["PATH"], "HOME": str(self.home), "LANG": "C.UTF-8", **proxies, **here, **settings}

    def run(self, *command: str | Path, **settings: str) -> str:
        """Run a program in the project to its end; what it printed. Raises AssertionError where it failed."""
        done = subprocess.run(
            command,
            cwd=self.project,
            env=self.environment(**settings),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=RUN_S,
            check=False,
        )
        assert done.returncode == 0, f"status {done.returncode}: {done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done.stdout

    def gather(self) -> list[Exchange]:
        """Everything that was asked so far."""
        self.heard += self.tap.heard()
        return self.heard


def python_programs(name: str) -> Path:
    """The programs of an environment of scripts/test-env, which is made if it is not there."""
    command = [sys.executable, str(ROOT / "scripts" / "test-env"), name]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Path(made.stdout.strip()).parent
