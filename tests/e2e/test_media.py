"""A picture that the demo model draws: only its login can fetch it, and yet a client sees it."""

from __future__ import annotations

import re

import httpx
import pytest

from tests.e2e.client import ask, sdk
from tests.e2e.world import World

pytestmark = pytest.mark.xdist_group("world")

LINK = re.compile(r"!\[picture\.svg\]\((http://[^)]+/content)\)")


@pytest.mark.parametrize("driver", ["fetch", "screen"])
async def test_a_picture(world: World, driver: str) -> None:
    relay = world.serve(driver)
    got = await ask(relay, "demo", "draw a house")
    link = LINK.search(got.text)
    assert link, got.text[-300:]
    async with httpx.AsyncClient(trust_env=False) as http:
        seen = await http.get(link[1])
        drawn = await http.get(f"{world.demo.address}/static/picture.svg")
    assert seen.headers["content-type"] == "image/svg+xml"
    assert seen.content == drawn.content
    async with sdk(relay) as (client, _):
        made = await client.images.generate(model="demo", prompt="a house")
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get((made.data or [])[0].url or "")).content == drawn.content
