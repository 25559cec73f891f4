"""Answers of ChatGPT that come in parts: resumed, and read back (fact sheet sections 4, 5 and 10)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.chat.events import Finished, Media, Text, Turned
from relay.errors import CutAnswer
from relay.sites.chatgpt.messages import Conversation
from relay.sites.chatgpt.reader import ChatGptReader
from tests.unit.sites.chatgpt_stream import (
    COMPLETE,
    DONE,
    ENDED,
    HANDED_OVER,
    ID,
    OPEN,
    add,
    delta,
    message,
    picture,
    read,
    said,
    text,
)


def kept(*messages: dict[str, Any], user: str = "u-1") -> Conversation:
    """A conversation as the site keeps it: an older turn, the prompt, and what came after it."""
    older = [message("u-0", author={"role": "user"}), message("a-0", {"content_type": "text", "parts": ["Before."]})]
    chain = [*older, message(user, author={"role": "user"}), *messages]
    ids = ["root", *(one["id"] for one in chain)]
    mapping: dict[str, Any] = {"root": {"id": "root", "message": None, "parent": None, "children": [ids[1]]}}
    for parent, one in zip(ids, chain, strict=False):
        mapping[one["id"]] = {"id": one["id"], "message": one, "parent": parent, "children": []}
    return Conversation.model_validate({"title": "t", "current_node": ids[-1], "mapping": mapping})


WHOLE = message(
    "a-1", {"content_type": "text", "parts": ["One two three."]}, status="finished_successfully", end_turn=True
)


async def test_a_handed_over_answer_goes_on_in_the_resumed_stream() -> None:
    reader = ChatGptReader()
    with pytest.raises(CutAnswer):
        await read([OPEN, HANDED_OVER, DONE], reader)
    assert reader.topic == "conversation-turn-1"
    events = await read([OPEN, HANDED_OVER, add(message("a-1")), text("Four."), DONE], reader)
    assert events == [Turned(ID, "a-1"), Text("Four."), Finished()]


@given(st.integers(0, 14), st.sampled_from([ENDED, DONE, COMPLETE]))
def test_what_a_resumed_stream_repeats_is_told_once(cut: int, end: bytes) -> None:
    whole = "One two three."
    reader = ChatGptReader()
    with pytest.raises(CutAnswer):
        asyncio.run(read([OPEN, add(message("a-1")), text(whole[:cut])], reader))
    before = whole[:cut]
    events = asyncio.run(read([OPEN, add(message("a-1")), text(whole[:5]), delta(whole[5:]), end], reader))
    assert before + said(events) == whole
    assert events[-1] == Finished()


async def test_a_resumed_stream_may_go_on_in_the_middle() -> None:
    reader = ChatGptReader()
    with pytest.raises(CutAnswer):
        await read([OPEN, add(message("a-1")), text("One")], reader)
    assert said(await read([delta(" two"), ENDED], reader)) == " two"


async def test_read_back() -> None:
    reader = ChatGptReader()
    with pytest.raises(CutAnswer):
        await read([OPEN, add(message("a-1")), text("One two")], reader)
    assert list(reader.read_back(kept(), after="a-0", complete=False)) == []
    assert list(reader.read_back(kept(WHOLE), after="a-0", complete=False)) == [Text(" three."), Finished()]


async def test_what_is_read_back_is_never_the_turn_before() -> None:
    """The site may not know the prompt yet."""
    conversation = kept()
    conversation.current_node = "a-0"
    assert list(ChatGptReader().read_back(conversation, after="a-0", complete=True)) == []


async def test_a_whole_answer_is_one_that_says_so() -> None:
    partly = {**WHOLE, "status": "in_progress", "end_turn": None}
    events = list(ChatGptReader().read_back(kept(partly), after="a-0", complete=True))
    assert events == [Text("One two three.")]
    older = {**WHOLE, "end_turn": None}
    assert list(ChatGptReader().read_back(kept(older), after="a-0", complete=True))[-1] == Finished()


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (1, 2, 0)])
@pytest.mark.parametrize("task", ["task-1", None])
def test_a_picture_is_waited_for_wherever_it_stands(order: tuple[int, ...], task: str | None) -> None:
    """The message that says that it is made may stay beside the one that shows it."""
    reader, made = ChatGptReader(), {"status": "finished_successfully"}
    pending = picture(None, id="p-0", metadata={"image_gen_task_id": "task-1"}, **made)
    shown = picture("sediment://file_1", metadata={"image_gen_task_id": task}, **made)
    found = list(reader.read_back(kept(WHOLE, pending), after="a-0", complete=True))
    assert found == [Text("One two three.")]
    messages = (WHOLE, pending, shown)
    found = list(reader.read_back(kept(*(messages[at] for at in order)), after="a-0", complete=True))
    assert [type(event) for event in found] == [Media, Finished]


def test_a_tree_that_runs_in_circles() -> None:
    conversation = kept(WHOLE)
    conversation.mapping["u-1"].parent = "a-1"
    conversation.mapping["u-1"].message = None
    assert list(ChatGptReader().read_back(conversation, after="", complete=True))[-1] == Finished()
