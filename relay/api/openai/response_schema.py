"""`POST /v1/responses`: what clients really send. Unknown fields are ignored, `null` is absent."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from relay.api.openai.schema import Items, Lenient, Switches, Tokens


class TextOptions(Lenient):
    """`text`: the form of the answer."""

    format: Any = None
    verbosity: str | None = None


def _as_conversation(value: Any) -> Any:
    """`{"id": …}` is its id."""
    return value.get("id") if isinstance(value, dict) else value


class ResponseBody(Switches):
    """The request body."""

    model: Annotated[str, Field(min_length=1)]
    input: Items = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: Annotated[str | None, BeforeValidator(_as_conversation)] = None
    conversation_id: str | None = None
    stream: bool | None = None
    store: bool | None = None
    max_output_tokens: Tokens | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    text: TextOptions | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: Annotated[str, Field(max_length=64)] | None = None
    prompt_cache_key: str | None = None
    # A chat page has no such knobs. Taken, and named in `x-relay-ignored`.
    temperature: Any = None
    top_p: Any = None
    top_logprobs: Any = None
    max_tool_calls: Any = None
    background: Any = None
    prompt: Any = None

    @property
    def named(self) -> str | None:
        """The conversation that the body names."""
        return self.conversation_id or self.conversation or None

    def ignored(self) -> list[str]:
        """Fields that were sent and have no effect."""
        found = [name for name in KNOBS if (value := getattr(self, name)) is not None and value is not False]
        return [*found, "text.verbosity"] if self.text and self.text.verbosity else found


KNOBS = ("temperature", "top_p", "top_logprobs", "max_tool_calls", "background", "prompt")
