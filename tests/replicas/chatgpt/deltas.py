"""The events of an answer in encoding v1, or as the old cumulative snapshots (fact sheet section 5)."""

from __future__ import annotations

import json
from typing import Any

from tests.replicas.chatgpt.chats import Message

Op = tuple[str, str, Any]
"""``p``, ``o``, ``v``: where, ``append`` or ``replace`` or ``add``, and what."""


def event(value: object, name: str = "") -> bytes:
    """One event, with its name if it has one."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


ENCODING = event("v1", "delta_encoding")


class Deltas:
    """Edits messages and tells each edit. Leaves out ``p``, ``o`` and ``c`` where they are as in the delta before."""

    def __init__(self, conversation_id: str, *, v1: bool) -> None:
        self._conversation_id = conversation_id
        self._v1 = v1
        self._channels: dict[str, int] = {}
        """By message."""
        self._said: dict[str, Any] = {}

    def start(self) -> list[bytes]:
        """What comes before everything."""
        return [ENCODING] if self._v1 else []

    def open(self, message: Message) -> bytes:
        """A whole new message, with a channel of its own for later edits."""
        self._channels[message["id"]] = channel = len(self._channels)
        if not self._v1:
            return event(self._whole(message))
        return self._delta(p="", o="add", v=self._whole(message), c=channel)

    def edit(self, message: Message, *ops: Op) -> bytes:
        """Edit an opened message; several edits at once are a patch."""
        for op in ops:
            apply(message, op)
        if not self._v1:
            return event(self._whole(message))
        channel = self._channels[message["id"]]
        if len(ops) == 1:
            [(path, kind, value)] = ops
            return self._delta(p=f"/message{path}", o=kind, v=value, c=channel)
        inner = [{"p": f"/message{path}", "o": kind, "v": value} for path, kind, value in ops]
        return self._delta(p="", o="patch", v=inner, c=channel)

    def _whole(self, message: Message) -> dict[str, Any]:
        return {"message": message, "conversation_id": self._conversation_id, "error": None}

    def _delta(self, **parts: Any) -> bytes:
        whole = parts["o"] in ("add", "patch")
        shown = {
            name: part
            for name, part in parts.items()
            if name == "v" or (whole and name != "c") or self._said.get(name) != part
        }
        self._said = parts
        return event(shown, "delta")


def apply(message: Message, op: Op) -> None:
    """Make one edit. ``append`` extends texts and lists, and adds to objects."""
    path, kind, value = op
    *way, last = path.strip("/").split("/")
    place: Any = message
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    key: Any = int(last) if isinstance(place, list) else last
    if kind == "append":
        old = place[key] if isinstance(place, list) else place.setdefault(key, type(value)())
        value = old | value if isinstance(old, dict) else old + value
    place[key] = value


def content_text(text: str = "") -> dict[str, Any]:
    """Ordinary text."""
    return {"content_type": "text", "parts": [text]}


FINISHED: Op = ("/status", "replace", "finished_successfully")
