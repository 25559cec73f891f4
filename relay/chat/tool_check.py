"""Calls and JSON answers against what was asked. (The checks come with the next change.)"""

from __future__ import annotations

from collections.abc import Sequence

from relay.chat.events import ToolCall
from relay.chat.tools import AnswerForm, ToolUse


def checked(calls: Sequence[ToolCall], use: ToolUse) -> tuple[tuple[ToolCall, ...], tuple[str, ...]]:
    """The calls that may be made, and what is wrong with others."""
    return tuple(calls), ()


def missing(calls: Sequence[ToolCall], use: ToolUse) -> str:
    """What is wrong where a call had to be made."""
    return ""


def repair(faults: Sequence[str], use: ToolUse) -> str:
    """The prompt that asks for the calls again."""
    return ""


def json_answer(text: str, form: AnswerForm) -> tuple[str, str]:
    """The JSON in the text, or the text and what is wrong."""
    return text, ""


def repair_form(fault: str, form: AnswerForm) -> str:
    """The prompt that asks for the JSON again."""
    return ""
