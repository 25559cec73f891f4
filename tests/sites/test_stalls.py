"""Contract: silence is an error when its clock has run down, with heartbeats too; nothing is sent twice."""

from __future__ import annotations

import pytest

from tests.replicas import Answer, Fault, Piece, Scenario
from tests.sites.stage import Stage

ANSWER = Answer(pieces=[Piece(text="It begins.\n\n"), Piece(text="It ends.")])
STALLS = {
    "silence in mid-answer": Fault(kind="stall", after=1),
    "heartbeats and nothing else": Fault(kind="stall", after=1, heartbeat_ms=100),
    "not even a head": Fault(kind="stall", after=-1),
}


@pytest.mark.parametrize("what", STALLS)
async def test_a_stall(hasty: Stage, what: str) -> None:
    fault = STALLS[what]
    await hasty.play(Scenario(answer=ANSWER, faults=[fault.model_copy()]))
    before = len(await hasty.turns())
    failed = await hasty.refused()
    wanted = {"first_byte_timeout"} if fault.after < 0 else {"idle_timeout"}
    if hasty.driver == "dom":  # it sees a page that waits, and cannot tell for what
        wanted |= {"first_byte_timeout", "idle_timeout"}
    assert failed.code in wanted, failed
    assert failed.status == (None if failed.text else 504)
    assert ANSWER.text().startswith(failed.text)
    assert len(await hasty.turns()) <= before + 1, "it was sent again"
    await hasty.again()
