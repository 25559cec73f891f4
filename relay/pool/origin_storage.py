"""localStorage and IndexedDB of origins, as Playwright writes them into a storage state.

Checked by hand: a page may store half a surrogate pair, which pydantic takes for no text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from relay.errors import BadRequest

MAX_STORAGE_UNITS = 5 * 1024 * 1024
"""UTF-16 units of an origin's localStorage, names and values: Chromium stores no more."""

_ORIGIN = re.compile(r"(https?://(?:[\w-]{1,63}(?:\.[\w-]{1,63})*|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?)/?")
_RECORD = ("key", "keyEncoded", "value", "valueEncoded")
_PATHS = {"keyPath": str, "keyPathArray": list}


def origin_of(item: object, number: int) -> str:
    """The origin (`https://host:port`) of the `number`th item of a state's `origins`."""
    origin = fields(item, f"origin {number}", {"origin": str})["origin"]
    match = _ORIGIN.fullmatch(origin) if len(origin) <= 300 else None
    if match is None:
        raise BadRequest(f"Its origin {number} is not of the form https://host.")
    return match[1].lower()


def storage_of(item: object, number: int) -> dict[str, Any]:
    """What the origin stores: `localStorage` and `indexedDB`, each only where it holds something."""
    place = f"origin {number}"
    found = fields(item, place, {}, {"localStorage": list, "indexedDB": list})
    pairs = [
        fields(pair, f"{place}, localStorage {nth}", {"name": str, "value": str})
        for nth, pair in enumerate(found.get("localStorage", []), 1)
    ]
    if sum(_units(pair["name"]) + _units(pair["value"]) for pair in pairs) > MAX_STORAGE_UNITS:
        raise BadRequest(f"Its {place} has more in localStorage than a browser takes.")
    databases = [_database(made, f"{place}, database {nth}") for nth, made in enumerate(found.get("indexedDB", []), 1)]
    _distinct(databases, place)
    return {name: value for name, value in (("localStorage", pairs), ("indexedDB", databases)) if value}


def fields(
    item: object, place: str, needed: Mapping[str, type], optional: Mapping[str, type] | None = None
) -> dict[str, Any]:
    """The named fields of an object; others are left out. Raises BadRequest, which tells the place and the field."""
    if not isinstance(item, dict):
        raise BadRequest(f"Its {place} is not an object.")
    for name, kind in needed.items():
        if type(item.get(name)) is not kind:
            raise BadRequest(f"Its {place} has no {name}, or one of the wrong kind.")
    found = {name: item[name] for name in needed}
    for name, kind in (optional or {}).items():
        value = item.get(name)
        if value is None:
            continue
        if type(value) is not kind:
            raise BadRequest(f"Its {place} has a {name} of the wrong kind.")
        found[name] = value
    return found


def _database(item: object, place: str) -> dict[str, Any]:
    found = fields(item, place, {"name": str, "version": int, "stores": list})
    if not 1 <= found["version"] <= 2**53:
        raise BadRequest(f"Its {place} has no version that a browser takes.")
    found["stores"] = [_store(store, f"{place}, store {nth}") for nth, store in enumerate(found["stores"], 1)]
    _distinct(found["stores"], place)
    return found


def _store(item: object, place: str) -> dict[str, Any]:
    found = fields(item, place, {"name": str, "autoIncrement": bool, "records": list, "indexes": list}, _PATHS)
    _check_paths(found, place)
    for nth, index in enumerate(found["indexes"], 1):
        where = f"{place}, index {nth}"
        _check_paths(fields(index, where, {"name": str, "multiEntry": bool, "unique": bool}, _PATHS), where)
    _distinct(found["indexes"], place)
    for nth, record in enumerate(found["records"], 1):
        if not isinstance(record, dict) or not {"value", "valueEncoded"} & record.keys():
            raise BadRequest(f"Its {place}, record {nth} has no value.")
    found["records"] = [{name: record[name] for name in _RECORD if name in record} for record in found["records"]]
    return found


def _check_paths(found: Mapping[str, Any], place: str) -> None:
    if not all(isinstance(part, str) for part in found.get("keyPathArray", [])):
        raise BadRequest(f"Its {place} has a keyPathArray of the wrong kind.")


def _distinct(named: list[dict[str, Any]], place: str) -> None:
    if len({one["name"] for one in named}) != len(named):
        raise BadRequest(f"Its {place} has two of the same name.")


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
