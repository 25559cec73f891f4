"""ChatGPT's page takes a prompt before it shows who is logged in: none may go out as a guest's."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import accounts
from tests.e2e.client import ask, refusal
from tests.e2e.relay_server import RelayServer
from tests.replicas import Answer, Piece, Replicas, Scenario
from tests.replicas.chatgpt import REPLICA

USER = "shown-late"


@pytest.fixture(scope="module", params=["screen", "dom"])
def relay(replicas: Replicas, request: pytest.FixtureRequest) -> Iterator[RelayServer]:
    """A server with an account at ChatGPT, where each chat opens a page of its own."""
    with tempfile.TemporaryDirectory(prefix="relay-chatgpt-") as folder:
        home = Path(folder).resolve()
        accounts.write(home, "chatgpt", USER, REPLICA.login(USER))
        settings = {
            "RELAY_KEEPER__PAGE_USES": "1",
            "RELAY_SITES__CHATGPT__DRIVERS": request.param,
            "RELAY_BROWSER__HOST_RULES": replicas.host_rules,
            "RELAY_BROWSER__TRUSTED_SPKI": replicas.spki,
        }
        with RelayServer(home, settings) as server:
            yield server


@pytest.mark.parametrize("late_ms", [300, 900])
async def test_no_prompt_goes_out_as_a_guests(replicas: Replicas, relay: RelayServer, late_ms: float) -> None:
    answer = Answer(pieces=[Piece(text="Whoever you are.")])
    await replicas.play("chatgpt", USER, Scenario(answer=answer))
    accounts.write(relay.home, "chatgpt", USER, REPLICA.login(USER))
    assert (await ask(relay, "chatgpt", "hi")).text == "Whoever you are."
    before = (await replicas.seen("chatgpt", USER)).conversations
    await replicas.play("chatgpt", USER, Scenario(answer=answer, login="dead", delay_ms=late_ms))
    failed = await refusal(relay, "chatgpt", "hi")
    assert (failed.code, failed.text) == ("login_needed", "")
    assert (await replicas.seen("chatgpt", USER)).conversations == before
