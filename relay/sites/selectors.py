"""Screen selectors as data: `<id>/selectors.toml`, and the user's overlay, `$RELAY_HOME/sites/<id>.toml`, which wins.

    evidence = "2026-09"            # date of the newest evidence
    drop = [".copy-bar"]            # parts of an answer that are not its text (dom driver)
    ways = ["paste", "insertText"]  # ways to fill a rich editor, in order (screen.FillWay)
    [roles]
    input = ['textarea#prompt']     # candidates in order of preference
    send = [{ css = "button", text = "Submit" }]
    error = [{ css = ".alert", unlike = "Saved" }]  # not one in which this stands

Roles: input, send, stop, attach, answer, reasoning, busy; what a page may show instead of an answer: error, limited,
refused, wall, challenge; and whatever the site's module names.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from relay.browser.screen import Candidate, FillWay
from relay.errors import BadRequest


def _candidate(value: Any) -> Any:
    return {"css": value} if isinstance(value, str) else value


class Selectors(BaseModel):
    """The validated content of one selector file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    evidence: str = ""
    drop: list[str] = []
    ways: list[FillWay] = ["paste", "insertText"]
    roles: dict[str, list[Annotated[Candidate, BeforeValidator(_candidate)]]] = Field(default_factory=dict)

    def over(self, below: Selectors) -> Selectors:
        """These selectors laid over others: a role named here replaces that role."""
        fields = {name: getattr(self, name) for name in self.model_fields_set}
        return below.model_copy(update={**fields, "roles": {**below.roles, **self.roles}})


def parse(text: str, source: str) -> Selectors:
    """Validate a selector file. Raises BadRequest that names the file and the place."""
    try:
        return Selectors.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise BadRequest(f"{source} is not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadRequest(f"{source}: {where}: {first['msg']}") from None


class SelectorFile:
    """A site's selectors; the overlay is read again whenever it changes."""

    def __init__(self, site: str, overlays: Path | None = None) -> None:
        name = f"{site}.toml"
        own = files("relay.sites") / site.replace("-", "_") / "selectors.toml"
        self._own = parse(own.read_text("utf-8"), name)
        self._overlay = overlays / name if overlays else None
        self._stamp: tuple[int, int] | None = None
        self._merged = self._own

    def __repr__(self) -> str:
        return f"<SelectorFile {self._own.evidence} overlay={self._overlay}>"

    def current(self) -> Selectors:
        """The selectors as of now."""
        stamp = None
        if self._overlay is not None and self._overlay.is_file():
            stat = self._overlay.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp != self._stamp:
            assert self._overlay is not None or stamp is None
            text = self._overlay.read_text("utf-8") if self._overlay and stamp else ""
            self._merged = parse(text, str(self._overlay)).over(self._own) if text else self._own
            self._stamp = stamp
        return self._merged
