"""The replicas, started once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.replicas import Replicas


@pytest.fixture(scope="session")
def replicas() -> Iterator[Replicas]:
    """One running replica process; tests keep apart by using accounts of their own."""
    with Replicas() as running:
        yield running
