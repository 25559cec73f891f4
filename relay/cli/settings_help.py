"""The settings as text, made from their model: for `--help` and the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from relay.settings import Settings, SiteSettings


def rows(model: type[BaseModel] = Settings, prefix: str = "RELAY_") -> Iterator[tuple[str, str, str]]:
    """(name, default, meaning) of every setting; groups are taken apart, sites are `RELAY_SITES__<ID>__…`."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if name == "sites" and model is Settings:
            yield from rows(SiteSettings, f"{prefix}SITES__<ID>__")
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from rows(kind, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}", _default(field), field.description or "as the general setting"


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if field.default_factory is not None:
        return "depends"
    if value is None or value is PydanticUndefined or value == []:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if not isinstance(value, Path) else value.as_posix()


def epilog() -> str:
    """The table under `relay serve --help`."""
    width = max(len(name) for name, _, _ in rows())
    lines = [f"{name:<{width}}  [{default}] {meaning}" for name, default, meaning in rows()]
    intro = "Settings (environment, .env, or relay.toml in the home folder; [default]):"
    return "\b\n" + "\n".join([intro, *lines])
