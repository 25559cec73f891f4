"""Contract: a page that is late or has changed, an API that refuses: another driver answers, or it is said clearly."""

from __future__ import annotations

import openai
import pytest

from tests.corpus import canonical
from tests.sites.conftest import Cell
from tests.sites.stage import Stage

TEXT = "It is as it was."


async def test_late_hydration(stage: Stage, cell: Cell) -> None:
    if "hydrate_ms" in stage.lacks:
        cell.absent()
        return
    await stage.answer(TEXT, hydrate_ms=1500)
    stage.reopen()
    assert canonical((await stage.ask()).text) == TEXT
    assert canonical((await stage.ask()).text) == TEXT
    await stage.again()


async def test_layout_B(stage: Stage, cell: Cell) -> None:
    """A page whose elements have other names: fetch does not mind; the screen says which element it misses."""
    if "layout" in stage.lacks:
        cell.absent()
        return
    before = len(await stage.turns())
    await stage.answer(TEXT, layout="B")
    stage.reopen()
    if stage.driver.startswith("fetch"):
        assert (await stage.ask()).text == TEXT
    else:
        failed = await stage.refused()
        assert (failed.status, failed.code) == (502, "site_changed"), failed
        assert "element" in failed.message
        assert len(await stage.turns()) == before
    await stage.again()


@pytest.mark.parametrize("what", ["layout", "shield"])
async def test_with_all_drivers(in_order: Stage, cell: Cell, what: str) -> None:
    """Layout B, or API B (only what the page's script signed may chat): answered, or said clearly; one prompt each."""
    if what in in_order.lacks:
        cell.absent()
        return
    before = len(await in_order.turns())
    await in_order.answer(TEXT, **({"layout": "B"} if what == "layout" else {"shield": True}))
    in_order.reopen()
    try:
        got = await in_order.ask()
    except openai.APIStatusError as error:
        assert (error.status_code, error.code) == (502, "site_changed"), error
        assert len(await in_order.turns()) == before
    else:
        assert canonical(got.text) == TEXT
        assert len(await in_order.turns()) == before + 1
    await in_order.again()
