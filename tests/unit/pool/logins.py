"""Logins as files hold them, and reading them: what the tests of state files share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from relay.errors import BadRequest
from relay.pool.state_files import read_state
from relay.sites.kimi.site import Kimi

NOW_S = 1_790_000_000.0
LATER = NOW_S + 86_400
SECRET = "s3cr3t-v4lue"

COOKIE = {
    "name": "kimi-auth",
    "value": SECRET,
    "domain": ".kimi.com",
    "path": "/",
    "expires": LATER,
    "httpOnly": True,
    "secure": True,
    "sameSite": "Lax",
}
FOREIGN = COOKIE | {"domain": ".bank.example", "name": "sid"}
ORIGIN = {
    "origin": "https://www.kimi.com",
    "localStorage": [{"name": "access_token", "value": SECRET}, {"name": "half", "value": "\ud800 秘密"}],
    "indexedDB": [
        {
            "name": "store",
            "version": 3,
            "stores": [
                {
                    "name": "keys",
                    "autoIncrement": False,
                    "keyPath": "id",
                    "records": [{"value": {"id": 1, "secret": SECRET}}, {"valueEncoded": {"o": [], "id": 1}}],
                    "indexes": [{"name": "by", "keyPathArray": ["a", "b"], "multiEntry": False, "unique": True}],
                }
            ],
        }
    ],
}
STATE: dict[str, Any] = {"cookies": [COOKIE], "origins": [ORIGIN]}
EXTENSION = [
    {
        "domain": ".kimi.com",
        "expirationDate": LATER + 0.25,
        "hostOnly": False,
        "httpOnly": True,
        "name": "kimi-auth",
        "path": "/",
        "sameSite": "no_restriction",
        "secure": True,
        "session": False,
        "storeId": "0",
        "value": SECRET,
        "id": 1,
    },
    {
        "domain": "www.kimi.com",
        "hostOnly": True,
        "httpOnly": False,
        "name": "theme",
        "path": "/",
        "sameSite": "unspecified",
        "secure": False,
        "session": True,
        "storeId": None,
        "value": "dark",
    },
]
NETSCAPE = (
    "# Netscape HTTP Cookie File\n"
    "# https://curl.se/docs/http-cookies.html\n\n"
    f"#HttpOnly_.kimi.com\tTRUE\t/\tTRUE\t{LATER:.0f}\tkimi-auth\t{SECRET}\n"
    "www.kimi.com\tFALSE\t/chat\tFALSE\t0\ttheme\tdark\n"
    "www.kimi.com\tFALSE\t/\tFALSE\t0\tempty\n"
)


def read(content: object, site: Any = Kimi, base_url: str = "") -> Mapping[str, Any]:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return read_state(raw, site, base_url, now_s=NOW_S)


def refusal(content: object, site: Any = Kimi, base_url: str = "") -> str:
    with pytest.raises(BadRequest) as caught:
        read(content, site, base_url)
    assert SECRET not in caught.value.message
    assert len(caught.value.message) < 600
    return caught.value.message


def cookie(**changes: object) -> dict[str, object]:
    return {**COOKIE, **changes}
