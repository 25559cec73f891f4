"""Programs that are called from Python: their tests run in an environment of their own, since versions conflict."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.clients.tap import Tap
from tests.e2e.relay_server import environment

SUITES = Path(__file__).parent / "suites"


@pytest.mark.parametrize(
    ("suite", "passed", "skipped"),
    [
        # Skipped: see langchain_suite.py.
        ("langchain", 98, 2),
        ("litellm", 4, 0),
        ("pydantic_ai", 8, 0),
        ("instructor", 3, 0),
    ],
)
def test_suite(relay: Tap, programs: Path, tmp_path: Path, suite: str, passed: int, skipped: int) -> None:
    done = subprocess.run(
        [programs / "python", "-m", "pytest", SUITES / f"{suite}_suite.py"],
        cwd=SUITES,
        env=environment(
            {
                "RELAY_URL": relay.url,
                "HOME": str(tmp_path),
                # What these programs would tell or ask their makers.
                "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                "LANGSMITH_TRACING": "false",
            }
        ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
        check=False,
    )
    if done.returncode:
        pytest.fail(done.stdout, pytrace=False)
    # Not always the last line: threads of these programs may still complain as Python ends.
    summary = next((line for line in reversed(done.stdout.splitlines()) if " passed" in line), "")
    counted = {word: int(number) for number, word in re.findall(r"(\d+) (\w+)", summary)}
    assert (counted.get("passed"), counted.get("skipped", 0)) == (passed, skipped), done.stdout
