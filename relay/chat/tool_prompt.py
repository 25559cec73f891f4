"""Tools and the form of an answer, as a prompt asks for them. (The words come with the next change.)"""

from __future__ import annotations

from relay.chat.request import Message
from relay.chat.tools import AnswerForm, ToolUse


def is_chinese(text: str) -> bool:
    """Whether any Han character is in it."""
    return any("\u3400" <= character <= "\u9fff" for character in text)


def instructions(use: ToolUse, *, chinese: bool) -> str:
    """All that the site's model must know of the tools."""
    return ""


def reminder(use: ToolUse, *, chinese: bool) -> str:
    """What changes from turn to turn."""
    return ""


def rendered(message: Message, nonce: str) -> str:
    """An assistant's message with its calls."""
    return message.text


def result(message: Message, nonce: str) -> str:
    """A call's result."""
    return message.text


def form_instructions(form: AnswerForm, *, chinese: bool) -> str:
    """What the answer's text must be."""
    return ""
