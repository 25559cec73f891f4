"""A thousand chats of twenty callers on all sites. `scripts/endure isolation` runs ten thousand."""

from __future__ import annotations

import os
import random

import pytest

from tests.endurance import isolation
from tests.endurance.ground import Ground
from tests.replicas import Replicas

SEED = int(os.environ.get("RELAY_ENDURE_SEED") or random.SystemRandom().randrange(10**6))


@pytest.mark.endurance
@pytest.mark.timeout(600)
async def test_nobody_gets_what_is_anothers(replicas: Replicas) -> None:
    print(f"RELAY_ENDURE_SEED={SEED}")
    with Ground(replicas) as ground:
        result = await isolation.run(ground, 1000, SEED, print)
    assert result.holds, f"RELAY_ENDURE_SEED={SEED}\n{result.markdown()}"
    errors = [line for line in result.evidence if "an error:" in line]
    assert not errors, "nothing was broken, so every chat has an answer"
