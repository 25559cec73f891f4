"""A login as a file, in and out: what other programs saved is made into a Playwright storage state of one site."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loguru import logger

from relay.errors import BadRequest
from relay.pool.account_file import MAX_BYTES as MAX_ACCOUNT_FILE_BYTES
from relay.pool.bounded_json import parse_json
from relay.pool.cookie_files import Raw, json_cookies, netscape_cookies, playwright_cookie
from relay.pool.origin_storage import fields, origin_of, storage_of
from relay.pool.profiles import MAX_STATE_BYTES, Profile
from relay.pool.site_hosts import SiteHosts
from relay.private import read_private, write_private
from relay.sites.base import Site
from relay.sites.registry import SITES

VERSION = 1
"""Of what `export` writes."""
MAX_ORIGINS = 200
"""Of a site: each costs a page when the state is restored."""
SHOWN_DOMAINS = 8

FORMS = (
    "Accepted: a Playwright storage state (also auth-N.json of AIStudioToAPI), a Netscape cookies.txt, the JSON export "
    "of a cookie extension, and what `relay accounts export` writes."
)
_OTHER_FILES = {
    b"\x1f\x8b": "It is compressed (gzip): unpack it first.",
    b"PK\x03\x04": "It is a zip archive: unpack it first.",
    b"\xff\xfe": "It is UTF-16 text: save it as UTF-8.",
    b"\xfe\xff": "It is UTF-16 text: save it as UTF-8.",
    b"SQLite format 3": "It is a browser's own database, with encrypted values: export the cookies from the browser.",
    b"relay-sealed": "It is relay's encrypted state: `relay accounts export` writes what another machine can read.",
}
_HOST = re.compile(r"(?:[a-z0-9_-]+\.)+[a-z0-9-]+(?::\d+)?|localhost(?::\d+)?|\[[0-9a-f:]+\](?::\d+)?", re.IGNORECASE)
_TOKENS = (
    "It is an account of Chat2API: a token, no browser state. Give that token to "
    "`relay accounts add SITE --token-stdin`."
)


@dataclass(slots=True)
class Found:
    """What a file holds, sorted."""

    cookies: list[dict[str, Any]] = field(default_factory=list)
    origins: list[dict[str, Any]] = field(default_factory=list)
    foreign: Counter[str] = field(default_factory=Counter)
    """Hosts of other sites, with how many things of theirs were left out."""
    expired: int = 0

    def __repr__(self) -> str:
        kept = f"cookies={len(self.cookies)} origins={len(self.origins)}"
        return f"<Found {kept} foreign={self.foreign.total()} expired={self.expired}>"


def read_state(raw: bytes, site: type[Site], base_url: str = "", *, now_s: float | None = None) -> Mapping[str, Any]:
    """The Playwright storage state of `site` in a file's content, whose form is told from the content.

    What belongs to other sites, and what has expired at `now_s` (Unix seconds; now), is left out; how much that is,
    is logged. Raises BadRequest, which says what is wrong and never holds a value of the file.
    """
    hosts = SiteHosts.of(site, base_url)
    found = _sort(*_open(raw, site), hosts, time.time() if now_s is None else now_s)
    if not found.cookies and not found.origins:
        raise BadRequest(_nothing(found, site, base_url))
    if found.foreign or found.expired:
        logger.info("left out of the state: {} of other sites, {} expired", found.foreign.total(), found.expired)
    return {"cookies": found.cookies, "origins": found.origins}


def export(profile: Profile) -> bytes:
    """One JSON file that moves a login to another machine: `{version, site, account, account_toml, state}`.

    It is not encrypted. Raises BadRequest where there is no login, or the files cannot be read.
    """
    name = f"{profile.site}/{profile.account}"
    state = profile.load()
    if state is None:
        raise BadRequest(f"{name} has no saved login: there is nothing to export.")
    profile.settings()  # raises for what could not be used there either
    file = read_private(profile.folder / "account.toml", MAX_ACCOUNT_FILE_BYTES) or b""
    made = {
        "version": VERSION,
        "site": profile.site,
        "account": profile.account,
        "account_toml": file.decode("utf-8-sig"),
        "state": state,
    }
    try:
        return json.dumps(made, allow_nan=False).encode("ascii") + b"\n"
    except ValueError:
        raise BadRequest(f"The state of {name} is damaged (NaN is no number). Log in again.") from None


def exported_account(raw: bytes) -> bytes | None:
    """The account.toml in what `export` wrote; None for any other file."""
    if not raw.lstrip().startswith(b"{") or len(raw) > MAX_STATE_BYTES:
        return None
    found = parse_json(raw)
    said = found.get("account_toml") if isinstance(found, dict) else None
    return said.encode("utf-8", "surrogatepass") if isinstance(said, str) and said.strip() else None


def write_export(profile: Profile, file: Path) -> None:
    """`export` into a file that only its owner may read (0600), whole or not at all. Raises BadRequest, OSError."""
    write_private(file, export(profile))


def _open(raw: bytes, site: type[Site]) -> tuple[Iterator[Raw], list[Any]]:
    """Cookies and origins of a file's content, as they come."""
    if len(raw) > MAX_STATE_BYTES:
        raise BadRequest(f"It has {len(raw)} bytes; at most {MAX_STATE_BYTES} are read.")
    for magic, advice in _OTHER_FILES.items():
        if raw.startswith(magic):
            raise BadRequest(advice)
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    start = raw.lstrip()[:1]
    if not start:
        raise BadRequest(f"It is empty. {FORMS}")
    if start not in b"[{":
        return netscape_cookies(_text(raw)), []
    found = parse_json(raw)
    if isinstance(found, list):
        return json_cookies(found), []
    if {"site", "state"} <= found.keys():
        found = _exported(found, site)
    if not {"cookies", "origins"} & found.keys():
        raise BadRequest(_TOKENS if _holds_tokens(found) else f"It holds no cookies and no origins. {FORMS}")
    origins = found.get("origins", [])
    if not isinstance(origins, list):
        raise BadRequest("Its origins are not a list.")
    return json_cookies(found.get("cookies", [])), origins


def _exported(found: object, site: type[Site]) -> dict[str, Any]:
    """The state in what `export` wrote."""
    made = fields(found, "outermost part", {"version": int, "site": str, "account": str, "state": dict})
    if made["version"] != VERSION:
        raise BadRequest("It was exported by another version of relay. Update relay.")
    if made["site"] != site.id:
        whose = made["site"] if made["site"] in SITES else "another site"
        raise BadRequest(f"It is an account of {whose}, not of {site.id}.")
    state: dict[str, Any] = made["state"]
    return state


def _text(raw: bytes) -> str:
    if b"\t" not in raw:
        raise BadRequest(f"It is of no known form. {FORMS}")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BadRequest(f"It is not UTF-8 text (line {line}). {FORMS}") from None


def _holds_tokens(found: Mapping[str, Any]) -> bool:
    """Whether it is an account of Chat2API, or a list of them, by the names that its source declares."""
    accounts = found.get("accounts")
    first = accounts[0] if isinstance(accounts, list) and accounts else found
    return isinstance(first, dict) and {"providerId", "credentials"} <= first.keys()


def _sort(cookies: Iterable[Raw], origins: Iterable[Any], hosts: SiteHosts, now_s: float) -> Found:
    """Keep what belongs to the site and lives."""
    found = Found()
    kept: dict[tuple[object, ...], dict[str, Any]] = {}
    for raw in cookies:
        if not hosts.own(raw.domain):
            found.foreign[_named(raw.domain.removeprefix("."))] += 1
        elif (cookie := playwright_cookie(raw, now_s)) is None:
            found.expired += 1
        else:  # of two alike the later one counts, as in a browser
            kept[cookie["name"], cookie["domain"], cookie["path"], cookie.get("partitionKey")] = cookie
    found.cookies = [*kept.values()]
    stored: dict[str, dict[str, Any]] = {}
    for number, item in enumerate(origins, 1):
        origin = origin_of(item, number)
        if not hosts.own_origin(origin):
            found.foreign[_named(origin.partition("://")[2])] += 1
        elif origin in stored:
            raise BadRequest(f"Its origin {number} stands there twice.")
        else:
            stored[origin] = storage_of(item, number)
    # Playwright wants the list to be there.
    found.origins = [{"origin": origin, "localStorage": [], **storage} for origin, storage in stored.items() if storage]
    if len(found.origins) > MAX_ORIGINS:
        raise BadRequest(f"It holds storage of more than {MAX_ORIGINS} origins of {hosts}.")
    return found


def _named(host: str) -> str:
    """A host as a message may name it: what does not look like one may be anything, a secret too."""
    return host if _HOST.fullmatch(host) else "what is no host name"


def _nothing(found: Found, site: type[Site], base_url: str) -> str:
    """Why no state is left."""
    if found.expired:
        more = f" ({found.foreign.total()} more are of other sites)" if found.foreign else ""
        return f"All its {found.expired} cookies of {site.name} have expired{more}. Log in again, and export anew."
    if not found.foreign:
        return f"It holds no cookie and no storage. {FORMS}"
    shown = sorted(found.foreign, key=lambda host: (-found.foreign[host], host))
    names = ", ".join(shown[:SHOWN_DOMAINS]) + (", …" if len(shown) > SHOWN_DOMAINS else "")
    where = "" if base_url or not site.needs_base_url else " Give the account's address as --base-url."
    return f"It holds nothing of {site.name} ({SiteHosts.of(site, base_url)}), only of: {names}.{where}"
