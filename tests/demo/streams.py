"""What the tests share: settings of the server under test, reading event streams."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from relay.demo import Pace

FAST = Pace(first_s=0, piece_s=0, slow_first_s=0, slow_piece_s=0)
SECRET = "a secret that outlives the server"

Chat = Callable[..., Awaitable[list[dict[str, Any]]]]


def events_of(body: bytes) -> list[dict[str, Any]]:
    """Every event of a finished stream, pings left out."""
    frames = body.split(b"\n\n")
    assert frames.pop() == b"", "the last frame is whole"
    events = [json.loads(frame.removeprefix(b"data: ")) for frame in frames]
    return [event for event in events if event["type"] != "ping"]


def text_of(events: list[dict[str, Any]], kind: str = "text") -> str:
    return "".join(event["text"] for event in events if event["type"] == kind)
