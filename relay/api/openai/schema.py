"""`POST /v1/chat/completions`: what clients really send. Unknown fields are ignored, `null` is absent."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from relay.api.errors import PART

MAX_STOPS = 64


class Lenient(BaseModel):
    """Unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore")


class TextPart(Lenient):
    """`text`, and `input_text`, `output_text` of Responses-shaped bodies."""

    text: str


class RefusalPart(Lenient):
    """An earlier refusal, sent back as history."""

    refusal: str


class ImageUrl(Lenient):
    """Where an image is: a data URL."""

    url: str


class ImagePart(Lenient):
    """`image_url`; as `input_image` the address stands alone."""

    image_url: ImageUrl | str | None = None
    file_id: str | None = None

    @property
    def url(self) -> str | None:
        """The address, whichever way it was sent."""
        return self.image_url.url if isinstance(self.image_url, ImageUrl) else self.image_url


class Audio(Lenient):
    """Base64 sound."""

    data: str
    format: str | None = None


class AudioPart(Lenient):
    """`input_audio`."""

    input_audio: Audio


class FileUrl(Lenient):
    """A file by address, as the older relays of Chinese sites take it."""

    url: str


class FileFields(Lenient):
    """Exactly one of the three sources."""

    file_data: str | None = None
    file_url: FileUrl | str | None = None
    file_id: str | None = None
    filename: str | None = None

    @property
    def source(self) -> str | None:
        """The bytes: a data URL or base64."""
        url = self.file_url.url if isinstance(self.file_url, FileUrl) else self.file_url
        return self.file_data or url


class FilePart(FileFields):
    """`file` (its fields in `file`, or beside `type`) and `input_file`."""

    file: FileFields | None = None


_PARTS = {
    "text": "text",
    "input_text": "text",
    "output_text": "text",
    "refusal": "refusal",
    "image_url": "image_url",
    "input_image": "image_url",
    "input_audio": "input_audio",
    "file": "file",
    "input_file": "file",
    "file_url": "file",
}


def _part_tag(value: Any) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind is None and isinstance(value, dict) and "text" in value:
        kind = "text"
    found = _PARTS.get(kind) if isinstance(kind, str) else None
    return PART + found if found else None


Part = Annotated[
    Annotated[TextPart, Tag(PART + "text")]
    | Annotated[RefusalPart, Tag(PART + "refusal")]
    | Annotated[ImagePart, Tag(PART + "image_url")]
    | Annotated[AudioPart, Tag(PART + "input_audio")]
    | Annotated[FilePart, Tag(PART + "file")],
    Discriminator(
        _part_tag,
        custom_error_type="content_part",
        custom_error_message="a content part has one of the types text, image_url, input_audio, file",
    ),
]


def _as_parts(value: Any) -> Any:
    """A string is one text part, nothing is none; one part alone is a list of it."""
    if value is None:
        return []
    if isinstance(value, str):
        return [{"type": "text", "text": value}] if value else []
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise ValueError("content is a string or a list of content parts")
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in value if part is not None]


Content = Annotated[list[Part], BeforeValidator(_as_parts)]


class FunctionIn(Lenient):
    """What an earlier answer called."""

    name: str = ""
    arguments: Any = None


class ToolCallIn(Lenient):
    """A call in an assistant message's history."""

    id: str | None = None
    function: FunctionIn | None = None
    name: str | None = None
    arguments: Any = None


class MessageIn(Lenient):
    """A chat message, or an item of a Responses-shaped `input`."""

    type: str | None = None
    id: Any = None
    role: str | None = None
    content: Content = []
    name: str | None = None
    tool_calls: list[ToolCallIn] | None = None
    function_call: FunctionIn | None = None
    tool_call_id: str | None = None
    call_id: str | None = None
    arguments: Any = None
    output: Content = []


class StreamOptions(Lenient):
    """`include_usage`: a last chunk with the counts."""

    include_usage: bool | None = None


class Effort(Lenient):
    """`reasoning` of Responses-shaped bodies."""

    effort: str | None = None
    summary: str | None = None


class ThinkingSwitch(Lenient):
    """`thinking: {"type": "enabled"}`, as several Chinese APIs have it."""

    type: str | None = None


class Switches(Lenient):
    """The ways in which clients ask for reasoning and for a web search."""

    use_search: bool | None = None
    web_search_options: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    reasoning: Effort | None = None
    enable_thinking: bool | None = None
    thinking: ThinkingSwitch | bool | None = None

    @property
    def wants_thinking(self) -> str:
        """The field that asks for reasoning; empty where none does."""
        effort = self.reasoning_effort or (self.reasoning.effort if self.reasoning else None)
        if effort and effort.lower() not in ("none", "minimal"):
            return "reasoning_effort" if self.reasoning_effort else "reasoning"
        if self.enable_thinking:
            return "enable_thinking"
        if self.thinking is True or (isinstance(self.thinking, ThinkingSwitch) and self.thinking.type == "enabled"):
            return "thinking"
        return ""

    @property
    def wants_search(self) -> str:
        """The field that asks for a web search; empty where none does."""
        if self.use_search:
            return "use_search"
        return "web_search_options" if self.web_search_options is not None else ""


def _as_stops(value: Any) -> Any:
    stops = [value] if isinstance(value, str) else value
    if isinstance(stops, list):
        return [stop for stop in stops if stop != ""] or None
    return stops


def _as_messages(value: Any) -> Any:
    return [{"role": "user", "content": value}] if isinstance(value, str) else value


SPEAKING = frozenset({None, "message", "function_call", "function_call_output", "item_reference"})
"""Types of the items of an `input` that are read; what others have in them (reasoning, calls of a provider's own tools)
a site could not read anyway."""


def _as_items(value: Any) -> Any:
    """As messages; of an item that says nothing only its type is left, so that the others keep their places."""
    items = _as_messages(value)
    if not isinstance(items, list):
        return items
    return [_as_item(item) for item in items]


def _as_item(item: Any) -> Any:
    kind = item.get("type") if isinstance(item, dict) else None
    return {"type": kind} if isinstance(kind, str) and kind not in SPEAKING else item


Items = Annotated[list[MessageIn] | None, BeforeValidator(_as_items)]


Tokens = Annotated[int, Field(ge=1)]
Stops = Annotated[list[str], Field(max_length=MAX_STOPS)]


class ChatBody(Switches):
    """The request body."""

    model: Annotated[str, Field(min_length=1)]
    messages: Annotated[list[MessageIn] | None, BeforeValidator(_as_messages)] = None
    input: Items = None
    instructions: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    max_output_tokens: Tokens | None = None
    stop: Annotated[Stops | None, BeforeValidator(_as_stops)] = None
    n: int | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    functions: list[Any] | None = None
    function_call: Any = None
    response_format: Any = None
    conversation_id: str | None = None
    # Sampling and the like: a chat page has no such knobs. Taken, and named in `x-relay-ignored`.
    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    min_p: Any = None
    frequency_penalty: Any = None
    presence_penalty: Any = None
    repetition_penalty: Any = None
    logit_bias: Any = None
    logprobs: Any = None
    top_logprobs: Any = None
    seed: Any = None
    prediction: Any = None
    modalities: Any = None
    audio: Any = None
    verbosity: Any = None

    @property
    def token_limit(self) -> int | None:
        """The first limit that is given."""
        return self.max_completion_tokens or self.max_tokens or self.max_output_tokens

    def ignored(self) -> list[str]:
        """Fields that were sent and have no effect."""
        return [name for name in SAMPLING if getattr(self, name) is not None]


SAMPLING: tuple[str, ...] = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "seed",
    "prediction",
    "modalities",
    "audio",
    "verbosity",
)
Role = Literal["system", "user", "assistant", "tool"]
ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
