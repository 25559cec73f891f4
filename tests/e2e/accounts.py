"""Logged-in accounts, written as a login would have left them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from relay.demo import session_cookie
from tests.replicas.kimi import storage_state


def write(home: Path, site: str, account: str, state: dict[str, Any] | None, *, base_url: str = "") -> Path:
    """`account.toml` and `state.json` of an account; its folder. What was there is replaced at once."""
    folder = home / "browser_profiles" / site / account
    folder.mkdir(parents=True, exist_ok=True)
    if base_url:
        (folder / "account.toml").write_text(f'base_url = "{base_url}"\n', "utf-8")
    if state is not None:
        fresh = folder / "state.new"
        fresh.touch(0o600)
        fresh.write_text(json.dumps(state), "utf-8")
        fresh.replace(folder / "state.json")
    return folder


def demo(home: Path, address: str, secret: str, account: str = "demo", *, user: str = "demo") -> Path:
    """An account at a demo site that has this secret and this user."""
    name, value = session_cookie(secret, user)
    cookie = {
        "name": name,
        "value": value,
        "domain": urlsplit(address).hostname,
        "path": "/",
        "expires": int(time.time()) + 86_400,
        "httpOnly": True,
        "secure": False,
        "sameSite": "Lax",
    }
    return write(home, "demo", account, {"cookies": [cookie], "origins": []}, base_url=f"{address}/")


def kimi(home: Path, account: str, *, access_ttl_s: float = 900) -> Path:
    """An account at the Kimi replica; its user has the account's name."""
    return write(home, "kimi", account, storage_state(account, access_ttl_s=access_ttl_s))


def gradio(home: Path, account: str, address: str) -> Path:
    """A Gradio app; it needs no login."""
    return write(home, "gradio", account, None, base_url=address)
