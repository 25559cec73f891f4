"""The events of Claude's answer stream, validated (section 5 of the fact sheet)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError

from relay.errors import SiteChanged
from relay.sites.claude.errors import Refusal
from relay.sites.claude.limits import MessageLimit
from relay.wire.json_text import parse_json
from relay.wire.sse import SseEvent


class Head(BaseModel):
    """`message` of `message_start`."""

    uuid: str | None = None


class Start(BaseModel):
    """`message_start`."""

    message: Head


class Block(BaseModel):
    """`content_block` as it opens."""

    type: str
    name: str | None = None
    text: str | None = None
    thinking: str | None = None
    input: Any = None
    content: Any = None


class BlockStart(BaseModel):
    """`content_block_start`."""

    index: int
    content_block: Block


class Headline(BaseModel):
    """`summary` of a `thinking_summary_delta`."""

    summary: str


class Delta(BaseModel):
    """What is added to a block."""

    type: str
    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    summary: Headline | None = None
    message: Any = None
    citation: Any = None
    citation_uuid: Any = None


class BlockDelta(BaseModel):
    """`content_block_delta`."""

    index: int
    delta: Delta


class BlockStop(BaseModel):
    """`content_block_stop`."""

    index: int


class End(BaseModel):
    """`delta` of `message_delta`."""

    stop_reason: str | None = None


class MessageDelta(BaseModel):
    """`message_delta`."""

    delta: End


class LimitTold(BaseModel):
    """`message_limit`."""

    message_limit: MessageLimit


class Stop(BaseModel):
    """`message_stop`."""


KINDS: dict[str, type[BaseModel]] = {
    "message_start": Start, "content_block_start": BlockStart, "content_block_delta": BlockDelta,
    "content_block_stop": BlockStop, "message_delta": MessageDelta, "message_limit": LimitTold,
    "message_stop": Stop, "error": Refusal,
}  # fmt: skip
"""Events that say something to us; `ping`, and what we do not know, does not."""


def record_of(frame: SseEvent) -> BaseModel | None:
    """One event, validated; None for one that says nothing to us. Raises SiteChanged."""
    said = parse_json(frame.data, "an event of Claude's stream")
    name = said.get("type", frame.event) if isinstance(said, dict) else None
    kind = KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        return None
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        found = f"{error.errors()[0]['msg']}: {frame.data[:200]}"
        raise SiteChanged(f"a {kind.__name__} of Claude's stream", found) from None
