"""One world and one server per driver for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.relay_server import RelayServer
from tests.e2e.world import World, server_of
from tests.replicas import Replicas


@pytest.fixture(scope="session")
def world(replicas: Replicas) -> Iterator[World]:
    """Sites, replicas and servers."""
    with World(replicas) as made:
        yield made


@pytest.fixture
def relay(world: World, site: str, driver: str) -> RelayServer:
    """The server that runs the test's `site` by its `driver`."""
    return world.serve(server_of(site, driver))
