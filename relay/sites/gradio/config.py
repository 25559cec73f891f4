"""The parts of an app's `/config` ("Version matters" of the Gradio fact sheet), as far as they matter here."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from relay.sites.answered import Answered


class Component(Answered):
    """One component of the page."""

    id: int
    type: str
    props: dict[str, Any] = Field(default_factory=dict)

    @property
    def choices(self) -> list[tuple[str, Any]]:
        """Label and value of each choice of a dropdown or radio; `[[label, value], ...]` in the config."""
        pairs = self.props.get("choices") or []
        return [(str(pair[0]), pair[1]) for pair in pairs if isinstance(pair, list | tuple) and len(pair) == 2]


class Types(Answered):
    """What kind of function stands behind an event."""

    cancel: bool = False


class Dependency(Answered):
    """One event of the page and the function behind it; `id` is the `fn_index` of calls."""

    id: int
    targets: list[tuple[int | None, str]] = Field(default_factory=list)
    inputs: list[int] = Field(default_factory=list)
    outputs: list[int] = Field(default_factory=list)
    backend_fn: bool = False
    queue: bool | None = True
    api_name: str | Literal[False] | None = None
    api_visibility: str = "public"
    trigger_after: int | None = None
    types: Types = Types()

    @property
    def triggers(self) -> set[str]:
        """What sets it off: `submit` of a text box, `click` of a button, ..."""
        return {name for _, name in self.targets}

    @property
    def callable_by_name(self) -> bool:
        """Whether `/call/<api_name>` reaches it."""
        return bool(self.api_name) and self.api_visibility != "private"
