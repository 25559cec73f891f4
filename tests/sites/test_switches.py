"""Contract: reasoning, search, models and agents; what a site or a driver cannot do is refused, in words."""

from __future__ import annotations

import re
from typing import Any

import hypothesis
import openai
import pytest
from hypothesis import strategies as st

from tests.corpus import canonical
from tests.e2e.client import Refusal, sdk
from tests.replicas import Answer, Page, Piece, Scenario
from tests.sites.conftest import Cell
from tests.sites.facts import another, default
from tests.sites.stage import Stage, replica_of
from tests.spec import validate

PAGES = [Page(url="https://example.org/sky", title="The sky"), Page(url="https://example.com/blue?a=1", title="Blue")]
THOUGHT = ["The user", " asks about scattering."]
LINK = re.compile(r"\s*\[\[?[^\]]*\]?\]\([^)]*\)")


def refuses(failed: Refusal, word: str) -> None:
    """A clear refusal: the request is wrong, and the message names what cannot be."""
    assert (failed.status, failed.code, failed.type) == (400, "invalid_request", "invalid_request_error"), failed
    assert word in failed.message


async def thinks(stage: Stage) -> None:
    """The site is about to think."""
    parts = [Piece(text=text, kind="reasoning") for text in THOUGHT]
    parts += [Piece(text="Because"), Piece(text=" short waves scatter more.")]
    await stage.play(Scenario(answer=Answer(pieces=parts), cuts=3))


THINK: dict[str, dict[str, Any]] = {
    "-think": {},
    "reasoning_effort": {"reasoning_effort": "high"},
    "enable_thinking": {"enable_thinking": True},
}
"""How a client asks for thoughts: by the model's name, or in the body."""


@pytest.mark.parametrize("how", THINK)
async def test_reasoning(stage: Stage, cell: Cell, how: str) -> None:
    await thinks(stage)
    body = THINK[how]
    model = stage.model + ("-think" if how == "-think" else "")
    if not stage.can("thinking"):
        if default(stage.site).thinking or how == "-think":
            refuses(await stage.refused(model=model, **body), "think")
        else:  # clients send the fields to every model
            got = await stage.ask(model=model, **body)
            assert how in got.headers["x-relay-ignored"]
        cell.declared()
        return
    got = await stage.ask(model=model, stream=how != "reasoning_effort", **body)
    assert canonical(got.text) == "Because short waves scatter more."
    # What a page folds away when the thought is done, `dom` may miss.
    assert got.reasoning == "".join(THOUGHT) or (stage.driver == "dom" and "".join(THOUGHT).startswith(got.reasoning))
    assert (await stage.turns())[-1].thinking


async def test_no_reasoning_unasked(stage: Stage) -> None:
    await stage.answer("Because.")
    assert (await stage.ask()).reasoning == ""
    assert default(stage.site).always_thinks or not (await stage.turns())[-1].thinking


@pytest.mark.parametrize("how", ["-search", "use_search", "-search-silent"])
async def test_search(stage: Stage, cell: Cell, how: str) -> None:
    parts = [Piece(text="why is the sky blue", kind="search", pages=PAGES), Piece(text="Short waves scatter")]
    parts += [Piece(kind="cite", page=2), Piece(text=", long ones do not"), Piece(kind="cite", page=1), Piece(text=".")]
    await stage.play(Scenario(answer=Answer(pieces=parts), cuts=5))
    model = stage.model + (how if how.startswith("-") else "")
    body = {"use_search": True} if how == "use_search" else {}
    if not stage.can("search"):
        if default(stage.site).search or how != "use_search":
            refuses(await stage.refused(model=model, **body), "search")
        else:
            got = await stage.ask(model=model, **body)
            assert how in got.headers["x-relay-ignored"]
        cell.declared()
        return
    got = await stage.ask(model=model, **body)
    assert canonical(LINK.sub("", got.text)) == "Short waves scatter, long ones do not."
    assert (await stage.turns())[-1].search
    if stage.driver == "dom":  # it reads the answer, and nothing around it
        return
    if not stage.lacks & {"search", "cite"}:
        assert got.text.index(f"({PAGES[1].url})") < got.text.index("long ones") < got.text.index(f"({PAGES[0].url})")
    if stage.kind.capabilities.sources:
        assert sorted(got.sources) == sorted(page.url for page in PAGES)
    else:
        assert got.sources == []
    told = "why is the sky blue" in got.reasoning
    assert told is (stage.kind.capabilities.sources and how != "-search-silent")


async def test_no_search_unasked(stage: Stage) -> None:
    await stage.answer("Blue.")
    got = await stage.ask(model=f"{stage.model}-silent")
    assert (got.text, got.reasoning, got.sources) == ("Blue.", "", [])
    assert not (await stage.turns())[-1].search


async def test_research(stage: Stage, cell: Cell) -> None:
    refuses(await stage.refused(model=f"{stage.model}-research"), "research")
    cell.declared()


async def test_all_suffixes_at_once(stage: Stage, cell: Cell) -> None:
    await stage.answer("Blue.")
    if stage.can("search") and stage.can("thinking"):
        got = await stage.ask(model=f"{stage.model}-silent-think-search")
        assert canonical(got.text) == "Blue."
        turn = (await stage.turns())[-1]
        assert turn.search and turn.thinking
    else:
        failed = await stage.refused(model=f"{stage.model}-silent-think-search")
        assert (failed.status, failed.code) == (400, "invalid_request"), failed
        cell.declared()


async def test_another_model(stage: Stage, cell: Cell) -> None:
    spec = another(stage.site)
    await stage.answer("It is I.")
    if spec is None:
        failed = await stage.refused(model=f"{stage.site}/no-such-model")
        assert (failed.status, failed.code) in ((404, "model_not_found"), (400, "invalid_request")), failed
        cell.declared()
        return
    model = f"{stage.site}/{spec.key}"
    if not stage.can("model"):
        refuses(await stage.refused(model=model), "model")
        cell.declared()
        return
    await stage.ask()
    usual = (await stage.turns())[-1]
    for name in (model, *spec.aliases):
        got = await stage.ask(model=name)
        assert canonical(got.text) == "It is I."
        turn = (await stage.turns())[-1]
        assert (turn.model, turn.thinking) != (usual.model, usual.thinking), f"{name} was answered by the default model"


async def test_the_list_of_models(stage: Stage) -> None:
    async with sdk(stage.relay) as (client, tape):
        listed = [model.id async for model in await client.models.list()]
        validate("ListModelsResponse", tape.heard[-1].records()[0])
        assert stage.site in listed
        mine = [name for name in listed if name.partition("/")[0] == stage.site]
        for spec in stage.kind.models:
            if spec.default or f"{stage.site}/{spec.key}" in mine:
                for name in spec.aliases:
                    assert (await client.models.retrieve(name)).id == name
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve(f"{stage.site}x/nothing-of-the-kind")


async def test_an_agent(stage: Stage, cell: Cell) -> None:
    pattern = stage.kind.capabilities.agents
    if not pattern:
        failed = await stage.refused(model=f"{stage.site}/an-agent-1")
        assert (failed.status, failed.code) in ((404, "model_not_found"), (400, "invalid_request")), failed
        cell.declared()
        return
    shape = st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True)
    agent = replica_of(stage.site).agent or hypothesis.find(shape, lambda found: True)
    await stage.answer("I am a poet.")
    if not stage.can("agent"):
        refuses(await stage.refused(model=f"{stage.site}/{agent}"), "agent")
        cell.declared()
        return
    assert canonical((await stage.ask(model=f"{stage.site}/{agent}")).text) == "I am a poet."
    assert (await stage.turns())[-1].agent == agent
    await stage.ask()
    assert (await stage.turns())[-1].agent == ""
