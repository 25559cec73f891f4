"""Calls in an answer's text. (The dialects come with the next change.)"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from relay.chat.events import ToolCall


@dataclass(frozen=True, slots=True)
class Parsed:
    """What was left at the end."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    fault: str = ""


class ToolParser:
    """Feed it text; it gives back what is no call."""

    def __init__(self, names: Collection[str], nonce: str) -> None:
        self._names, self._nonce = names, nonce

    def feed(self, text: str) -> str:
        """Text that is surely no call."""
        return text

    def close(self) -> Parsed:
        """The rest."""
        return Parsed()
