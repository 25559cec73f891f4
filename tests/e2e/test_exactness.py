"""Twelve answers per site and driver, from a fresh seed (`RELAY_EXACT_SEED` repeats one). `scripts/exact` does more."""

from __future__ import annotations

import os
import random

import pytest

from tests.e2e.world import PAIRS, World
from tests.exactness import cases, run

pytestmark = pytest.mark.xdist_group("world")

SEED = int(os.environ.get("RELAY_EXACT_SEED") or random.SystemRandom().randrange(10**6))
COUNT = 12


def _largest_bytes(site: str, driver: str) -> int:
    """The byte paths get a whole megabyte; a page has to render what it shows."""
    if driver == "dom":
        return 20_000
    return 100_000 if site == "gradio" else 1_000_000


@pytest.mark.parametrize(("site", "driver"), PAIRS)
async def test_answers_arrive_exactly(world: World, site: str, driver: str) -> None:
    print(f"RELAY_EXACT_SEED={SEED}")
    wanted = cases(site, driver, SEED, COUNT, largest_bytes=_largest_bytes(site, driver), at_largest=1)
    outcome = await run(world, site, driver, wanted)
    assert not outcome.failures, "\n".join([f"RELAY_EXACT_SEED={SEED}", *outcome.failures])
    assert outcome.exact == COUNT
