"""What only Kimi has to show: a login that its page renews is kept; another driver answers where one is refused."""

from __future__ import annotations

import json
import stat

import pytest

from tests.e2e.client import Got, ask, refusal
from tests.e2e.relay_server import RelayServer
from tests.e2e.world import World
from tests.replicas import Answer, Piece, Scenario

pytestmark = pytest.mark.xdist_group("world")

ANSWER = Answer(pieces=[Piece(text="It begins."), Piece(text=" It ends.")])


async def again(world: World, relay: RelayServer) -> Got:
    """The next request, which must work."""
    stage = world.kimi(relay)
    got = await ask(relay, "kimi", await stage.play("as if nothing had been"))
    assert got.text == "as if nothing had been"
    return got


@pytest.mark.parametrize("driver", ["fetch", "screen", "dom"])
async def test_the_page_renews_an_expired_login(world: World, driver: str) -> None:
    relay = world.server(driver, "kimi")
    stage = world.kimi(relay)
    file = world.log_in_to_kimi(relay, access_ttl_s=-1) / "state.json"
    old = _tokens(file.read_text("utf-8"))
    with relay:
        await again(world, relay)
        [refresh] = await stage.replicas.records(account=stage.account, operation="refresh")
        assert refresh.status == 200
    # On disk at the latest when the server has ended.
    new = _tokens(file.read_text("utf-8"))
    assert old.keys() == new.keys() == {"access_token", "refresh_token"}
    assert not set(old.values()) & set(new.values())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def _tokens(state: str) -> dict[str, str]:
    [origin] = json.loads(state)["origins"]
    return {item["name"]: item["value"] for item in origin["localStorage"] if item["name"].endswith("_token")}


@pytest.mark.parametrize(("site", "driver"), [("kimi", "fetch,screen")])
async def test_the_screen_answers_where_fetch_is_refused(
    world: World, relay: RelayServer, site: str, driver: str
) -> None:
    stage = world.kimi(relay)
    await stage.set(Scenario(answer=ANSWER, shield=True, cuts=4))
    await stage.replicas.forget(account=stage.account)
    for stream in (True, False):
        got = await ask(relay, "kimi", "hi", stream=stream)
        assert got.text == "It begins. It ends."
        assert got.headers["x-relay-driver"] == "screen"
    asked = await stage.replicas.records(account=stage.account, operation="chat", count=4)
    assert [record.status for record in asked] == [403, 200, 403, 200]
    failed = await refusal(relay, "kimi-search", "hi")
    assert (failed.status, failed.code) == (400, "invalid_request")
    assert "search" in failed.message
    got = await again(world, relay)
    assert got.headers["x-relay-driver"] == "fetch"
