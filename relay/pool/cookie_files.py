"""Cookies as programs write them to files, made into Playwright's. Which of them belong to a site is not decided here.

Sources: Netscape's format as curl, wget and yt-dlp write it (`#HttpOnly_` is curl's); the `chrome.cookies` API, which
EditThisCookie and Cookie-Editor export as it is; Playwright's `storage_state`. What Chromium refuses was tried out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from relay.errors import BadRequest

MAX_COOKIES = 20_000
"""In one file. Chromium keeps some 3,300 in a whole profile."""
MAX_PAIR_BYTES = 4096
MAX_PATH_CHARS = 1024
LATEST = 253_402_300_799.0
"""The end of the year 9999: the last moment that Playwright takes."""
SESSION = -1.0

_HTTP_ONLY = "#HttpOnly_"
_DOMAIN = re.compile(r"\.?(?:[\w-]{1,63}(?:\.[\w-]{1,63})*|\[[0-9A-Fa-f:.]{2,45}\])")
_EXPIRES = re.compile(r"-?\d{1,20}(?:\.\d{1,20})?")
_TOP_LEVEL_SITE = re.compile(r"https?://[\w.-]+(?::\d+)?")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f;\ud800-\udfff]")
_SAME_SITE = {
    "strict": "Strict",
    "lax": "Lax",
    "none": "None",
    "no_restriction": "None",
    "unspecified": "Lax",
    "": "Lax",
}
"""What is not said counts as Lax with every browser."""


@dataclass(frozen=True, slots=True)
class Raw:
    """One cookie of a file, so far only known to have a domain."""

    domain: str
    """Lower case; a dot before it where subdomains have it too."""
    fields: Mapping[str, Any]
    place: str
    """For errors: `line 3` or `cookie 2`."""


class Cookie(BaseModel):
    """Playwright's and the extensions' spellings of a cookie."""

    model_config = ConfigDict(extra="ignore", strict=True)

    name: str
    value: str
    path: str = Field("/", pattern=r"^/", max_length=MAX_PATH_CHARS)
    expires: float | None = Field(None, validation_alias=AliasChoices("expires", "expirationDate"))
    http_only: bool = Field(False, alias="httpOnly")
    secure: bool = False
    same_site: str | None = Field(None, alias="sameSite")
    session: bool = False
    partition: str | Mapping[str, Any] | None = Field(None, alias="partitionKey")
    cross_site: bool = Field(False, alias="_crHasCrossSiteAncestor")

    @model_validator(mode="after")
    def _storable(self) -> Cookie:
        """What Chromium would refuse, it refuses with all the other cookies: better here, with a reason."""
        pair = self.name + self.value
        if not pair or "=" in self.name or _FORBIDDEN.search(pair) or _FORBIDDEN.search(self.path):
            raise ValueError("name, value or path holds what no cookie may hold")
        if self.name != self.name.strip(" ") or self.value != self.value.strip(" "):
            raise ValueError("name or value begins or ends with a space")
        if len(pair.encode()) > MAX_PAIR_BYTES:
            raise ValueError(f"name and value have more than {MAX_PAIR_BYTES} bytes")
        return self


def json_cookies(items: object) -> Iterator[Raw]:
    """The cookies of a JSON list."""
    if not isinstance(items, list):
        raise BadRequest("Its cookies are not a list.")
    _bound(len(items))
    for number, fields in enumerate(items, 1):
        place = f"cookie {number}"
        if not isinstance(fields, dict):
            raise BadRequest(f"Its {place} is not an object.")
        domain = fields.get("domain")
        if not isinstance(domain, str):
            raise BadRequest(f"Its {place} has no domain.")
        yield Raw(_domain(domain, fields.get("hostOnly"), place), fields, place)


def netscape_cookies(text: str) -> Iterator[Raw]:
    """The cookies of a Netscape cookie file: seven fields a line, with tabs between them."""
    count = 0
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), 1):
        http_only = line.startswith(_HTTP_ONLY)
        if not line.strip() or (line.startswith("#") and not http_only):
            continue
        _bound(count := count + 1)
        place = f"line {number}"
        parts = line.removeprefix(_HTTP_ONLY).split("\t", 6)
        if len(parts) == 6:
            parts.append("")  # an empty value, its tab cut off by an editor
        if (
            len(parts) < 7
            or {parts[1].upper(), parts[3].upper()} - {"TRUE", "FALSE"}
            or not _EXPIRES.fullmatch(parts[4])
        ):
            raise BadRequest(f"Its {place} is not a line of a Netscape cookie file: seven fields with tabs between.")
        domain, below, path, secure, expires, name, value = parts
        fields = {
            "name": name,
            "value": value,
            "path": path,
            "expires": float(expires) or SESSION,  # 0 = until the browser is closed
            "httpOnly": http_only,
            "secure": secure.upper() == "TRUE",
        }
        yield Raw(_domain(domain, below.upper() == "FALSE", place), fields, place)


def playwright_cookie(raw: Raw, now_s: float) -> dict[str, Any] | None:
    """The cookie as `new_context(storage_state=…)` takes it; None for one that has expired at `now_s` (Unix seconds).

    Raises BadRequest for what no browser would have stored.
    """
    try:
        cookie = Cookie.model_validate(raw.fields)
    except ValidationError as error:
        # Never the input: that is a secret.
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        field = f"{first['loc'][0]}: " if first["loc"] else ""
        said = first["msg"].removeprefix("Value error, ")
        raise BadRequest(f"Its {raw.place} cannot be used: {field}{said}.") from None
    expires = SESSION if cookie.session or cookie.expires is None else cookie.expires
    if expires != SESSION and expires <= now_s:
        return None
    same_site = _SAME_SITE.get((cookie.same_site or "").lower())
    if same_site is None:
        raise BadRequest(f"Its {raw.place} cannot be used: sameSite is not one of {', '.join(_SAME_SITE)}.")
    if same_site == "None" and not cookie.secure:
        same_site = "Lax"  # some exports write no_restriction for "not said"; a browser would drop it
    _obey_prefix(cookie, raw)
    made: dict[str, Any] = {
        "name": cookie.name,
        "value": cookie.value,
        "domain": raw.domain,
        "path": cookie.path,
        "expires": min(expires, LATEST),
        "httpOnly": cookie.http_only,
        "secure": cookie.secure,
        "sameSite": same_site,
    }
    return made | _partition(cookie, raw)


def _obey_prefix(cookie: Cookie, raw: Raw) -> None:
    """Names that promise how a cookie was set (RFC 6265bis, 4.1.3)."""
    name = cookie.name.lower()
    kept = cookie.secure or not name.startswith(("__secure-", "__host-", "__http-"))
    if name.startswith("__host-"):
        kept = kept and not raw.domain.startswith(".") and cookie.path == "/"
    if name.startswith(("__http-", "__host-http-")):
        kept = kept and cookie.http_only
    if not kept:
        raise BadRequest(f"Its {raw.place} cannot be used: it is not set as the prefix of its name promises.")


def _partition(cookie: Cookie, raw: Raw) -> dict[str, Any]:
    """A partitioned cookie's top-level site: Playwright's text, or the object of `chrome.cookies`."""
    site, crossed = cookie.partition, cookie.cross_site
    if isinstance(site, Mapping):
        site, crossed = site.get("topLevelSite", ""), site.get("hasCrossSiteAncestor", False)
    if not site:
        return {}
    if not (isinstance(site, str) and _TOP_LEVEL_SITE.fullmatch(site) and isinstance(crossed, bool) and cookie.secure):
        raise BadRequest(f"Its {raw.place} cannot be used: partitionKey is not as browsers write it.")
    return {"partitionKey": site, "_crHasCrossSiteAncestor": crossed}


def _domain(domain: str, host_only: object, place: str) -> str:
    """With `host_only` known, the dot says so; the exports of some extensions leave it away or have it always."""
    if len(domain) > 253 or not _DOMAIN.fullmatch(domain):
        raise BadRequest(f"Its {place} has no domain that could be one.")
    domain = domain.lower()
    if host_only is True:
        return domain.removeprefix(".")
    if host_only is False and not domain.startswith((".", "[")):
        return f".{domain}"
    return domain


def _bound(count: int) -> None:
    if count > MAX_COOKIES:
        raise BadRequest(f"It holds more than {MAX_COOKIES} cookies.")
