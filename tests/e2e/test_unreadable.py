"""The last resort: an answer is read off its page where its traffic is not understood any more."""

from __future__ import annotations

import pytest

from tests.e2e import accounts
from tests.e2e.client import ask, refusal
from tests.e2e.world import ROOT, World

pytestmark = pytest.mark.xdist_group("world")


@pytest.mark.parametrize("what", ["stream", "head"])
async def test_dom_answers_where_the_traffic_is_not_understood(world: World, what: str) -> None:
    changed = {"PYTHONPATH": str(ROOT), "RELAY_TEST_CHANGED": what}
    for driver in ("dom", "screen"):
        relay = world.alone("demo", driver, module="tests.e2e.unreadable", **changed)
        accounts.demo(relay.home, world.demo.address, world.secret)
        prompt = await world.demo.play("It is as it was.")
        with relay:
            if driver == "dom":
                assert (await ask(relay, "demo/script", prompt)).text == "It is as it was."
            else:
                assert (await refusal(relay, "demo/script", prompt)).code == "site_changed"
