"""Contract: the answer's text and the prompt arrive exactly."""

from __future__ import annotations

import pytest

from tests.corpus import CONSTRUCTS, answer, canonical
from tests.e2e.stages import sent_by
from tests.exactness import EXCEPTED, difference
from tests.replicas import Answer, Piece, Scenario
from tests.sites.conftest import Cell
from tests.sites.stage import Stage

pytestmark = pytest.mark.timeout(180)

forms = pytest.mark.parametrize("form", ["streamed", "whole"])

SPACED = (
    "  \n\tindented\n\n\n   three  spaces\r\n 中文段落，表情 👩🏽‍🚀🇨🇳 e\u0301 \u200b \ufeff \u2028\n"
    "```py\nx = '<b>&amp;\\n'\n```\n"
)
SETTLED = {("gradio", "screen"): "The first lines\nhave no margin.\n"}
"""Before it, where a site takes the margin that all lines have so far off a growing answer: nobody can put it back."""
LONG_BYTES, LONG_DOM_BYTES = 200_000, 20_000
"""A page has to draw what `dom` reads."""
PROMPT = (
    "Why is the sky blue?\n\n  indented  twice\n中文，表情 👩🏽‍🚀 é <b>&amp;</b> `x` \\n {json: 1}\n\n"
    '- a list\n- "quoted"'
)
LONGEST_CHARS = 100_000
"""Of a prompt where the site names no limit."""


def markdown(stage: Stage, size_bytes: int) -> str:
    """An answer with all that the site's page shows in a form that can be read back."""
    left_out = EXCEPTED.get((stage.site, stage.driver), {})
    constructs = tuple(name for name in CONSTRUCTS if name not in left_out)
    return answer(f"contract/{stage.site}/{stage.driver}", size_bytes, constructs)


async def arrives(stage: Stage, text: str, form: str) -> None:
    """The client gets what the site sent; of `dom`, in the corpus' canonical form."""
    await stage.answer(text, seed=len(text))
    got = await stage.ask(stream=form == "streamed")
    sent, found = sent_by(stage.site, stage.driver, text), got.text
    if stage.driver == "dom":
        sent, found = canonical(sent), canonical(found)
    assert found == sent, difference(sent, found)
    assert got.reasoning == ""
    if form == "streamed":
        assert got.chunks >= 3


@forms
async def test_mixed_text(stage: Stage, form: str) -> None:
    """English, Chinese, emoji, code; and white space in every place, but where a page is read."""
    spaced = "" if stage.driver == "dom" else SETTLED.get((stage.site, stage.driver), "") + SPACED
    await arrives(stage, spaced + markdown(stage, 4_000) + ("\n trailing \t\n\n" if spaced else ""), form)


@forms
async def test_200_KB(stage: Stage, form: str) -> None:
    size = LONG_DOM_BYTES if stage.driver == "dom" else LONG_BYTES
    await arrives(stage, markdown(stage, size), form)


async def test_a_single_character(stage: Stage) -> None:
    await stage.play(Scenario(answer=Answer(pieces=[Piece(text="好")]), cuts=1))
    assert (await stage.ask(stream=False)).text == "好"


async def test_the_prompt(stage: Stage) -> None:
    await stage.answer("Read.")
    assert (await stage.ask(PROMPT)).text == "Read."
    assert (await stage.turns())[-1].prompt == PROMPT


async def test_the_longest_prompt(stage: Stage) -> None:
    size = stage.kind.capabilities.max_prompt_chars or LONGEST_CHARS
    prompt = ("Short waves scatter more 天空 🌌 naïve façade.\n" * (size // 40 + 1))[: size - 1] + "."
    await stage.answer("Read.")
    assert (await stage.ask(prompt)).text == "Read."
    found = (await stage.turns())[-1].prompt
    assert found == prompt, difference(prompt, found)


async def test_a_longer_prompt(stage: Stage, cell: Cell) -> None:
    """It goes as a file, or is refused before anything is sent."""
    limit = stage.kind.capabilities.max_prompt_chars
    if limit is None:
        cell.absent()
        return
    before = len(await stage.turns())
    await stage.answer("Read.")
    prompt = "Short waves scatter more.\n" * (limit // 26 + 1)
    if stage.can("files"):
        assert (await stage.ask(prompt)).text == "Read."
        turn = (await stage.turns())[-1]
        assert len(turn.files) == 1
        assert len(turn.prompt) < limit
    else:
        failed = await stage.refused(prompt)
        assert (failed.status, failed.code) == (400, "context_length_exceeded")
        assert str(limit) in failed.message
        assert len(await stage.turns()) == before
        cell.declared()
    await stage.again()
