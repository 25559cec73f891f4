"""ChatGPT's answers that go on elsewhere than where they began, through a whole relay and the site's replica."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import accounts
from tests.e2e.client import ask, refusal
from tests.e2e.relay_server import RelayServer
from tests.replicas import Answer, Fault, Piece, Replicas, Scenario
from tests.replicas.chatgpt import REPLICA

USER = "handover"
ANSWER = Answer(chars=600, count=20, gap_ms=5, seed=5)
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture(scope="module")
def relay(replicas: Replicas) -> Iterator[RelayServer]:
    """A server with an account at ChatGPT."""
    with tempfile.TemporaryDirectory(prefix="relay-chatgpt-") as folder:
        home = Path(folder).resolve()
        accounts.write(home, "chatgpt", USER, REPLICA.login(USER))
        settings = {
            "RELAY_COMMIT_AFTER_S": "60",
            "RELAY_SITES__CHATGPT__DRIVERS": "screen",
            "RELAY_BROWSER__HOST_RULES": replicas.host_rules,
            "RELAY_BROWSER__TRUSTED_SPKI": replicas.spki,
        }
        with RelayServer(home, settings) as server:
            yield server


@pytest.mark.parametrize("way", ["none", "resume", "ws", "poll"])
async def test_wherever_it_goes_on(replicas: Replicas, relay: RelayServer, way: str) -> None:
    options: dict[str, bool | int | float | str] = {"handoff": way, "silence_s": 1}
    for cuts in (None, 3):
        await replicas.play("chatgpt", USER, Scenario(answer=ANSWER, options=options, cuts=cuts))
        got = await ask(relay, "chatgpt", "hi")
        assert (got.text, got.finish) == (ANSWER.text(), "stop")


@pytest.mark.endurance  # it takes as long as it says
@pytest.mark.timeout(240)
async def test_ninety_seconds_of_silence(replicas: Replicas, relay: RelayServer) -> None:
    """Longer than any other site may be silent: this one has a clock of its own."""
    await replicas.play("chatgpt", USER, Scenario(answer=ANSWER, options={"handoff": "none", "silence_s": 90}))
    got = await ask(relay, "chatgpt", "think hard")
    assert (got.text, got.finish) == (ANSWER.text(), "stop")


@pytest.mark.parametrize("kind", ["cut", "end"])
@pytest.mark.parametrize("way", ["resumable", "persisted", "tokenless"])
async def test_what_breaks_off_is_read_on(replicas: Replicas, relay: RelayServer, way: str, kind: str) -> None:
    fault = Fault.model_validate({"kind": kind, "after": 5, "times": 1})
    scenario = Scenario(answer=ANSWER, options={"after_break": way}, faults=[fault])
    await replicas.play("chatgpt", USER, scenario)
    got = await ask(relay, "chatgpt", "hi")
    assert (got.text, got.finish) == (ANSWER.text(), "stop")


async def test_what_is_lost_is_said_to_be(replicas: Replicas, relay: RelayServer) -> None:
    scenario = Scenario(answer=ANSWER, options={"after_break": "lost"}, faults=[Fault(kind="end", after=5, times=1)])
    await replicas.play("chatgpt", USER, scenario)
    failed = await refusal(relay, "chatgpt", "hi")
    assert failed.code == "answer_cut"
    assert ANSWER.text().startswith(failed.text)


@pytest.mark.parametrize("way", ["none", "resume", "ws", "poll"])
async def test_a_picture_that_is_made_meanwhile(replicas: Replicas, relay: RelayServer, way: str) -> None:
    drawn = Answer(pieces=[Piece(text="Here it is."), Piece(kind="media", data=PNG)])
    options: dict[str, bool | int | float | str] = {"handoff": way, "async_images": True}
    await replicas.play("chatgpt", USER, Scenario(answer=drawn, options=options, busy_polls=2))
    got = await ask(relay, "chatgpt", "draw")
    assert got.text.startswith("Here it is.")
    assert f"]({relay.url}/v1/files/" in got.text


async def test_a_login_that_is_refused_in_mid_life(replicas: Replicas, relay: RelayServer) -> None:
    """Renewed by the page or by us: the prompt is taken once."""
    before = len((await replicas.seen("chatgpt", USER)).conversations)
    refused = Fault(kind="status", status=401, times=1)
    await replicas.play("chatgpt", USER, Scenario(answer=ANSWER, faults=[refused]))
    got = await ask(relay, "chatgpt", "hi")
    assert got.text == ANSWER.text()
    assert len((await replicas.seen("chatgpt", USER)).conversations) == before + 1
