"""account.toml: what it may say, and errors that name file, line and field."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from relay.errors import BadRequest
from relay.pool import pacing

MAX_BYTES = 64 * 1024
MAX_DOTS = 64
"""In one line, outside of strings: tomllib takes minutes for a key of ten thousands of parts."""
SHOWN_ERRORS = 3
PLACED_ERRORS = 50

Window = tuple[Annotated[int, Field(ge=1)], Annotated[float, Field(gt=0, allow_inf_nan=False)]]
"""At most so many chats in so many seconds."""


class RateTable(BaseModel):
    """How fast chats may follow one another."""

    model_config = ConfigDict(extra="forbid")

    min_gap_s: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="seconds between the starts of two chats, 0 or more"
    )
    windows: tuple[Window, ...] = Field(
        (), max_length=16, description="at most 16 pairs [chats, seconds], e.g. [[30, 10800]]: 30 chats in 3 hours"
    )


class Limits(RateTable):
    """`[limits]`; what stands in `models` holds for one model, beside what holds for all."""

    concurrency: int | None = Field(None, ge=1, le=256, description="chats at once, a whole number from 1 to 256")
    models: dict[str, RateTable] = Field({}, description='tables [limits.models."<model>"] with min_gap_s and windows')

    def pace(self) -> pacing.Limits:
        """The same, as the pool reckons with it."""
        models = {model: pacing.Rate(table.min_gap_s, table.windows) for model, table in self.models.items()}
        return pacing.Limits(self.min_gap_s, self.windows, models)


class AccountFile(BaseModel):
    """account.toml."""

    model_config = ConfigDict(extra="forbid")

    label: str = Field("", description="text")
    proxy: str | None = Field(
        None, pattern=r"^(https?|socks[45])://\S+$", description="an address: http://host:port or socks5://host:port"
    )
    base_url: str = Field("", pattern=r"^(https?://\S+)?$", description="the site's address, http:// or https://")
    locale: str | None = Field(None, description='text, e.g. "zh-CN"')
    timezone: str | None = Field(None, description='text, e.g. "Asia/Shanghai"')
    notes: str = Field("", description="text")
    disabled: bool = Field(False, description="true or false")
    options: dict[str, Any] = Field({}, description="a table of the site's own options")
    limits: Limits = Field(Limits(), description="a table")

    def context_options(self) -> dict[str, object]:
        """Playwright's options for the account's context: what its owner logs in with, chats run with."""
        proxy = {"server": self.proxy} if self.proxy else None
        options = {"locale": self.locale, "timezone_id": self.timezone, "proxy": proxy}
        return {name: value for name, value in options.items() if value}


def parse_account_file(raw: bytes, file: Path) -> AccountFile:
    """The content of an account.toml. Raises BadRequest; `file` is only named in it."""
    if len(raw) > MAX_BYTES:
        raise BadRequest(f"{file} has {len(raw)} bytes; an account.toml has at most {MAX_BYTES}.")
    try:
        text = raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BadRequest(f"{file}, line {line}: not valid TOML: byte 0x{raw[error.start]:02x} is not UTF-8.") from None
    _refuse_long_keys(text, file)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadRequest(f"{file}, {_syntax(str(error), text)}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits, brackets in thousands
        raise BadRequest(f"{file}, line {_broken(text)}: not valid TOML: a number or a nest is too large.") from None
    try:
        return AccountFile.model_validate(document)
    except ValidationError as error:
        raise BadRequest(f"{file}, {_list(error.errors(include_url=False), text)}") from None


def _list(errors: Sequence[ErrorDetails], text: str) -> str:
    """The first few errors, in the order of their lines, and how many more there are."""
    places = [*_places(text)]
    found = sorted((line_of(error["loc"], places), _explain(error)) for error in errors[:PLACED_ERRORS])
    told = [f"line {line}: {what}" for line, what in found[:SHOWN_ERRORS]]
    more = [f"({len(errors) - SHOWN_ERRORS} more.)"] if len(errors) > SHOWN_ERRORS else []
    return " ".join([*told, *more])


def _refuse_long_keys(text: str, file: Path) -> None:
    bare = _TOKEN.sub(lambda token: token[0] if len(token[0]) == 1 else "\n" * token[0].count("\n"), text)
    for line, content in enumerate(bare.split("\n"), 1):
        if content.count(".") > MAX_DOTS:
            raise BadRequest(f"{file}, line {line}: a key of too many parts.")


def _syntax(message: str, text: str) -> str:
    """tomllib's message with the line before it: it puts "(at line 3, column 7)" or "(at end of document)" last."""
    what, _, place = message.partition(" (at ")
    at = re.match(r"line (\d+), (column \d+)", place)
    line, column = (at[1], f" at {at[2]}") if at else (str(text.rstrip("\n").count("\n") + 1), " at the end")
    return f"line {line}: not valid TOML: {what[:200]},{column}."


def _explain(error: ErrorDetails) -> str:
    """What is wrong with a field, and what is allowed. Never its value: that may be a secret."""
    loc = error["loc"]
    model: type[BaseModel]
    if loc[:2] == ("limits", "models") and len(loc) > 3:
        model, name = RateTable, str(loc[3])
    elif loc[0] == "limits" and len(loc) > 1:
        model, name = Limits, str(loc[1])
    else:
        model, name = AccountFile, str(loc[0])
    if error["type"] == "extra_forbidden":
        near = get_close_matches(name[:64], model.model_fields, n=1)
        guess = f', did you mean "{near[0]}"?' if near else "."
        return f"there is no {_dotted(loc)}{guess} Allowed: {', '.join(model.model_fields)}."
    what = _WRONG_KIND.get(error["type"], error["msg"])
    return f"{_dotted(loc)}: {what}. Allowed: {model.model_fields[name].description}."


_WRONG_KIND = {"model_type": "not a table", "dict_type": "not a table", "tuple_type": "not a list"}
"""Where pydantic would speak of Python."""


def _dotted(path: Sequence[str | int]) -> str:
    parts = (str(part)[:64] for part in path)
    return ".".join(part if re.fullmatch(r"[\w-]+", part) else json.dumps(part) for part in parts)


# Where a field stands. tomllib tells no positions, so the text (known to be valid) is cut into its statements.

_TOKEN = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5} | \'\'\'.*?\'{3,5} | "(?:\\.|[^"\\\n])*" | '[^'\n]*' | \#[^\n]* | [\[\]{}\n]''',
    re.DOTALL | re.VERBOSE,
)


def line_of(path: Sequence[str | int], places: Iterable[tuple[int, tuple[str, ...]]]) -> int:
    """The line of the statement that sets `path`, sets something in it, or opens what it stands in; the closest."""
    best, best_line = 0, 1
    for line, named in places:
        shared = min(len(named), len(path))
        if shared > best and named[:shared] == tuple(path[:shared]):
            best, best_line = shared, line
    return best_line


def _places(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """(line from 1, whole path) of each statement of a valid document."""
    table: tuple[str, ...] = ()
    for line, statement in _statements(text):
        if statement.startswith("["):
            table = _path_of(statement)
            yield line, table
        else:
            yield line, (*table, *_path_of(statement))


def _broken(text: str) -> int:
    """The line of the first statement that cannot be read for itself."""
    for line, statement in _statements(text):
        try:
            tomllib.loads(statement)
        except (ValueError, RecursionError):
            return line
    return 1


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """(first line, text) of each table header and each `key = value`, however many lines that takes."""
    line, start, depth = 1, 0, 0
    for token in _TOKEN.finditer(text + "\n"):
        mark = token[0]
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
        elif mark == "\n" and depth <= 0:
            statement = text[start : token.start()]
            if (bare := statement.strip()) and not bare.startswith("#"):
                yield line, bare
            line += statement.count("\n") + 1
            start, depth = token.end(), 0


def _path_of(statement: str) -> tuple[str, ...]:
    """The keys that one statement names: ("a", "b") for `a.b = 1`, `[a.b]`, `[[a.b]]` and `a = { b = 1 }`."""
    path: list[str] = []
    try:
        found: Any = tomllib.loads(statement)
    except RecursionError:  # it just went well, but a few calls higher up
        return ()
    while isinstance(found, dict) and len(found) == 1:
        key, found = next(iter(found.items()))
        path.append(key)
    return tuple(path)
