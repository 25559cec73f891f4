"""The browser dies under the chat: the answer fails, and the next request finds another browser."""

from __future__ import annotations

from collections.abc import Callable

import openai
import psutil
import pytest

from tests.e2e.client import ask, sdk
from tests.e2e.relay_server import RelayServer
from tests.e2e.world import World
from tests.replicas import Answer, Fault, Piece, Scenario

DEATHS: dict[str, Callable[[RelayServer], list[psutil.Process]]] = {
    "renderer": lambda relay: relay.renderers(),
    "browser": lambda relay: [relay.browser()],
}


@pytest.mark.parametrize("direct", ["false", "true"], ids=["pipe", "socket"])
@pytest.mark.parametrize("driver", ["fetch", "screen"])
async def test_a_death_in_mid_answer(world: World, driver: str, direct: str) -> None:
    with world.server(driver, "kimi demo", RELAY_BROWSER__DIRECT_CDP=direct) as relay:
        stage = world.kimi(relay)
        for name, doomed in DEATHS.items():
            stalls = [Fault(kind="stall", after=1, times=1)]
            await stage.set(Scenario(answer=Answer(pieces=[Piece(text="It begins.")]), faults=stalls))
            async with sdk(relay) as (client, tape):
                stream = await client.chat.completions.create(
                    model="kimi", messages=[{"role": "user", "content": "hi"}], stream=True
                )
                text = ""
                with pytest.raises(openai.APIError) as caught:
                    async for chunk in stream:
                        text += chunk.choices[0].delta.content or ""
                        if text == "It begins.":
                            for process in doomed(relay):
                                process.kill()
                tape.heard[-1].check()
            assert (caught.value.code, text) == ("browser_fault", "It begins."), name
            got = await ask(relay, "kimi", await stage.play("back again"))
            assert got.text == "back again", name
            got = await ask(relay, "demo/script", await world.demo.play("here too"), stream=False)
            assert got.text == "here too", name
