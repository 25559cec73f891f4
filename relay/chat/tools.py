"""Tools that a client offers, and the form that it wants of the answer: plain data.

Chat pages know neither. Both are asked for in the prompt (`tool_prompt`) and read out of the answer (`tool_parser`,
`tool_check`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. `parameters` is a JSON schema; empty = it takes no arguments."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The tools of one request, and what it wants of them."""

    tools: tuple[Tool, ...]
    nonce: str
    """A few hex digits, new with each request: in the answer they tell a call from text that only looks like one."""
    choice: Literal["auto", "required", "none"] = "auto"
    names: tuple[str, ...] = ()
    """Only these may be called; empty = all."""
    parallel: bool = True
    """Whether one answer may hold several calls."""

    def __repr__(self) -> str:
        return f"<ToolUse {len(self.tools)} tools, {self.choice} {self.names or ''}>"


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """The answer is to be JSON: any object, or one that fits a schema."""

    schema: Mapping[str, Any] | None = None
    name: str = ""

    def __repr__(self) -> str:
        return f"<AnswerForm {self.name or ('schema' if self.schema is not None else 'object')}>"
