"""What Claude's calls must look like (fact sheet sections 4 and 8); anything else does not validate."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from tests.replicas.claude.refusals import bad
from tests.replicas.exchange import Exchange, Refused

ROOT = "00000000-0000-4000-8000-000000000000"
"""The parent of a conversation's first message."""
UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def _uuid4(value: str) -> str:
    if not re.fullmatch(UUID4, value):
        raise ValueError("not a version 4 UUID")
    return value


Id = Annotated[str, AfterValidator(_uuid4)]


class Strict(BaseModel):
    """No coercion, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Attachment(Strict):
    """Text that is put inline."""

    file_name: str = Field(min_length=1)
    file_type: str
    file_size: int = Field(ge=0)
    extracted_content: str


class Style(BaseModel):
    """A style of writing; the sheet shows its first fields only."""

    model_config = ConfigDict(extra="allow", strict=True)

    type: str
    key: str
    name: str


class Tool(Strict):
    """A tool that the answer may use."""

    type: Literal["web_search_v0", "artifacts_v0", "repl_v0"]
    name: str

    @model_validator(mode="after")
    def _named_for_its_type(self) -> Tool:
        if self.name != self.type.removesuffix("_v0"):
            raise ValueError(f"{self.type} is called {self.type.removesuffix('_v0')}")
        return self


class TurnIds(Strict):
    """Ids that the client chose."""

    human_message_uuid: Id
    assistant_message_uuid: Id


class Creation(Strict):
    """What a new conversation is made with, by either way."""

    name: Literal[""]
    model: str | None = None
    project_uuid: Id | None = None
    include_conversation_preferences: bool = True
    paprika_mode: Literal["extended"] | None = None
    is_temporary: bool = False


class CreateRequest(Creation):
    """The body of ``POST chat_conversations``: the old way."""

    uuid: Id


class CreateParams(Creation):
    """``create_conversation_params``: the new way. The shape of a set ``compass_mode`` is unknown."""

    compass_mode: None = None
    enabled_imagine: bool | None = None
    tool_search_mode: Literal["auto"] | None = None


class CompletionRequest(Strict):
    """The body of ``completion`` and ``retry_completion``. The older ``rendering_mode`` is not served here."""

    prompt: str
    parent_message_uuid: Id
    turn_message_uuids: TurnIds | None = None
    model: str | None = None
    timezone: str = Field(pattern=r"^[A-Za-z_]+(/[A-Za-z0-9_+-]+)*$")
    locale: str = Field("en-US", pattern=r"^[a-z]{2}-[A-Z]{2}$")
    rendering_mode: Literal["messages"]
    attachments: list[Attachment] = Field(default_factory=list)
    files: list[Id] = Field(default_factory=list)
    sync_sources: list[None] = Field(default_factory=list)
    personalized_styles: list[Style] = Field(default_factory=list)
    tools: list[Tool] = Field(default_factory=list)
    thinking_mode: Literal["extended", "auto", "off"] | None = None
    effort: Literal["low", "medium", "high"] | None = None
    create_conversation_params: CreateParams | None = None
    completion_request_id: Id | None = None
    max_tokens_to_sample: int | None = Field(None, gt=0)

    def uses(self, tool: str) -> bool:
        """Whether the answer may use the tool of this name."""
        return any(each.name == tool for each in self.tools)


class Settings(Strict):
    """What a conversation can be set to."""

    paprika_mode: Literal["extended"] | None


class SettingsRequest(Strict):
    """The body of ``PUT chat_conversations/<conv>``."""

    settings: Settings


class TitleRequest(Strict):
    """The body of ``title``."""

    message_content: str
    recent_titles: list[str]


class DeleteManyRequest(Strict):
    """The body of ``delete_many``."""

    conversation_uuids: list[Id]


M = TypeVar("M", bound=BaseModel)


def body(exchange: Exchange, model: type[M]) -> M:
    """The validated JSON body. Raises Refused (415, 400) with what is wrong."""
    content_type = exchange.header("content-type").partition(";")[0]
    if content_type != "application/json":
        raise Refused(415, f"content-type {content_type!r}", bad("Content-Type must be application/json").body)
    found: Any = exchange.record.body
    try:
        return model.model_validate(found)
    except ValidationError as invalid:
        raise bad(f"{exchange.record.operation}: {invalid}") from invalid
