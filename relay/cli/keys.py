"""`relay keys`: API keys, made, listed and revoked in the home's file; a running server notices by itself."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from relay.api.keys import KeyFile, StoredKey
from relay.cli.console import complain
from relay.errors import BadRequest
from relay.settings import Settings
from relay.sites.registry import SITES


def create_key(name: str, sites: str, rpm: int | None, *, as_json: bool) -> None:
    """Make a key and show it, this once. Raises BadRequest for a site that there is not."""
    wanted = [site.strip().lower() for site in sites.split(",") if site.strip()]
    unknown = [site for site in wanted if site not in SITES]
    if unknown:
        raise BadRequest(f"There is no site {unknown[0][:100]!r}. There are: {', '.join(SITES)}.")
    if sites and not wanted:
        raise BadRequest("--sites names no site. Leave it out for a key to all of them.")
    key, stored = KeyFile(Settings().home).create(name=name, sites=wanted, rpm=rpm)
    if as_json:
        print(json.dumps({**_described(stored), "key": key}, ensure_ascii=False, indent=2))
        return
    _table([stored])
    print(f"\nThe key, shown this once:\n\n  {key}\n")


def list_keys(*, as_json: bool) -> None:
    """Print all keys; the keys themselves are not known any more."""
    keys = KeyFile(Settings().home).read() or []
    if as_json:
        print(json.dumps([_described(key) for key in keys], ensure_ascii=False, indent=2))
    elif keys:
        _table(keys)
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


def _table(keys: list[StoredKey]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("id", "name", "created", "sites", "chats a minute"):
        table.add_column(heading, overflow="fold")
    for key in keys:
        table.add_row(
            key.id,
            key.name or "-",
            datetime.fromtimestamp(key.created).strftime("%Y-%m-%d %H:%M"),
            ", ".join(key.sites) or "all",
            str(key.rpm or "no limit"),
        )
    Console(highlight=False, markup=False).print(table)
