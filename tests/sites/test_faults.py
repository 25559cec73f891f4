"""Contract: what goes wrong becomes an error that says so, never an empty success; and the next chat works."""

from __future__ import annotations

import openai
import pytest

from tests.e2e.client import Refusal, ask
from tests.replicas import Answer, Fault, Piece, Scenario
from tests.sites.conftest import Cell
from tests.sites.stage import Stage

SHOWN = "It begins.\n\n"
ANSWER = Answer(pieces=[Piece(text=SHOWN), Piece(text="It goes on.\n\n"), Piece(text="It ends.")])
STATUS = {
    "rate_limit_exceeded": 429,
    "content_filter": 400,
    "login_needed": 503,
    "challenge_needed": 503,
    "account_banned": 503,
    "site_changed": 502,
    "site_error": 502,
    "site_unavailable": 502,
    "answer_cut": 502,
    "first_byte_timeout": 504,
    "idle_timeout": 504,
}
"""Every code that a site's fault may have, with its status."""
FAULTS: dict[str, tuple[Fault, set[str]]] = {
    "HTTP 500": (Fault(kind="status", status=500), {"site_unavailable", "site_error"}),
    "HTTP 503": (Fault(kind="status", status=503), {"site_unavailable"}),
    "HTML in place of an answer": (Fault(kind="html"), {"site_changed", "challenge_needed"}),
    "an error in HTTP 200": (Fault(kind="error"), {"site_error", "site_unavailable"}),
    "an error in mid-answer": (Fault(kind="error", after=1), {"site_error", "site_unavailable"}),
    "given up by the site": (Fault(kind="failed", after=1), {"site_error", "answer_cut"}),
    "a refusal": (Fault(kind="refusal"), {"content_filter"}),
    "taken back": (Fault(kind="refusal", after=1), {"content_filter"}),
    "cut": (Fault(kind="cut", after=1), {"answer_cut"}),
    "a polite early end": (Fault(kind="end", after=1), {"answer_cut"}),
    "an end before anything": (Fault(kind="end"), {"answer_cut", "site_changed", "site_error"}),
    "a challenge": (Fault(kind="challenge"), {"challenge_needed", "login_needed"}),
}


def failed_well(failed: Refusal, codes: set[str]) -> None:
    """The error has one of the codes and its status, and what was shown before is the answer's own beginning."""
    assert failed.code in codes, failed
    assert failed.status == (None if failed.text else STATUS[failed.code]), failed
    assert ANSWER.text().startswith(failed.text), failed
    assert failed.message


@pytest.mark.parametrize("what", FAULTS)
async def test_a_fault(failing: Stage, cell: Cell, what: str) -> None:
    fault, codes = FAULTS[what]
    if fault.kind in failing.lacks:
        cell.absent()
        return
    # A page may show of a failure no more than that there is no answer.
    codes = set(STATUS) if failing.driver == "dom" else codes
    await failing.play(Scenario(answer=ANSWER, faults=[fault.model_copy()], cuts=11))
    if what == "taken back":
        await taken_back(failing)
    else:
        failed_well(await failing.refused(stream=fault.after > 0), codes)
    await failing.again()


async def taken_back(stage: Stage) -> None:
    """An error where the site takes back what it showed; where it only stops, OpenAI has a finish reason for that."""
    try:
        got = await ask(stage.relay, stage.model, "hello")
    except openai.APIError as error:
        assert error.code == "content_filter", error
    else:
        assert got.finish == "content_filter"
        assert ANSWER.text().startswith(got.text.rstrip()), got


async def test_a_limit_that_tells_when_it_ends(failing: Stage) -> None:
    limited = Fault(kind="status", status=429, retry_after_s=2, resets_in_s=2, code="resource_exhausted", times=1)
    await failing.play(Scenario(answer=ANSWER, faults=[limited]))
    failed = await failing.refused(stream=False)
    if failing.driver == "dom":
        failed_well(failed, set(STATUS))
    else:
        assert (failed.status, failed.code, failed.type) == (429, "rate_limit_exceeded", "rate_limit_error"), failed
        assert 1 <= int(failed.heard.headers["retry-after"]) <= 3
        # The SDK waits as long as it is told, and then gets its answer.
        got = await failing.ask(stream=False, max_retries=4)
        assert got.text == ANSWER.text()
    await failing.again()


async def test_a_limit_that_does_not_tell(failing: Stage) -> None:
    limited = Fault(kind="status", status=429, code="resource_exhausted")
    await failing.play(Scenario(answer=ANSWER, faults=[limited]))
    failed = await failing.refused(stream=False)
    if failing.driver == "dom":
        failed_well(failed, set(STATUS))
    else:
        assert (failed.status, failed.code, failed.type) == (429, "rate_limit_exceeded", "rate_limit_error"), failed
        assert int(failed.heard.headers["retry-after"]) >= 1, "a guess is better than nothing"
        before = len(await failing.turns())
        assert (await failing.refused()).code == "rate_limit_exceeded"
        assert len(await failing.turns()) == before, "an account that rests is not asked"
    await failing.again()
