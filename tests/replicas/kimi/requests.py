"""What Kimi's chat call must look like (fact sheet section 4); anything else does not validate."""

from __future__ import annotations

import json
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tests.replicas.exchange import Refused


class Strict(BaseModel):
    """No coercion, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Empty(Strict):
    """``{}``."""


class Tool(Strict):
    """A tool the answer may use; only the search tool has an argument."""

    type: Literal["TOOL_TYPE_SEARCH", "TOOL_TYPE_CRON_JOB"]
    search: Empty | None = None

    @model_validator(mode="after")
    def _search_has_its_argument(self) -> Tool:
        if (self.type == "TOOL_TYPE_SEARCH") != (self.search is not None):
            raise ValueError("search is the argument of TOOL_TYPE_SEARCH and of nothing else")
        return self


class TextPart(Strict):
    """The prompt."""

    content: str = Field(min_length=1)


class FilePart(Strict):
    """An uploaded, parsed file."""

    id: str
    status: Literal["PROCESS_STATUS_SUCCESS"]


class Block(Strict):
    """One block of the user's message: text or a file."""

    message_id: Literal[""] = ""
    text: TextPart | None = None
    file: FilePart | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Block:
        if (self.text is None) == (self.file is None):
            raise ValueError("a block is text or a file")
        return self


class UserMessage(Strict):
    """The new turn."""

    id: str | None = None
    parent_id: str = ""
    role: Literal["user"]
    scenario: str
    is_goal: bool = False
    blocks: list[Block] = Field(min_length=1)


class Options(Strict):
    """How to answer; ``model`` may be absent (older builds choose by scenario alone)."""

    thinking: bool
    enable_plugin: bool = True
    reasoning_effort: str | None = None
    context_length: str | None = None
    model: str | None = None


class ChatRequest(Strict):
    """The body of ``ChatService/Chat``."""

    chat_id: str = ""
    scenario: str
    tools: list[Tool]
    message: UserMessage
    options: Options
    project_id: str = ""
    kimiplus_id: str | None = Field(None, alias="kimiplusId")
    agent_mode: str | None = Field(None, alias="agentMode")

    @property
    def prompt(self) -> str:
        """The text of all text blocks."""
        return "\n".join(block.text.content for block in self.message.blocks if block.text)

    @property
    def files(self) -> list[str]:
        """The ids of all file blocks."""
        return [block.file.id for block in self.message.blocks if block.file]


def one_envelope(body: bytes) -> bytes:
    """The payload of the body's single Connect envelope. Raises Refused (400) for any other framing."""
    if len(body) < 5 or body[0] != 0:
        raise Refused(400, "protocol error: no uncompressed envelope", error("invalid_argument", "protocol error"))
    if (size := int.from_bytes(body[1:5], "big")) != len(body) - 5:
        why = f"protocol error: promised {size} bytes in enveloped message, got {len(body) - 5} bytes"
        raise Refused(400, why, error("invalid_argument", why))
    return body[5:]


def chat_request(payload: bytes) -> ChatRequest:
    """The validated body. Raises Refused (400) with what is wrong."""
    try:
        # Through json, because pydantic's strict JSON mode would accept what JSON.parse does not.
        return ChatRequest.model_validate(json.loads(payload))
    except (ValidationError, ValueError) as invalid:
        raise Refused(400, f"chat body: {invalid}", error("invalid_argument", "invalid request body")) from invalid


def error(code: str, message: str) -> dict[str, str]:
    """Connect's error object."""
    return {"code": code, "message": message}
