"""The v1 stream read back, for the replica's own tests: written from section 5, not from what writes it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Heard:
    """What a stream told: typed events, and each message as it stands after the last delta."""

    typed: list[dict[str, Any]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    deltas: list[dict[str, Any]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    encoding: str = ""
    pings: int = 0
    done: bool = False
    count: int = 0
    """Events that an offset counts."""

    @property
    def types(self) -> list[str]:
        """Of the typed events."""
        return [one["type"] for one in self.typed]

    @property
    def conversation(self) -> str:
        """Its id."""
        return str(self.one("resume_conversation_token")["conversation_id"])

    @property
    def final(self) -> dict[str, Any]:
        """The answer message."""
        [found] = [one for one in self.messages if one["channel"] == "final"]
        return found

    @property
    def text(self) -> str:
        """The answer, with its marks."""
        return "".join(self.final["content"]["parts"])

    @property
    def reasoning(self) -> str:
        """All thoughts."""
        found = [one["content"]["thoughts"] for one in self.messages if one["content"]["content_type"] == "thoughts"]
        return "".join(thought["content"] for thoughts in found for thought in thoughts)

    def one(self, type_: str) -> dict[str, Any]:
        """The only event of a type."""
        [found] = [one for one in self.typed if one["type"] == type_]
        return found


def hear(data: bytes, heard: Heard | None = None) -> Heard:
    """Read a whole stream; with ``heard``, the rest of one that was broken off."""
    heard = heard or Heard()
    for block in data.decode().split("\n\n")[:-1]:
        name, shown = "", ""
        for line in block.split("\n"):
            key, _, value = line.partition(": ")
            name, shown = (value, shown) if key == "event" else (name, value)
        if shown == "[DONE]":
            heard.done = True
            continue
        value = json.loads(shown)
        if name == "ping":
            heard.pings += 1
            continue
        heard.count += 1
        if name == "delta_encoding":
            heard.encoding = value
        elif name == "delta":
            take(heard, value)
        elif "error" in value and "type" not in value and "message" not in value:
            heard.errors.append(value["error"])
        elif "type" in value:
            heard.typed.append(value)
        else:
            snapshot(heard, value["message"])
    return heard


def take(heard: Heard, shown: dict[str, Any]) -> None:
    """One delta: what it leaves out is as in the one before, but ``v``."""
    before = heard.deltas[-1] if heard.deltas else {}
    delta = {name: before[name] for name in ("p", "o", "c") if name in before} | shown
    heard.deltas.append(delta)
    path, kind, value = delta["p"], delta["o"], delta["v"]
    if kind == "add" and path == "":
        assert delta["c"] == len(heard.messages)
        heard.messages.append(value["message"])
    elif kind == "patch":
        for op in value:
            edit(heard.messages[delta["c"]], op["p"], op["o"], op["v"])
    else:
        edit(heard.messages[delta["c"]], path, kind, value)


def edit(message: dict[str, Any], path: str, kind: str, value: Any) -> None:
    """Apply one edit."""
    place: Any = {"message": message}
    steps: list[Any] = [int(step) if step.isdecimal() else step for step in path.strip("/").split("/")]
    *way, last = steps
    for step in way:
        place = place[step]
    if kind == "append":
        old = place[last] if isinstance(place, list) or last in place else type(value)()
        value = {**old, **value} if isinstance(old, dict) else old + value
    place[last] = value


def snapshot(heard: Heard, message: dict[str, Any]) -> None:
    """A message as it stands now, in the old encoding."""
    heard.messages = [one for one in heard.messages if one["id"] != message["id"]] + [message]
