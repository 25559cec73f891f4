"""Token estimates."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.chat.events import ToolCall
from relay.chat.request import Attachment, Message
from relay.chat.tools import Tool, ToolUse
from relay.chat.usage import Usage, prompt_tokens, tokens, utf8_bytes


@given(st.text())
def test_bytes(text: str) -> None:
    assert utf8_bytes(text) == len(text.encode())


def test_lone_surrogates_do_not_break_the_count() -> None:
    assert utf8_bytes("a\ud800") == 2


def test_rounding() -> None:
    assert [tokens(size) for size in (0, 1, 4, 5)] == [0, 1, 1, 2]


def test_prompt_counts_text_only() -> None:
    file = Attachment("a.bin", "application/octet-stream", b"x" * 1000)
    assert prompt_tokens([Message("user", "12345678"), Message("assistant", "你", (file,))]) == 3


def test_prompt_counts_calls_and_the_tools_that_are_told_of() -> None:
    said = [Message("assistant", "", calls=(ToolCall("look", '{"a":1}', "id"),))]
    assert prompt_tokens(said) == 3
    tool = Tool("look", "Look up", {"type": "object"})
    told = len("lookLook up") + len('{"type": "object"}')
    assert prompt_tokens([], ToolUse((tool, tool), "ab")) == -(-2 * told // 4)
    assert prompt_tokens([], ToolUse((tool,), "ab", "none")) == 0


def test_total() -> None:
    assert Usage(2, 3, 1).total == 5
