"""Half a minute of mixed load: too short for a slope, long enough to see what is left lying about."""

from __future__ import annotations

import pytest

from tests.endurance import soak
from tests.endurance.ground import Ground
from tests.replicas import Replicas


@pytest.mark.endurance
@pytest.mark.timeout(400)
async def test_half_a_minute_leaves_nothing_behind(replicas: Replicas) -> None:
    with Ground(replicas, piece_ms=20) as ground:
        result = await soak.run(ground, 0.5, 7, print)
    assert result.holds, result.markdown()
    assert any("Slope after minute" in note for note in result.notes)
