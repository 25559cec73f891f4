"""A chat that the relay answers itself: no site is asked."""

from __future__ import annotations

from collections.abc import AsyncIterator

from relay.chat.events import Event, Finished, Text, ToolCall


class CannedChat:
    """The pool's Chat, with its answer known beforehand."""

    site, account, driver = "relay", "", ""
    queue_ms = 0.0
    heard = ""

    def __init__(self, id: str, text: str) -> None:
        self.id = id
        self._text = text

    def __repr__(self) -> str:
        return f"<CannedChat {self.id} {len(self._text)} characters>"

    async def __aiter__(self) -> AsyncIterator[Event]:
        yield Text(self._text)
        yield Finished("stop")

    def note(self) -> str:
        return ""

    def delivered(self, text: str, calls: tuple[ToolCall, ...] = ()) -> None:
        """Nothing can be continued."""

    async def cancel(self) -> None:
        """There is nothing to stop."""
