"""ChatGPT's models (section 3 of the fact sheet): those known, and those that the site offers an account."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from relay.chat.request import Turn
from relay.errors import BadRequest
from relay.sites.base import ModelSpec
from relay.sites.chatgpt.messages import Sent


class Model(Sent):
    """One of the models offered."""

    slug: str
    title: str = ""


class Models(Sent):
    """`GET /backend-api/models`."""

    models: list[Model]


def thinks(slug: str) -> bool:
    """Whether a model reasons whatever it is asked."""
    return slug.endswith("-thinking") or re.match(r"o\d", slug) is not None


def _spec(slug: str, *aliases: str, title: str = "", thinking: bool = True) -> ModelSpec:
    default = slug == "auto"
    return ModelSpec(slug, title, default, aliases, thinking=thinking, search=True, images=True, files=True,
                     always_thinks=thinks(slug), draws=default)  # fmt: skip


KNOWN: Sequence[ModelSpec] = (
    _spec("auto", title="ChatGPT"),
    _spec("gpt-5-6-thinking", "gpt-5.6-thinking"),
    _spec("gpt-5-3", "gpt-5.3"),
    _spec("gpt-5-2", "gpt-5.2"),
    _spec("gpt-5-1", "gpt-5.1"),
    _spec("gpt-5"),
    _spec("gpt-4-5", "gpt-4.5", thinking=False),
    _spec("gpt-4-1", "gpt-4.1", thinking=False),
    _spec("gpt-4o", thinking=False),
    _spec("gpt-4o-mini", thinking=False),
    *map(_spec, ("o1", "o3-mini", "o3-mini-high", "o4-mini", "o4-mini-high")),
)
"""What the sheet has seen; which of them there are is the site's word."""


def specs_of(offered: Sequence[Model]) -> Sequence[ModelSpec]:
    """What the site offers, and `auto`, the page's own choice. Thinking is done by a sibling that is offered."""
    known = {spec.key: spec for spec in KNOWN}
    thinking = [one.slug for one in offered if thinks(one.slug)]
    specs = {"auto": replace(known["auto"], thinking=bool(thinking))}
    for one in offered:
        able = one.slug in thinking or f"{one.slug}-thinking" in thinking or (one.slug == "auto" and bool(thinking))
        specs[one.slug] = replace(known.get(one.slug) or _spec(one.slug), name=one.title, thinking=able)
    return tuple(specs.values())


def to_pick(turn: Turn, offered: Sequence[Model]) -> Model:
    """The model for a turn, of those offered. Raises BadRequest for one that is not.

    Where one that does not think shall, its sibling stands in; for `auto` the first that the site lists.
    """
    wanted = [turn.model or "auto"]
    if turn.thinking and not thinks(wanted[0]):
        siblings = [one.slug for one in offered if one.slug.endswith("-thinking")]
        wanted = siblings if wanted == ["auto"] else [f"{wanted[0]}-thinking"]
    for model in offered:
        if model.slug in wanted:
            return model
    what = f"{turn.model or 'auto'}{' with thinking' if turn.thinking else ''}"
    names = ", ".join(model.slug for model in offered) or "nothing"
    raise BadRequest(f"ChatGPT offers this account not {what}, but {names}.", param="model")
