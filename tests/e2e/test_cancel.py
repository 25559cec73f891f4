"""The client leaves in mid-stream: Gradio, and the demo site by `dom`. What else there is: test_leaving."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.e2e.client import ask, sdk
from tests.e2e.relay_server import RelayServer
from tests.e2e.world import PAIRS, World

pytestmark = pytest.mark.xdist_group("world")


@pytest.mark.parametrize(("site", "driver"), [pair for pair in PAIRS if pair[0] == "gradio" or pair == ("demo", "dom")])
async def test_leaving_stops_the_answer(world: World, relay: RelayServer, site: str, driver: str) -> None:
    model, prompt, stopped = await _endless(world, site)
    async with sdk(relay) as (client, _):
        stream = await client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": prompt}], stream=True
        )
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        await stream.close()
    await stopped()
    stage = world.stage(site, relay)
    got = await ask(relay, stage.model, await stage.play("and on it goes"))
    assert got.text == "and on it goes"
    assert (await ask(relay, stage.model, await stage.play("and on"), stream=False)).text == "and on"


async def _endless(world: World, site: str) -> tuple[str, str, Callable[[], Awaitable[None]]]:
    """A model and a prompt whose answer begins and never ends, and how to wait until the site knows it is stopped."""
    if site == "demo":
        prompt = await world.demo.store([(0, "It begins.\n\n"), (0, "It goes on."), (600_000, "never")])
        before = await world.demo.stats()

        async def stopped() -> None:
            async def seen() -> bool:
                now = await world.demo.stats()
                return now["stopped"] + now["aborted"] == before["stopped"] + before["aborted"] + 1

            await _until(seen)

        return "demo/script", prompt, stopped
    count = len(_stops(world))

    async def recorded() -> None:
        async def seen() -> bool:
            return len(_stops(world)) == count + 1

        await _until(seen)

    return "gradio/text", "endless", recorded


def _stops(world: World) -> list[object]:
    return [item for item in world.gradio.received() if item["event"] == "stopped"]


async def _until(seen: Callable[[], Awaitable[bool]], timeout_s: float = 20) -> None:
    """Ask again and again: these sites keep counters, and call nobody."""
    async with asyncio.timeout(timeout_s):
        while not await seen():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
