"""Contract: what a login is worth, as the probe finds and as a chat meets it; tokens that callers bring."""

from __future__ import annotations

import secrets

import httpx
import openai
import pytest

from tests.e2e.client import ask
from tests.replicas import Answer, Fault, Piece, Scenario
from tests.sites.conftest import Cell
from tests.sites.facts import logs_in
from tests.sites.stage import Stage

STATES = {"dead": "login_needed", "guest": "login_needed", "banned": "broken", "challenge": "challenged"}
CODES = {"dead": "login_needed", "guest": "login_needed", "banned": "account_banned", "challenge": "challenge_needed"}


def met(found: str, text: str = "not for you") -> Scenario:
    """What an account meets whose login the site takes so."""
    answer = Answer(pieces=[Piece(text=text)])
    if found == "challenge":
        return Scenario(answer=answer, challenge=True)
    return Scenario.model_validate({"answer": answer, "login": found})


async def test_a_live_login(stage: Stage) -> None:
    status = stage.owner("check")
    assert status["state"] in ("ready", "busy")
    assert status["label"]


@pytest.mark.parametrize("found", STATES)
async def test_the_probe_finds(stage: Stage, cell: Cell, found: str) -> None:
    """The account is parked for its owner, and no prompt is sent; then its owner mends it."""
    if found in stage.lacks:
        cell.absent()
        return
    before = len(await stage.turns())
    await stage.play(met(found))
    assert stage.owner("check")["state"] == STATES[found]
    failed = await stage.refused(stream=False)
    assert (failed.status, failed.code) == (503, CODES[found]), failed
    assert failed.heard.headers["x-should-retry"] == "false"
    assert len(await stage.turns()) == before
    await stage.again()


@pytest.mark.parametrize("found", STATES)
async def test_a_chat_meets(hasty: Stage, cell: Cell, found: str) -> None:
    """In the middle of life: the chat fails in words, and is not answered as if by a guest."""
    if found in hasty.lacks:
        cell.absent()
        return
    await hasty.again()
    await hasty.play(met(found))
    failed = await hasty.refused()
    assert failed.text == ""
    if hasty.driver != "dom":  # a page that was loaded before may show nothing of it
        # It may know no more than that its call was refused.
        assert failed.code in (CODES[found], "login_needed"), failed
        assert failed.status == 503
    assert hasty.owner("check")["state"] == STATES[found]
    await hasty.again()


@pytest.mark.parametrize("found", STATES)
async def test_a_page_opened_then_meets(anew: Stage, cell: Cell, found: str) -> None:
    """A page that shows nothing that one could type in is not taken for a changed site."""
    if found in anew.lacks:
        cell.absent()
        return
    await anew.again()
    before = len(await anew.turns())
    await anew.play(met(found))
    failed = await anew.refused()
    assert failed.code in (CODES[found], "login_needed"), failed
    assert (failed.status, failed.text) == (503, "")
    assert anew.status()["state"] == STATES[found]
    assert len(await anew.turns()) == before
    await anew.again()


async def test_an_expired_login_at_the_start(stage: Stage, cell: Cell) -> None:
    """The page renews it, or it is dead: then it is said, and nothing was sent."""
    if not logs_in(stage.site):
        cell.absent()
        return
    stage.log_in(ttl_s=-1)
    stage.reopen()
    await answered_or_needs_login(stage)


async def test_a_login_refused_in_mid_life(stage: Stage, cell: Cell) -> None:
    """The site refuses the login of the call that sends the prompt, once: it is renewed, or said to be dead."""
    if not logs_in(stage.site):
        cell.absent()
        return
    await answered_or_needs_login(stage, Fault(kind="status", status=401, times=1))


async def answered_or_needs_login(stage: Stage, *faults: Fault) -> None:
    """An answer with one prompt taken, or a clear word with none."""
    before = len(await stage.turns())
    await stage.answer("Renewed.", faults=faults)
    try:
        got = await stage.ask(stream=False)
    except openai.APIStatusError as error:
        assert (error.status_code, error.code) == (503, "login_needed"), error
        assert len(await stage.turns()) == before
    else:
        assert got.text == "Renewed."
        assert len(await stage.turns()) == before + 1
    await stage.again()


async def test_a_token_that_a_caller_brings(stage: Stage, cell: Cell) -> None:
    """The chat is the token's user's, a second one too; the owner's account has no part in it."""
    user = f"caller-{secrets.token_hex(4)}"
    token = stage.token(user)
    if not token:
        assert stage.kind.token_pattern is None
        cell.declared()
        return
    assert stage.kind.token_pattern is not None and stage.kind.token_pattern.fullmatch(token)
    caller = stage.of(user)
    before = len(await stage.turns())
    await stage.answer("not I")
    await caller.answer("for the caller")
    for _ in range(2):
        got = await ask(stage.relay, stage.model, "hello", bearer=token)
        assert got.text == "for the caller"
    assert [turn.prompt for turn in await caller.turns()] == ["hello", "hello"]
    assert len(await stage.turns()) == before
    assert (await stage.ask()).text == "not I"
    assert token not in stage.relay.log


async def test_the_check_of_a_token(stage: Stage, cell: Cell) -> None:
    user = f"checked-{secrets.token_hex(4)}"
    token = stage.token(user)
    if not token:
        assert stage.kind.token_pattern is None
        cell.declared()
        return
    async with httpx.AsyncClient(base_url=stage.relay.url, trust_env=False, timeout=60) as client:
        answer = await client.post("/token/check", json={"token": token, "site": stage.site})
        assert answer.json() == {"live": True}
        dead = f"checked-{secrets.token_hex(4)}"
        await stage.of(dead).play(met("dead"))
        answer = await client.post("/token/check", json={"token": stage.token(dead), "site": stage.site})
        assert answer.json() == {"live": False}
        odd = await client.post("/token/check", json={"token": "nonsense", "site": stage.site})
        assert odd.json() == {"live": False}


async def test_a_dead_token_that_a_caller_brings(stage: Stage, cell: Cell) -> None:
    user = f"gone-{secrets.token_hex(4)}"
    token = stage.token(user)
    if not token:
        assert stage.kind.token_pattern is None
        cell.declared()
        return
    await stage.of(user).play(met("dead"))
    with pytest.raises(openai.APIStatusError) as caught:
        await ask(stage.relay, stage.model, "hello", bearer=token, stream=False)
    assert (caught.value.status_code, caught.value.code) == (503, "login_needed")
    assert token not in str(caught.value)
    assert await stage.of(user).turns() == []
    await stage.again()
