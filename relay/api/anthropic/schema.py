"""`POST /v1/messages`: what clients really send. Unknown fields and blocks are ignored, `null` is absent."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag

from relay.api.errors import PART
from relay.api.openai.schema import Lenient, Stops, Tokens
from relay.api.toolbox import left_out


class TextBlock(Lenient):
    """`text`."""

    text: str


class Source(Lenient):
    """Where a picture or document is: in `data` (base64, or text), at `url`, stored as `file_id`, or in blocks."""

    type: str | None = None
    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: Content = ()


class ImageBlock(Lenient):
    """`image`."""

    source: Source


class DocumentBlock(Lenient):
    """`document`."""

    source: Source
    title: str | None = None
    context: str | None = None


class SearchResultBlock(Lenient):
    """`search_result`: what the client itself has found."""

    source: str | None = None
    title: str | None = None
    content: Content = ()


class ToolUseBlock(Lenient):
    """`tool_use`: what an earlier answer called."""

    id: str | None = None
    name: str = ""
    input: Any = None


class ToolResultBlock(Lenient):
    """`tool_result`."""

    tool_use_id: str | None = None
    content: Content = ()
    is_error: bool | None = None


class SilentBlock(Lenient):
    """Any other: thinking, what Anthropic's own tools did, blocks of times to come. No site could read it."""


_SILENT = "silent"
_BLOCKS = {"text", "image", "document", "search_result", "tool_use", "tool_result"}


def _block_tag(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    kind = value.get("type", "text" if "text" in value else None)
    if not isinstance(kind, str):
        return None
    return PART + (kind if kind in _BLOCKS else _SILENT)


Block = Annotated[
    Annotated[TextBlock, Tag(PART + "text")]
    | Annotated[ImageBlock, Tag(PART + "image")]
    | Annotated[DocumentBlock, Tag(PART + "document")]
    | Annotated[SearchResultBlock, Tag(PART + "search_result")]
    | Annotated[ToolUseBlock, Tag(PART + "tool_use")]
    | Annotated[ToolResultBlock, Tag(PART + "tool_result")]
    | Annotated[SilentBlock, Tag(PART + _SILENT)],
    Discriminator(
        _block_tag,
        custom_error_type="content_block",
        custom_error_message="a content block is an object with a type: text, image, document, tool_use, tool_result…",
    ),
]


def _as_blocks(value: Any) -> Any:
    """A string is one text block, nothing is none; one block alone is a list of it."""
    if value is None:
        return []
    if isinstance(value, str):
        return [{"type": "text", "text": value}]
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        raise ValueError("content is a string or a list of content blocks")
    return [{"type": "text", "text": block} if isinstance(block, str) else block for block in value]


Content = Annotated[tuple[Block, ...], BeforeValidator(_as_blocks)]


class MessageParam(Lenient):
    """A message; its role may be `system` too."""

    role: str | None = None
    content: Content = ()


class Thinking(Lenient):
    """`type`: enabled, adaptive, disabled…; `display`: `omitted` keeps it out of the answer."""

    type: str | None = None
    display: str | None = None


class OutputConfig(Lenient):
    """`format`: the JSON schema of the answer."""

    format: Any = None


class MessagesBody(Lenient):
    """The request body."""

    model: Annotated[str, Field(min_length=1)]
    messages: list[MessageParam] | None = None
    system: Content = ()
    max_tokens: Tokens | None = None
    stream: bool | None = None
    stop_sequences: Stops | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: Any = None
    conversation_id: str | None = None
    # No site has these knobs. Taken, and named in `x-relay-ignored`.
    temperature: Any = None
    top_p: Any = None
    top_k: Any = None
    mcp_servers: Any = None
    container: Any = None

    @property
    def wants_thinking(self) -> str:
        """The field that asks for reasoning; empty where none does."""
        return "thinking" if self.thinking and self.thinking.type in ("enabled", "adaptive") else ""

    @property
    def shows_thinking(self) -> bool:
        """Whether reasoning is shown; so it is where nothing is said of it."""
        return self.thinking is None or (self.thinking.type != "disabled" and self.thinking.display != "omitted")

    @property
    def wants_search(self) -> str:
        """The tool that asks for a web search, as `toolbox` names what it leaves out; empty where none does."""
        return left_out("tools", self._search["type"]) if self._search else ""

    @property
    def choice(self) -> Any:
        """`tool_choice`; none where it names the search, which is a switch here and no tool."""
        named = self.tool_choice.get("name") if isinstance(self.tool_choice, dict) else None
        return None if self._search and named and named == self._search.get("name") else self.tool_choice

    @property
    def _search(self) -> dict[str, Any] | None:
        tools = (tool for tool in self.tools or () if isinstance(tool, dict))
        return next((tool for tool in tools if str(tool.get("type")).startswith("web_search_")), None)

    def ignored(self) -> list[str]:
        """Fields that were sent and have no effect."""
        return [name for name in _NO_EFFECT if getattr(self, name) is not None]


_NO_EFFECT = ("temperature", "top_p", "top_k", "mcp_servers", "container")
