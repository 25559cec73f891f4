"""`relay keys`: API keys, made, listed and revoked in the home's file; a running server notices by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from relay.api.key_usage import Counts, read_counts
from relay.api.keys import KeyFile, StoredKey
from relay.cli.console import complain
from relay.errors import BadRequest
from relay.settings import Settings
from relay.sites.registry import SITES

STATIC = "RELAY_API_KEYS"
"""What stands for the name of a key of that setting, in lists."""


def create_key(name: str, sites: str, rpm: int | None, concurrency: int | None, *, as_json: bool) -> None:
    """Make a key and show it, this once. Raises BadRequest for a site that there is not."""
    wanted = [site.strip().lower() for site in sites.split(",") if site.strip()]
    unknown = [site for site in wanted if site not in SITES]
    if unknown:
        raise BadRequest(f"There is no site {unknown[0][:100]!r}. There are: {', '.join(SITES)}.")
    if sites and not wanted:
        raise BadRequest("--sites names no site. Leave it out for a key to all of them.")
    key, stored = KeyFile(Settings().home).create(name=name, sites=wanted, rpm=rpm, concurrency=concurrency)
    if as_json:
        print(json.dumps({**_described(stored), "key": key}, ensure_ascii=False, indent=2))
        return
    _table([stored])
    print(f"\nThe key, shown this once:\n\n  {key}\n")


def list_keys(*, as_json: bool) -> None:
    """Print all keys and what they were used for; the keys themselves are not known any more."""
    home = Settings().home
    keys = KeyFile(home).read() or []
    try:
        counts = read_counts(home)
    except BadRequest as error:
        complain(error.message)
        counts = {}
    static = {id: found for id, found in counts.items() if found.static}
    if as_json:
        rows = [{**_described(key), "static": False, "usage": _usage(counts.get(key.id))} for key in keys]
        rows += [{"id": id, "name": STATIC, "static": True, "usage": _usage(found)} for id, found in static.items()]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    elif keys or static:
        _table(keys, counts)
    else:
        print("No key is stored. `relay keys create` makes one.")


def revoke_key(id: str, *, as_json: bool) -> int:
    """Take a key out; the exit status."""
    file = KeyFile(Settings().home)
    gone = file.revoke(id)
    if gone is None:
        complain(f"there is no key {id[:100]!r}: `relay keys list` shows the ids")
        return 1
    left = len(file.read() or ())
    if as_json:
        print(json.dumps({**_described(gone), "left": left}, ensure_ascii=False, indent=2))
        return 0
    print(f"Revoked {gone.id}{f' ({gone.name})' if gone.name else ''}.")
    if not left:
        print(f"No stored key is left: callers need another one. Without {file.file} none would be wanted on loopback.")
    return 0


def _described(key: StoredKey) -> dict[str, Any]:
    return key.model_dump(exclude={"sha256"})


def _usage(counts: Counts | None) -> dict[str, int]:
    return (counts or Counts()).model_dump(exclude={"static"})


def _table(keys: Sequence[StoredKey], counts: Mapping[str, Counts] | None = None) -> None:
    """With `counts` also what they were used for, and the static keys among them."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("id", no_wrap=True)
    for heading in ("name", "created", "sites", "limits", *(("used",) if counts is not None else ())):
        table.add_column(heading, overflow="fold")
    for key in keys:
        row = [key.id, key.name or "-", _time(key.created), ", ".join(key.sites) or "all", _limits(key)]
        table.add_row(*row, *([_used(counts.get(key.id))] if counts is not None else []))
    for id, found in (counts or {}).items():
        if found.static:
            table.add_row(id, STATIC, "-", "all", "no limit", _used(found))
    Console(highlight=False, markup=False).print(table)


def _limits(key: StoredKey) -> str:
    said = [f"{key.rpm} a minute"] if key.rpm else []
    said += [f"{key.concurrency} at once"] if key.concurrency else []
    return ", ".join(said) or "no limit"


def _used(counts: Counts | None) -> str:
    if counts is None:
        return "never"
    tokens = f"{counts.prompt_tokens} + {counts.completion_tokens} tokens"
    return f"{counts.chats} chats, {counts.errors} errors, {tokens}, last {_time(counts.last_used)}"


def _time(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s).strftime("%Y-%m-%d %H:%M")
