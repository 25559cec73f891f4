"""What ChatGPT's calls must look like (fact sheet sections 4 and 7); anything else does not validate."""

from __future__ import annotations

import json
from typing import Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tests.replicas.exchange import Exchange, Refused

Hint = Literal["search", "reason", "picture_v2"]
ROOT = "client-created-root"


class Strict(BaseModel):
    """No coercion, no unknown fields."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Author(Strict):
    """Only users send messages."""

    role: Literal["user"]


class ImagePart(Strict):
    """An uploaded picture in the prompt."""

    content_type: Literal["image_asset_pointer"]
    asset_pointer: str = Field(pattern=r"^(file-service|sediment)://file[-_]\w+$")
    width: int = Field(gt=0)
    height: int = Field(gt=0)
    size_bytes: int = Field(gt=0)

    @property
    def file(self) -> str:
        """Its file's id."""
        return self.asset_pointer.partition("://")[2]


class Content(Strict):
    """The prompt: one text, with pictures before it if it is ``multimodal_text``."""

    content_type: Literal["text", "multimodal_text"]
    parts: list[str | ImagePart] = Field(min_length=1)

    @property
    def text(self) -> str:
        """All text parts."""
        return "\n".join(part for part in self.parts if isinstance(part, str))

    @property
    def images(self) -> list[ImagePart]:
        """All pictures."""
        return [part for part in self.parts if isinstance(part, ImagePart)]

    @model_validator(mode="after")
    def _pictures_make_it_multimodal(self) -> Content:
        if bool(self.images) != (self.content_type == "multimodal_text"):
            raise ValueError("content_type is multimodal_text exactly when there are pictures")
        return self


class AttachedFile(Strict):
    """An uploaded file, named in the message's metadata."""

    id: str
    name: str
    size: int
    mimeType: str | None = None
    mime_type: str | None = None
    width: int | None = None
    height: int | None = None


class Symbols(Strict):
    """Custom symbols of the composer."""

    custom_symbol_offsets: list[int]


class Metadata(Strict):
    """What the page adds to a message."""

    submission_mode: Literal["manual_send"] | None = None
    serialization_metadata: Symbols | None = None
    system_hints: list[Hint] = []
    attachments: list[AttachedFile] = []


class UserMessage(Strict):
    """The new turn; its id is made by the client."""

    id: str
    author: Author
    create_time: float
    content: Content
    metadata: Metadata = Metadata()

    @model_validator(mode="after")
    def _id_is_a_uuid(self) -> UserMessage:
        UUID(self.id)
        return self


class Draft(Strict):
    """What is in the box while the user still types."""

    id: str
    author: Author
    content: Content
    create_time: float | None = None
    metadata: Metadata = Metadata()


class Mode(Strict):
    """Whom one talks to: the assistant itself, or a custom GPT or project."""

    kind: Literal["primary_assistant", "gizmo_interaction"]
    gizmo_id: str | None = Field(None, pattern=r"^g-(p-)?[0-9a-zA-Z]+$")

    @model_validator(mode="after")
    def _gizmo_has_its_id(self) -> Mode:
        if (self.kind == "gizmo_interaction") != (self.gizmo_id is not None):
            raise ValueError("gizmo_id belongs to gizmo_interaction and to nothing else")
        return self


class Window(Strict):
    """Facts of the browser window."""

    is_dark_mode: bool | None = None
    time_since_loaded: int | None = None
    page_height: int | None = None
    page_width: int | None = None
    pixel_ratio: float | None = None
    screen_height: int | None = None
    screen_width: int | None = None
    app_name: Literal["chatgpt.com"]


class Ask(Strict):
    """What the call that prepares and the one that sends have in common."""

    conversation_id: str | None = None
    parent_message_id: str
    model: str
    thinking_effort: Literal["standard", "extended"] | None = None
    system_hints: list[Hint] = []
    conversation_mode: Mode
    supports_buffering: bool
    supported_encodings: list[Literal["v1"]]
    timezone: str
    timezone_offset_min: int
    client_contextual_info: Window | None = None
    history_and_training_disabled: bool = False


class PrepareRequest(Ask):
    """``POST /backend-api/f/conversation/prepare``."""

    action: Literal["next"]
    fork_from_shared_post: Literal[False]
    client_prepare_state: Literal["none"]
    partial_query: Draft


class ChatRequest(Ask):
    """``POST /backend-api/f/conversation``."""

    action: Literal["next", "variant", "continue"]
    messages: list[UserMessage] = Field(default=[], max_length=1)
    client_prepare_state: Literal["success", "sent"]
    enable_message_followups: bool | None = None
    paragen_cot_summary_display_override: Literal["allow"] | None = None
    force_parallel_switch: Literal["auto"] | None = None

    @property
    def hints(self) -> set[Hint]:
        """Wherever they stand."""
        return {*self.system_hints, *(hint for message in self.messages for hint in message.metadata.system_hints)}

    @property
    def v1(self) -> bool:
        """Deltas, not snapshots."""
        return "v1" in self.supported_encodings

    @model_validator(mode="after")
    def _next_brings_a_message(self) -> ChatRequest:
        if self.action == "next" and not self.messages:
            raise ValueError("action next needs a message")
        if self.action == "continue" and self.messages:
            raise ValueError("action continue takes no message")
        if self.action != "next" and not self.conversation_id:
            raise ValueError(f"action {self.action} needs a conversation_id")
        return self


class RequirementsRequest(Strict):
    """``POST /backend-api/sentinel/chat-requirements/prepare``."""

    p: str


class FinalizeRequest(Strict):
    """``POST /backend-api/sentinel/chat-requirements/finalize``."""

    prepare_token: str
    proofofwork: str
    turnstile: str


class StopRequest(Strict):
    """``POST /backend-api/stop_conversation``."""

    conversation_id: str
    exclude_async_types: list[str]


class ResumeRequest(Strict):
    """``POST /backend-api/f/conversation/resume``."""

    conversation_id: str
    offset: int = Field(ge=0)


class ConversationPatch(Strict):
    """``PATCH /backend-api/conversation/<id>``."""

    is_visible: bool | None = None
    is_archived: bool | None = None
    title: str | None = None


class Rename(Strict):
    """``POST /backend-api/conversation/id/<id>/rename``."""

    title: str


class FileRequest(Strict):
    """``POST /backend-api/files``."""

    file_name: str = Field(min_length=1)
    file_size: int = Field(gt=0)
    use_case: Literal["multimodal", "my_files"]
    width: int | None = None
    height: int | None = None
    timezone_offset_min: int | None = None


class Empty(Strict):
    """``{}``."""


Body = TypeVar("Body", bound=BaseModel)


def parsed(model: type[Body], exchange: Exchange) -> Body:
    """The request's body. Raises Refused (422) with a list of field errors (section 9)."""
    if exchange.header("content-type").partition(";")[0] != "application/json":
        raise Refused(422, f"content-type {exchange.header('content-type')!r}", problem("body", "not JSON"))
    try:
        # Through json, because pydantic's strict JSON mode would accept what JSON.parse does not.
        return model.model_validate(json.loads(exchange.body))
    except ValidationError as invalid:
        found = [{"loc": ["body", *one["loc"]], "msg": one["msg"], "type": one["type"]} for one in invalid.errors()]
        raise Refused(422, f"body: {invalid}", {"detail": found}) from invalid
    except ValueError as invalid:
        raise Refused(422, f"body: {invalid}", problem("body", "not JSON")) from invalid


def problem(field: str, message: str) -> dict[str, object]:
    """The body of a 422."""
    return {"detail": [{"loc": ["body", field], "msg": message, "type": "value_error"}]}


def error(code: str, message: str, **more: object) -> dict[str, object]:
    """The body of the other refusals (section 9)."""
    return {"detail": {"code": code, "message": message, **more}}
