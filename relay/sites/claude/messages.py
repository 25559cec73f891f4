"""What Claude answers beside its stream, validated (sections 2, 3, 4 and 7 of the fact sheet)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, Field, RootModel, TypeAdapter, ValidationError

from relay.browser.tab import Response
from relay.errors import SiteChanged
from relay.sites.answered import Answered, misfit, read
from relay.sites.base import ModelSpec
from relay.sites.claude.errors import site_error

MODELS = "claude_ai_bootstrap_models_config"
"""The key of the model list, somewhere in the bootstrap answer."""
MAX_DEPTH = 12
PLANS = {"claude_max": "Max", "claude_pro": "Pro", "raven": "Team"}
"""By an organization's capability."""


class Organization(Answered):
    """One of `GET /api/organizations`."""

    uuid: str = Field(min_length=1)
    name: str | None = None
    capabilities: list[str] = Field(default_factory=list)

    @property
    def label(self) -> str:
        """Its name and plan."""
        plan = next((plan for capability, plan in PLANS.items() if capability in self.capabilities), "free")
        return f"{self.name} ({plan})" if self.name else plan


class Organizations(RootModel[list[Organization]]):
    """`GET /api/organizations`."""


class Made(RootModel[Any]):
    """What is answered to a conversation that was made: nothing of it is needed."""


class Bootstrap(RootModel[Any]):
    """What the page starts with; the model list is somewhere in it."""


class Message(Answered):
    """One of a conversation's."""

    uuid: str


class Conversation(Answered):
    """A conversation with its messages."""

    current_leaf_message_uuid: str | None = None
    chat_messages: list[Message] = Field(default_factory=list)

    @property
    def leaf(self) -> str:
        """The message that the next one hangs on; empty where there is none yet."""
        last = self.chat_messages[-1].uuid if self.chat_messages else ""
        return self.current_leaf_message_uuid or last


class Uploaded(Answered):
    """The answer to an upload."""

    file_uuid: str = Field(min_length=1)


class OfferedModel(Answered):
    """One of the bootstrap's models."""

    model: str = Field(min_length=1)
    name: str | None = None
    inactive: bool | None = False
    thinking_modes: list[Any] | None = None
    paprika_modes: list[Any] | None = None

    @property
    def spec(self) -> ModelSpec:
        """The same for clients. It thinks where it has any mode but `off`."""
        modes = (*(self.thinking_modes or ()), *(self.paprika_modes or ()))
        thinks = any(mode not in ("off", None) for mode in modes)
        return model_spec(self.model, self.name or "", thinking=thinks)


M = TypeVar("M", bound=BaseModel)
OFFERED: TypeAdapter[list[OfferedModel]] = TypeAdapter(list[OfferedModel])


def model_spec(model: str, name: str = "", *, thinking: bool = True) -> ModelSpec:
    """A model by the site's full name; without the date that this may end in, it is known too."""
    undated = re.sub(r"-20\d{6}$", "", model)
    aliases = (undated,) if undated != model else ()
    return ModelSpec(model, name, aliases=aliases, thinking=thinking, search=True, images=True, files=True)


def parsed(kind: type[M], response: Response) -> M:
    """A whole answer, validated. Raises the error of its status, or SiteChanged: no prompt was sent yet by then."""
    if (refusal := site_error(response.status, response.headers, response.text, refused=True)) is not None:
        raise refusal
    return read(kind, response.body, f"{kind.__name__} of Claude", refused=True)


def chosen(organizations: Sequence[Organization], preferred: str) -> Organization | None:
    """The organization whose chats we use: the one that the page shows, else the first that may chat."""
    able = [one for one in organizations if "chat" in one.capabilities]
    return next((one for one in able if one.uuid == preferred), able[0] if able else None)


def models_in(bootstrap: Any) -> list[OfferedModel]:
    """The active models of a bootstrap answer, wherever it holds them. Raises SiteChanged."""
    for found in _under(bootstrap, MODELS):
        try:
            return [model for model in OFFERED.validate_python(found) if not model.inactive]
        except ValidationError as error:
            raise SiteChanged(f"models in {MODELS}", misfit(error)) from None
    raise SiteChanged(f"a list {MODELS}", "none")


def _under(value: Any, key: str, depth: int = 0) -> Iterator[list[Any]]:
    """Lists that stand under a key at any place, themselves or in what wraps them there."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, dict):
        match value.get(key):
            case list(found):
                yield found
            case dict(wrapped):
                yield from (one for one in wrapped.values() if isinstance(one, list))
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _under(one, key, depth + 1)
