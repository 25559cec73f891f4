"""One relay with the demo site for all programs, behind a tap; after each test everything that it heard is checked."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.clients.tap import Tap
from tests.conftest import ROOT
from tests.e2e.world import World


@pytest.fixture(scope="package")
def tapped() -> Iterator[Tap]:
    """A running relay, behind a tap."""
    with (
        World() as world,
        world.server("fetch", sites="demo") as server,
        Tap(int(server.url.rpartition(":")[2])) as tap,
    ):
        yield tap


@pytest.fixture
def relay(tapped: Tap) -> Iterator[Tap]:
    """The same; everything that a test's clients got must fit the API's description. A test closes its clients."""
    yield tapped
    heard = tapped.heard()
    assert heard, "the test's clients asked nothing"
    for exchange in heard:
        exchange.check()


@pytest.fixture
def client(relay: Tap) -> Iterator[openai.OpenAI]:
    """The `openai` package, which here validates strictly what it gets."""
    with openai.OpenAI(
        base_url=f"{relay.url}/v1", api_key="none", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


@pytest.fixture(scope="session")
def programs() -> Path:
    """Where the Python programs are, installed once per lock file."""
    command = [sys.executable, str(ROOT / "scripts" / "test-env"), "clients"]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Path(made.stdout.strip()).parent
