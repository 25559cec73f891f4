"""What the tests of this folder share."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from loguru import logger

from relay.pool.conversations import Conversations
from relay.pool.store import Store
from tests.unit.pool.talks import KEEP_S, Clock


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's own proxies know nothing of loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """Everything that anybody logs, of all libraries too."""
    caplog.set_level(logging.DEBUG)
    lines: list[str] = []
    sink = logger.add(lines.append, level="TRACE", format="{message} {exception}")
    yield lambda: caplog.text + "".join(lines)
    logger.remove(sink)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "relay.db", clock)
    yield opened
    await opened.close()


@pytest.fixture
def talks(store: Store, clock: Clock) -> Conversations:
    return Conversations(store, "auto", KEEP_S, clock)
