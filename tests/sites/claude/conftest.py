"""A relay server with one account at the Claude replica, per driver."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import accounts
from tests.e2e.relay_server import RelayServer
from tests.replicas import Answer, Piece, Replicas, Scenario
from tests.replicas.claude import storage_state
from tests.replicas.seen import Seen


@dataclass
class Claude:
    """A server, and what its account meets at the site."""

    server: RelayServer
    replicas: Replicas
    account: str

    async def play(self, *pieces: Piece, **more: Any) -> None:
        """From now on each answer is made of these pieces."""
        answer = Answer(pieces=list(pieces) or [Piece(text="So it is.")])
        await self.replicas.play("claude", self.account, Scenario(answer=answer, **more))

    async def seen(self) -> Seen:
        """What the site saw."""
        return await self.replicas.seen("claude", self.account)

    def row(self) -> dict[str, Any]:
        """The account as the owner's lists show it."""
        transport = httpx.HTTPTransport(uds=str(self.server.home / "relay.sock"))
        with httpx.Client(transport=transport, base_url="http://relay", timeout=30) as http:
            [row] = http.get("/admin/api/accounts").json()["accounts"]
        return dict(row)


@contextmanager
def claude(
    replicas: Replicas, folder: Path, driver: str, *, options: dict[str, Any] | None = None, **settings: str
) -> Iterator[Claude]:
    """A server that runs Claude by this driver; `options` are those of account.toml."""
    (folder / "browser_profiles").mkdir(parents=True)
    account = f"{folder.name}-{driver.partition(',')[0]}"
    made = accounts.write(folder, "claude", account, storage_state(account))
    if options:
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in options.items()]
        (made / "account.toml").write_text("[options]\n" + "".join(lines), "utf-8")
    browser = {"RELAY_BROWSER__HOST_RULES": replicas.host_rules, "RELAY_BROWSER__TRUSTED_SPKI": replicas.spki}
    clocks = {"RELAY_CLOCKS__FIRST_BYTE_S": "40", "RELAY_CLOCKS__IDLE_S": "40", "RELAY_COMMIT_AFTER_S": "60"}
    drivers = {"RELAY_SITES__CLAUDE__DRIVERS": driver}
    with RelayServer(folder, {**browser, **clocks, **drivers, **settings}) as server:
        yield Claude(server, replicas, account)


@pytest.fixture(scope="session")
def by_fetch(replicas: Replicas, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Claude]:
    """By the site's API."""
    with claude(replicas, tmp_path_factory.mktemp("claude"), "fetch") as made:
        yield made


@pytest.fixture(scope="session")
def by_screen(replicas: Replicas, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Claude]:
    """By the site's page."""
    with claude(replicas, tmp_path_factory.mktemp("claude"), "screen") as made:
        yield made


@pytest.fixture
def site(request: pytest.FixtureRequest, driver: str) -> Claude:
    """The server that runs the test's driver."""
    made: Claude = request.getfixturevalue(f"by_{driver}")
    return made
