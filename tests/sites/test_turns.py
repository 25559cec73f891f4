"""Contract: conversations on the site: what it hears of them, how they branch, how they end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests.e2e.client import Got, sdk
from tests.replicas import Answer, Piece, Scenario, SeenConversation
from tests.sites.conftest import Cell
from tests.sites.stage import Stage

FIRST, SECOND = "first question: herons", "second question: storks"
ONE, TWO = "The first answer.", "The second answer."
NOBODYS = "00000000-0000-0000-0000-000000000000"


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(got: Got) -> dict[str, str]:
    return {"role": "assistant", "content": got.text}


def conversation(got: Got) -> str:
    """The id by which the client may name it."""
    assert got.heard is not None
    return str(got.heard.records()[-1]["conversation_id"])


async def two_turns(stage: Stage) -> tuple[list[Any], Got, Got]:
    """A chat of two turns: the history before the second, and both answers."""
    await stage.answer(ONE)
    one = await stage.ask(FIRST, stream=False)
    await stage.answer(TWO)
    earlier = [user(FIRST), assistant(one)]
    return earlier, one, await stage.ask(SECOND, earlier=earlier, stream=False)


async def newest(stage: Stage) -> SeenConversation:
    """The conversation that the site took a prompt in last; sites list them as they were begun."""
    return (await stage.seen()).conversations[-1]


def told_all(prompt: str) -> bool:
    """Whether a prompt tells the whole history."""
    return all(part in prompt for part in (FIRST, ONE, SECOND))


async def until(true: Callable[[], Awaitable[object]]) -> None:
    """Wait for what takes the site a moment to see."""
    async with asyncio.timeout(30):
        while not await true():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_the_site_hears_each_turn_once(stage: Stage, cell: Cell) -> None:
    """Where the site cannot go on in a conversation, it is told the whole history in a new one."""
    _, one, two = await two_turns(stage)
    assert (one.text, two.text) == (ONE, TWO)
    seen = await newest(stage)
    if stage.can("turns"):
        assert conversation(one) == conversation(two)
        assert [turn.prompt for turn in seen.turns] == [FIRST, SECOND]
        assert seen.turns[1].parent == seen.turns[0].answer != ""
    else:
        assert len(seen.turns) == 1
        assert told_all(seen.turns[0].prompt)
        cell.declared()


async def test_three_turns(stage: Stage, cell: Cell) -> None:
    earlier, _, two = await two_turns(stage)
    await stage.answer("The third.")
    got = await stage.ask("third question", earlier=[*earlier, user(SECOND), assistant(two)], stream=False)
    assert got.text == "The third."
    seen = await newest(stage)
    if stage.can("turns"):
        assert [turn.prompt for turn in seen.turns] == [FIRST, SECOND, "third question"]
        assert seen.turns[2].parent == seen.turns[1].answer
    else:
        assert told_all(seen.turns[-1].prompt)
        cell.declared()


async def test_an_edited_first_question(stage: Stage) -> None:
    """Another history: a new conversation, told whole."""
    earlier, _, _ = await two_turns(stage)
    await stage.answer("Of storks.")
    edited = "first question, edited"
    got = await stage.ask(SECOND, earlier=[user(edited), *earlier[1:]], stream=False)
    assert got.text == "Of storks."
    [turn] = (await newest(stage)).turns
    assert edited in turn.prompt and ONE in turn.prompt and SECOND in turn.prompt
    assert FIRST not in turn.prompt


async def branches(stage: Stage, question: str) -> None:
    """A question after the first answer, which another has followed: in its place, or told whole in a new one."""
    earlier, _, _ = await two_turns(stage)
    before = await newest(stage)
    await stage.answer("Another way.")
    got = await stage.ask(question, earlier=earlier, stream=False)
    assert got.text == "Another way."
    seen = await newest(stage)
    if seen.id == before.id:
        assert seen.turns[-1].parent == seen.turns[0].answer, "it went on after an answer that the client does not mean"
        assert seen.turns[-1].prompt == question or seen.turns[-1].again
    else:
        [turn] = seen.turns
        assert FIRST in turn.prompt and ONE in turn.prompt and question in turn.prompt
        declared = stage.kind.capabilities.branches and stage.driver.startswith("fetch")
        assert not declared, "the site can branch, and was not asked to"


async def test_an_edited_last_question(stage: Stage) -> None:
    await branches(stage, "second question, edited")


async def test_an_answer_asked_for_again(stage: Stage) -> None:
    await branches(stage, SECOND)


async def test_a_named_conversation(stage: Stage, cell: Cell) -> None:
    await stage.answer(ONE)
    one = await stage.ask(FIRST, stream=False)
    await stage.answer(TWO)
    if not stage.can("turns"):
        named = one.heard.records()[-1].get("conversation_id") or NOBODYS if one.heard else NOBODYS
        failed = await stage.refused(SECOND, conversation_id=named)
        assert (failed.status, failed.code) in ((404, "conversation_not_found"), (400, "invalid_request")), failed
        cell.declared()
        return
    two = await stage.ask(SECOND, conversation_id=conversation(one), stream=False)
    assert conversation(two) == conversation(one)
    seen = await newest(stage)
    assert [turn.prompt for turn in seen.turns] == [FIRST, SECOND]
    assert seen.turns[1].parent == seen.turns[0].answer
    fresh = await stage.ask(SECOND, conversation_id="none", stream=False)
    assert conversation(fresh) != conversation(one)


async def test_a_conversation_that_nobody_has(stage: Stage) -> None:
    await stage.answer(ONE)
    before = len(await stage.turns())
    failed = await stage.refused(FIRST, conversation_id=NOBODYS)
    assert (failed.status, failed.code) == (404, "conversation_not_found"), failed
    assert len(await stage.turns()) == before


async def test_leaving_stops_the_answer(stage: Stage) -> None:
    begins = [Piece(text="It begins.\n\n"), Piece(text="It goes on.\n\n"), Piece(text="never", after_ms=600_000)]
    await stage.play(Scenario(answer=Answer(pieces=begins)))
    before = len(await stage.turns())
    async with sdk(stage.relay) as (client, _):
        messages: Any = [user("go on for ever")]
        stream = await client.chat.completions.create(model=stage.model, messages=messages, stream=True)
        async for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                break
        await stream.close()

    async def stopped() -> bool:
        turns = await stage.turns()
        assert len(turns) == before + 1, "it was sent again"
        return turns[-1].stopped

    await until(stopped)
    await stage.again()


async def test_a_conversation_is_deleted(hasty: Stage, cell: Cell) -> None:
    await hasty.answer(ONE)
    await hasty.ask(FIRST)

    async def gone() -> bool:
        seen = await newest(hasty)
        return seen.deleted or seen.temporary

    if hasty.can("delete"):
        await until(gone)
    else:
        assert not (await newest(hasty)).deleted
        cell.declared()
    await hasty.again()
