"""`relay sites`: what each site can do, and which accounts are set up."""

from __future__ import annotations

import json
from typing import Any

from relay.pool.profiles import discover
from relay.settings import Settings
from relay.sites.base import Site
from relay.sites.registry import SITES, site_class

_ABILITIES = ("search", "sources", "thinking", "images", "files", "native_turns", "delete")


def show_sites(site: str | None, *, as_json: bool) -> None:
    """Print a table, or JSON. Raises UnknownModel for a site that there is not."""
    kinds = [site_class(site)] if site is not None else list(SITES.values())
    accounts: dict[str, list[str]] = {}
    for profile in discover(Settings().profiles, set(SITES)):
        accounts.setdefault(profile.site, []).append(profile.account)
    found = [describe(kind, accounts.get(kind.id, [])) for kind in kinds]
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        _table(found)


def describe(kind: type[Site], accounts: list[str]) -> dict[str, Any]:
    """One site's facts as plain data."""
    return {
        "id": kind.id,
        "name": kind.name,
        "address": "any (account.toml: base_url)" if kind.needs_base_url else kind.address,
        "drivers": list(kind.drivers),
        "capabilities": [name for name in _ABILITIES if getattr(kind.capabilities, name)],
        "models": [spec.key or kind.id for spec in kind.models],
        "accounts": accounts,
        "evidence": kind.evidence,
        "seen_live": kind.seen_live,
    }


def _table(found: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("site", "name", "drivers", "can", "accounts", "evidence", "seen live"):
        table.add_column(heading, overflow="fold")
    for site in found:
        table.add_row(
            site["id"],
            site["name"],
            ", ".join(site["drivers"]),
            ", ".join(site["capabilities"]).replace("_", " "),
            ", ".join(site["accounts"]) or "-",
            site["evidence"] or "-",
            "yes" if site["seen_live"] else "no",
        )
    Console(highlight=False, markup=False).print(table)
