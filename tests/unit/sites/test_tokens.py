"""The shapes of pasted tokens, and what the browser is given of them."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import Any

import pytest

from relay.browser.chromium import Context, State
from relay.demo import session_cookie
from relay.errors import LoginNeeded
from relay.sites.claude.site import Claude
from relay.sites.deepseek.requests import login_state as login_state_of_deepseek
from relay.sites.deepseek.site import DeepSeek
from relay.sites.demo.site import SESSION, Demo
from relay.sites.kimi.requests import claims, login_state
from relay.sites.kimi.site import Kimi
from relay.sites.registry import SITES

DEEPSEEK = "kF3q/8Zt+" * 7 + "x"
"""About 64 base64-like characters."""
PATTERNS = {site.id: site.token_pattern for site in SITES.values() if site.token_pattern is not None}


class Shelf(Context):
    """What `adopt` puts into a context."""

    def __init__(self) -> None:
        self.put: list[State] = []

    async def set_state(self, state: State) -> None:
        self.put.append(state)


def jwt(**payload: Any) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256"}, payload)]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (*parts, b"a signature"))


def jwe() -> str:
    """An encrypted JWT, as the session cookies of ChatGPT are: five parts, of which the key's is empty."""
    parts = (b'{"alg":"dir","enc":"A256GCM"}', b"", b"initial vector", b"cipher text" * 200, b"a tag")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


SESSION_KEY = f"sk-ant-sid01-{'Ab_-' * 20}AA"
GOOD = {
    "chatgpt": jwe(),
    "claude": SESSION_KEY,
    "deepseek": DEEPSEEK,
    "demo": session_cookie("secret", "ann")[1],
    "kimi": jwt(typ="access", sub="ann"),
}


def fits(site: str, text: str) -> bool:
    return re.fullmatch(PATTERNS[site].pattern, text) is not None


def test_which_sites_take_tokens() -> None:
    assert set(PATTERNS) == {"chatgpt", "claude", "deepseek", "demo", "kimi"}


def test_each_knows_its_own() -> None:
    for site, token in GOOD.items():
        assert [name for name in PATTERNS if fits(name, token)] == [site]
    parts = jwt(typ="refresh", sub="ann").split(".")
    assert fits("kimi", ".".join([*parts, *parts])), "of 2024: an array, joined by dots"


@pytest.mark.parametrize("site", PATTERNS)
def test_what_is_no_token(site: str) -> None:
    good = GOOD[site]
    odd = [
        f"{good}\n",
        f" {good}",
        f"{good},",
        f"{good}\x00",
        f"{good[:9]}。{good[9:]}",
        good.replace(".", "。").replace("/", "／").replace("-", "－"),
        good + "é",
        "rk-0123456789abcdef",
        "sk-ant-api03-0123456789abcdefghij-AA",
    ]
    odd += ["", ".", "..", "sk-proj-abcdefghijklmnopqrstuvwxyz", "none", "ada:lovelace", "1.2.3", "a" * 200]
    assert [text for text in odd if fits(site, text)] == []


@pytest.mark.parametrize("site", PATTERNS)
def test_no_input_takes_long(site: str) -> None:
    """A pattern that goes back over its input would not end here."""
    for piece in ("a", ".", "a.", "aaaaaaaa.", "0" * 64 + ".", "-_", "eyJhbGciOiJ9."):
        for end in ("", "!", ",", "\n", "é"):
            fits(site, piece * (400_000 // len(piece)) + end)


def test_kimi_tells_the_kinds_apart() -> None:
    home = "https://www.kimi.com/"
    access = jwt(typ="access", sub="ann")
    state = login_state(access, home)
    assert state["origins"] == [
        {"origin": "https://www.kimi.com", "localStorage": [{"name": "access_token", "value": access}]}
    ]
    (cookie,) = state["cookies"]
    assert (cookie["name"], cookie["value"], cookie["domain"]) == ("kimi-auth", access, ".kimi.com")
    for other in (jwt(typ="refresh", sub="ann"), jwt(sub="ann"), "opaque", f"{access}.{access}"):
        state = login_state(other, home)
        assert state["cookies"] == []
        assert state["origins"][0]["localStorage"] == [{"name": "refresh_token", "value": other}]


async def test_kimi_knows_the_date() -> None:
    shelf = Shelf()
    for typ in ("access", "refresh"):
        with pytest.raises(LoginNeeded, match="has expired"):
            await Kimi().adopt(shelf, jwt(typ=typ, exp=time.time() - 120))
    assert shelf.put == []
    dates: list[Any] = [time.time() + 5, time.time() - 5, "soon", None, float("nan"), []]
    for exp in dates:
        await Kimi().adopt(shelf, jwt(typ="access", exp=exp))
    await Kimi().adopt(shelf, "opaque")
    assert len(shelf.put) == 7


def test_no_payload_breaks_us() -> None:
    for payload in ("[" * 6000, "{" * 6000, "9" * 6000, "\xff\xfe", "null", '"x"', '{"exp":1e999}'):
        encoded = base64.urlsafe_b64encode(payload.encode("latin-1")).decode().rstrip("=")
        assert isinstance(claims(f"eyJhbGci.{encoded}.signature"), dict)


async def test_claude_sets_the_cookie() -> None:
    shelf = Shelf()
    await Claude().adopt(shelf, SESSION_KEY)
    (cookie,) = shelf.put[0]["cookies"]
    assert (cookie["name"], cookie["value"], cookie["domain"]) == ("sessionKey", SESSION_KEY, ".claude.ai")
    assert cookie["httpOnly"] and cookie["secure"]
    assert shelf.put[0]["origins"] == []


async def test_deepseek_keeps_it_as_its_page_does() -> None:
    shelf = Shelf()
    await DeepSeek().adopt(shelf, DEEPSEEK)
    assert shelf.put == [login_state_of_deepseek(DEEPSEEK, "https://chat.deepseek.com/")]


async def test_demo_sets_the_cookie() -> None:
    shelf, (name, token) = Shelf(), session_cookie("secret", "ann")
    await Demo().adopt(shelf, token)
    (cookie,) = shelf.put[0]["cookies"]
    assert (cookie["name"], cookie["value"], cookie["domain"]) == (name, token, "127.0.0.1")
    assert name == SESSION
    assert cookie["httpOnly"]
