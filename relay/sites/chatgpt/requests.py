"""What ChatGPT is asked, and how a pasted token becomes a login. Sections are those of the fact sheet."""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from relay.browser.chromium import State

API = "/backend-api"
SESSION = "/api/auth/session"
ME = API + "/me"
MODELS = API + "/models?history_and_training_disabled=false"
HIDDEN = {"is_visible": False}
"""What a conversation is set to that is deleted (section 8)."""
TOKEN_COOKIE = "__Secure-next-auth.session-token"
COOKIE_CHARS = 3900
"""Of a longer value each cookie holds a part: a browser takes 4096 characters, name and attributes included."""
_PICTURE = re.compile(r"/conversation/([^/]+)/attachment/([^/]+)/download$")


def conversation_path(conversation: str, below: str = "") -> str:
    """The address of a conversation, or of what is below it (section 4, step 7)."""
    return f"{API}/conversation/{quote(conversation, safe='')}{below}"


def picture_address(pointer: str, conversation: str) -> str:
    """Where to ask for a picture of an answer (`sediment://file_1`; section 10)."""
    file = quote(pointer.partition("://")[2].partition("#")[0], safe="")
    return conversation_path(conversation, f"/attachment/{file}/download") if conversation else _files(file)


def picture_addresses(address: str) -> list[str]:
    """That address and its equals, in the sheet's order: which of them serves a picture goes by its kind."""
    found = _PICTURE.search(address)
    return [_files(found[2]), f"{API}/files/download/{found[2]}", address] if found else [address]


def _files(file: str) -> str:
    return f"{API}/files/{file}/download"


def login_state(token: str, home: str) -> State:
    """A pasted session token as the browser keeps it (section 2)."""
    parts = [token[at : at + COOKIE_CHARS] for at in range(0, len(token), COOKIE_CHARS)]
    names = [TOKEN_COOKIE] if len(parts) == 1 else [f"{TOKEN_COOKIE}.{number}" for number in range(len(parts))]
    shared = {
        "domain": f".{urlsplit(home).hostname}",
        "path": "/",
        "expires": -1,
        "httpOnly": True,
        "secure": True,
        "sameSite": "Lax",
    }
    return {"cookies": [{"name": name, "value": part, **shared} for name, part in zip(names, parts, strict=True)],
            "origins": []}  # fmt: skip
