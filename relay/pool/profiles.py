"""Accounts on disk: `browser_profiles/<site>/<account>/` with `account.toml` and `state.json` (0600, atomic)."""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loguru import logger
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from relay.errors import BadRequest

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")


class Limits(BaseModel):
    """`[limits]` of account.toml."""

    model_config = ConfigDict(extra="forbid")

    concurrency: int | None = Field(None, ge=1, le=256, description="chats at once")


class AccountFile(BaseModel):
    """account.toml."""

    model_config = ConfigDict(extra="forbid")

    label: str = ""
    proxy: str | None = None
    base_url: str = ""
    locale: str | None = None
    timezone: str | None = None
    notes: str = ""
    disabled: bool = False
    options: dict[str, Any] = {}
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Profile:
    """One account's folder."""

    site: str
    account: str
    folder: Path

    @property
    def state_file(self) -> Path:
        """Cookies and storage; 0600."""
        return self.folder / "state.json"

    def settings(self) -> AccountFile:
        """account.toml, validated. Raises BadRequest with file and line or field."""
        file = self.folder / "account.toml"
        if not file.is_file():
            return AccountFile()
        try:
            return AccountFile.model_validate(tomllib.loads(file.read_text("utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise BadRequest(f"{file}: not valid TOML: {error}") from None
        except ValidationError as error:
            first = error.errors()[0]
            raise BadRequest(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None

    def stamp(self) -> int:
        """Changes when the state file was written by someone (0: there is none)."""
        try:
            return self.state_file.stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def load(self) -> Mapping[str, Any] | None:
        """The saved state, or None. Raises BadRequest when the file is damaged; it is never overwritten then."""
        if not self.state_file.is_file():
            return None
        try:
            state = json.loads(self.state_file.read_text("utf-8"))
        except ValueError as error:
            raise BadRequest(f"{self.state_file} is damaged ({error}). Log in again, or restore the file.") from None
        if not isinstance(state, dict) or not {"cookies", "origins"} & state.keys():
            raise BadRequest(f"{self.state_file} is not a saved browser state (no cookies, no origins).")
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the state: whole or not at all, readable by its owner only."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self.state_file, json.dumps(state, ensure_ascii=False))


def write_private(file: Path, text: str) -> None:
    """Replace a file atomically, mode 0600."""
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def discover(home: Path, known_sites: set[str]) -> Iterator[Profile]:
    """Every account under `browser_profiles/`, in the order of their names."""
    if not home.is_dir():
        return
    for site in sorted(path for path in home.iterdir() if path.is_dir()):
        if site.name not in known_sites:
            logger.warning("{} is no site that relay knows; ignored", site)
            continue
        for folder in sorted(path for path in site.iterdir() if path.is_dir()):
            if NAME.fullmatch(folder.name):
                yield Profile(site.name, folder.name, folder)
            else:
                logger.warning("{} is no account name (letters, digits, . _ @ -); ignored", folder)
