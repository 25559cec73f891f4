"""The events of Claude's answer stream, validated (section 5 of the fact sheet)."""

from __future__ import annotations

from typing import Any

from relay.sites.answered import Answered, checked
from relay.sites.claude.errors import Refusal
from relay.sites.claude.limits import MessageLimit
from relay.wire.json_text import parse_json
from relay.wire.sse import SseEvent


class Head(Answered):
    """`message` of `message_start`."""

    uuid: str | None = None


class Start(Answered):
    """`message_start`."""

    message: Head


class Block(Answered):
    """`content_block` as it opens."""

    type: str
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    input: Any = None
    content: Any = None


class BlockStart(Answered):
    """`content_block_start`."""

    index: int
    content_block: Block


class Headline(Answered):
    """`summary` of a `thinking_summary_delta`."""

    summary: str


class Delta(Answered):
    """What is added to a block."""

    type: str
    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    summary: Headline | None = None
    message: Any = None
    citation: Any = None
    citation_uuid: Any = None


class BlockDelta(Answered):
    """`content_block_delta`."""

    index: int
    delta: Delta


class BlockStop(Answered):
    """`content_block_stop`."""

    index: int


class End(Answered):
    """`delta` of `message_delta`."""

    stop_reason: str | None = None


class MessageDelta(Answered):
    """`message_delta`."""

    delta: End


class LimitTold(Answered):
    """`message_limit`."""

    message_limit: MessageLimit


class Stop(Answered):
    """`message_stop`."""


KINDS: dict[str, type[Answered]] = {
    "message_start": Start, "content_block_start": BlockStart, "content_block_delta": BlockDelta,
    "content_block_stop": BlockStop, "message_delta": MessageDelta, "message_limit": LimitTold,
    "message_stop": Stop, "error": Refusal,
}  # fmt: skip
"""Events that say something to us; `ping`, and what we do not know, does not."""


def record_of(frame: SseEvent) -> Answered | None:
    """One event, validated; None for one that says nothing to us. Raises SiteChanged."""
    said = parse_json(frame.data, "an event of Claude's stream")
    name = said.get("type", frame.event) if isinstance(said, dict) else None
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        return None
    return checked(kind, said, f"a {kind.__name__} of Claude's stream")
