"""What the page's own code must do before it may chat (fact sheet section 4, steps 2 to 4). Each token has one purpose.

Any well-formed proof passes, as how the site checks it is not known. Under ``Scenario.shield`` the Turnstile answer
must be the one that only ``page/src/sdk.js`` makes.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import secrets
import time
from dataclasses import dataclass

from tests.replicas.chatgpt.requests import FinalizeRequest

KEY = bytes(byte ^ 0x5A for byte in b"3<?2i(?*639;r)>1")
LIFE_S = 540
"""Of a requirements token: about nine minutes of text."""


@dataclass
class Requirements:
    """What came out of a finalize call: the token's user, and the proofs that the chat call must show again."""

    user: str
    proof: str
    turnstile: str
    so_token: str
    signed: bool
    made: float
    used: bool = False


class Sentinel:
    """Hands the tokens out and takes them."""

    def __init__(self) -> None:
        self._prepared: dict[str, tuple[str, str]] = {}
        self._requirements: dict[str, Requirements] = {}

    def prepare(self, user: str, p: str) -> dict[str, object] | str:
        """The answer to ``prepare``, or why ``p`` describes no browser."""
        if why := array_fault("gAAAAAC", p):
            return f"p: {why}"
        token, dx = f"prep-{secrets.token_urlsafe(48)}", base64.b64encode(secrets.token_bytes(48)).decode()
        self._prepared[token] = user, dx
        return {
            "prepare_token": token,
            "persona": "chatgpt-paid",
            "proofofwork": {"required": True, "seed": f"0.{secrets.randbelow(10**16):016}", "difficulty": "0fffff"},
            "turnstile": {"required": True, "dx": dx},
            "so": {"required": True},
        }

    def finalize(self, user: str, request: FinalizeRequest) -> dict[str, str] | str:
        """The answer to ``finalize``, or why it is refused. A prepare token works once."""
        owner, dx = self._prepared.pop(request.prepare_token, ("", ""))
        if owner != user:
            return "prepare_token unknown, used, or of another user"
        if why := array_fault("gAAAAAB", request.proofofwork):
            return f"proofofwork: {why}"
        if not re.fullmatch(r"[A-Za-z0-9+/]{16,}={0,2}", request.turnstile):
            return "turnstile: no answer"
        token, so_token = f"req-{secrets.token_urlsafe(48)}", f"so-{secrets.token_urlsafe(16)}"
        signed = hmac.compare_digest(request.turnstile, turnstile(dx))
        self._requirements[token] = Requirements(
            user, request.proofofwork, request.turnstile, so_token, signed, time.monotonic()
        )
        return {"token": token, "so_token": so_token}

    def objection(self, user: str, shown: dict[str, str], *, picture: bool, shield: bool) -> str | None:
        """Why these ``OpenAI-Sentinel-*`` headers let nobody chat, or None. Pictures want a fresh token."""
        found = self._requirements.get(shown["chat-requirements-token"])
        if found is None or found.user != user:
            return "requirements token unknown or of another user"
        if time.monotonic() - found.made > LIFE_S:
            return "requirements token is too old"
        if (shown["proof-token"], shown["turnstile-token"]) != (found.proof, found.turnstile):
            return "proof or Turnstile token is not the one of the requirements token"
        if shown["so-token"] != found.so_token:
            return "SO token is not the one of the requirements token"
        if picture and found.used:
            return "requirements token was used before: pictures want a fresh one"
        if shield and not found.signed:
            return "Turnstile was not answered by the page's own script"
        found.used = True
        return None


def array_fault(prefix: str, proof: str) -> str | None:
    """Why ``proof`` is not ``prefix`` and the base64 of a JSON array (and ``~S``, perhaps), or None."""
    if not proof.startswith(prefix):
        return f"does not begin with {prefix}"
    try:
        value = json.loads(base64.b64decode(proof.removeprefix(prefix).removesuffix("~S"), validate=True))
    except ValueError:
        return "no base64 of JSON"
    return None if isinstance(value, list) and len(value) >= 10 else "no array that describes a browser"


def turnstile(dx: str) -> str:
    """The answer of the page's own script to ``dx``."""
    return base64.b64encode(hmac.digest(KEY, dx.encode(), "sha256")).decode()
