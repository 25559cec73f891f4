"""What sites send, validated: the base of its parts, and what is said of one that does not fit."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from relay.errors import SiteChanged

SHOWN_CHARS = 200
"""Of what came instead."""


class Answered(BaseModel):
    """A part of what a site sends; fields that it does not name are the site's own business.

    What checks it is built when it is first needed.
    """

    model_config = ConfigDict(extra="ignore", defer_build=True)


M = TypeVar("M", bound=BaseModel)


def read(kind: type[M], said: bytes | str, due: str, *, refused: bool = False) -> M:
    """JSON as a `kind`. Raises SiteChanged: `due` was due; `refused`: the site has provably taken no prompt."""
    try:
        return kind.model_validate_json(said)
    except ValidationError as error:
        shown = said if isinstance(said, str) else said[: 4 * SHOWN_CHARS].decode("utf-8", "replace")
        raise SiteChanged(due, f"{misfit(error)}: {shown[:SHOWN_CHARS]}", refused=refused) from None


def checked(kind: type[M], value: object, due: str, *, refused: bool = False) -> M:
    """A value that was read from JSON as a `kind`. Raises SiteChanged, as `read`."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise SiteChanged(due, f"{misfit(error)}: {value!r:.{SHOWN_CHARS}}", refused=refused) from None


def misfit(error: ValidationError) -> str:
    """The first thing that does not fit, and where."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]
