"""What goes wrong at a site, through the API, by fetch and by screen: the error, and the next request works."""

from __future__ import annotations

import asyncio
import json
import stat

import pytest

from tests.e2e.client import Got, ask, refusal
from tests.e2e.relay_server import RelayServer
from tests.e2e.world import World
from tests.replicas import Answer, Fault, Piece, Scenario

pytestmark = pytest.mark.xdist_group("world")

both = pytest.mark.parametrize(("site", "driver"), [("kimi", "fetch"), ("kimi", "screen")])
SHOWN = "It begins."
ANSWER = Answer(pieces=[Piece(text=SHOWN), Piece(text=" It ends.")])


async def again(world: World, relay: RelayServer) -> Got:
    """The next request, which must work."""
    stage = world.kimi(relay)
    got = await ask(relay, "kimi", await stage.play("as if nothing had been"))
    assert got.text == "as if nothing had been"
    return got


async def fails(world: World, relay: RelayServer, fault: Fault, status: int, code: str, shown: str = "") -> None:
    """A fault of the chat call gives this error, whole and streamed; and after each the next request works."""
    stage = world.kimi(relay)
    for stream in (False, True):
        await stage.set(Scenario(answer=ANSWER, faults=[fault.model_copy()], cuts=11))
        failed = await refusal(relay, "kimi", "hi", stream=stream)
        assert failed.code == code, failed
        if fault.kind == "cut":  # what a torn connection still held, the browser may drop
            assert shown.startswith(failed.text)
        else:
            assert failed.text == (shown if stream else ""), failed
        assert failed.status == (None if failed.text else status), failed
        await again(world, relay)


@both
@pytest.mark.parametrize(
    ("fault", "status", "code", "shown"),
    [
        (Fault(kind="html", times=1), 502, "site_changed", ""),
        (Fault(kind="status", status=500, times=1), 502, "site_unavailable", ""),
        (Fault(kind="error", code="internal", times=1), 502, "site_error", ""),
        (Fault(kind="error", code="internal", after=1, times=1), 502, "site_error", SHOWN),
        (Fault(kind="failed", after=1, times=1), 502, "site_error", SHOWN),
        (Fault(kind="cut", after=1, times=1), 502, "answer_cut", SHOWN),
        (Fault(kind="end", after=1, times=1), 502, "answer_cut", SHOWN),
    ],
    ids=["html", "500", "error-in-200", "error-later", "failed", "cut", "polite-end"],
)
async def test_faults(
    world: World, relay: RelayServer, site: str, driver: str, fault: Fault, status: int, code: str, shown: str
) -> None:
    await fails(world, relay, fault, status, code, shown)


@both
async def test_a_limit_tells_when(world: World, relay: RelayServer, site: str, driver: str) -> None:
    stage = world.kimi(relay)
    limited = Fault(kind="status", status=429, retry_after_s=1, code="resource_exhausted", times=1)
    await stage.set(Scenario(answer=ANSWER, faults=[limited]))
    failed = await refusal(relay, "kimi", "hi")
    assert (failed.status, failed.code, failed.type) == (429, "rate_limit_exceeded", "rate_limit_error")
    assert failed.heard.headers["retry-after"] == "1"
    # The SDK waits as long as it is told, and then gets its answer.
    got = await ask(relay, "kimi", "hi", max_retries=3)
    assert got.text == "It begins. It ends."


@pytest.mark.parametrize("driver", ["fetch", "screen"])
async def test_a_login_dies(world: World, driver: str) -> None:
    with world.server(driver, "kimi") as relay:
        stage = world.kimi(relay)
        dead = [Fault(kind="status", status=401, on=on) for on in ("chat", "refresh", "probe")]
        await stage.set(Scenario(answer=ANSWER, faults=dead))
        failed = await refusal(relay, "kimi", "hi")
        assert (failed.status, failed.code) == (503, "login_needed")
        relay.process.await_output(f"{stage.account} is now login_needed")
        # Parked: no prompt goes to the site any more.
        await stage.replicas.forget(account=stage.account)
        assert (await refusal(relay, "kimi", "hi", stream=False)).code == "login_needed"
        assert await stage.replicas.records(account=stage.account, operation="chat") == []
        await stage.play("")
        world.log_in_to_kimi(relay)
        await again(world, relay)


@pytest.mark.parametrize("driver", ["fetch", "screen"])  # the page shows no sign of a refused call for `dom` to see
async def test_a_challenge_comes(world: World, driver: str) -> None:
    with world.server(driver, "kimi") as relay:
        stage = world.kimi(relay)
        await again(world, relay)
        await stage.set(Scenario(answer=ANSWER, challenge=True))
        failed = await refusal(relay, "kimi", "hi")
        # A page that was open already knows no more than that its call was refused; loaded anew it shows the challenge.
        assert failed.code in ("challenge_needed", "login_needed"), failed
        assert failed.status == 503
        relay.process.await_output(f"{stage.account} is now challenged")
        assert (await refusal(relay, "kimi", "hi")).code == "challenge_needed"
        await stage.play("")
        world.log_in_to_kimi(relay)
        await again(world, relay)


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


@pytest.mark.parametrize("driver", ["fetch", "screen"])
async def test_stalls(world: World, driver: str) -> None:
    clocks = {"RELAY_CLOCKS__IDLE_S": "3", "RELAY_CLOCKS__FIRST_BYTE_S": "8"}
    faults = [
        Fault(kind="stall", after=1, times=1),
        Fault(kind="stall", after=1, heartbeat_ms=50, times=1),
        Fault(kind="stall", after=-1, times=1),
    ]
    with world.server(driver, "kimi demo", **clocks) as relay:
        stage = world.kimi(relay)
        await stage.set(Scenario(answer=ANSWER, faults=faults))
        failed = await asyncio.gather(
            *(refusal(relay, "kimi", "hi", stream=stream) for stream in (True, False, False)),
            refusal(relay, "demo/stall", "hi", stream=False),
        )
        codes = [failure.code for failure in failed]
        assert sorted(codes[:3]) == ["first_byte_timeout", "idle_timeout", "idle_timeout"]
        assert codes[3] == "idle_timeout"
        assert {failure.status for failure in failed} <= {504, None}
        records = await stage.replicas.records(account=stage.account, operation="chat", state="aborted", count=3)
        assert len(records) == 3, "none was sent again"
        await again(world, relay)
        prompt = await world.demo.play("and here")
        assert (await ask(relay, "demo/script", prompt)).text == "and here"
