"""Twenty streams at once, and a burst against a full queue. `scripts/endure load` runs a hundred, and judges times."""

from __future__ import annotations

import pytest

from tests.endurance import load
from tests.endurance.ground import Ground
from tests.replicas import Replicas

TIMED = ("p99", "run at once")
"""Parts of the names of checks that depend on how fast the machine is."""


@pytest.mark.endurance
@pytest.mark.timeout(400)
async def test_streams_arrive_whole_and_a_full_queue_refuses(replicas: Replicas) -> None:
    with Ground(replicas) as ground:
        result = await load.run(ground, load.Size(streams=20, accounts=5, seconds=6, burst=200), ["socket"], print)
    assert any("burst" in check.what for check in result.checks)
    broken = [check for check in result.checks if not check.holds and not any(part in check.what for part in TIMED)]
    assert not broken, result.markdown()
