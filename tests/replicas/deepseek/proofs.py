"""The proof of work (fact sheet section 4): one for each send, made for one path, good for a few minutes."""

from __future__ import annotations

import base64
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from tests.replicas.deepseek import keccak
from tests.replicas.deepseek.requests import Strict

KEY = b"deepseek replica: proofs"
CHAT = "/api/v0/chat/completion"
UPLOAD = "/api/v0/file/upload_file"
DIFFICULTY = 500
"""The site's own is 144000. What a test solves need not be harder than this, unless it says so."""
EXPIRE_AFTER_MS = 300_000


class Proof(Strict):
    """What ``X-DS-PoW-Response`` carries as base64 of JSON."""

    algorithm: Literal["DeepSeekHashV1"]
    challenge: str
    salt: str
    answer: int
    signature: str
    target_path: str


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge and its only answer; ``expire_at`` is in ms since the epoch."""

    user: str
    challenge: str
    salt: str
    difficulty: int
    expire_at: int
    expire_after: int
    target_path: str
    answer: int

    @property
    def signature(self) -> str:
        """Binds all of it to the user."""
        text = f"{self.user}.{self.challenge}.{self.salt}.{self.difficulty}.{self.expire_at}.{self.target_path}"
        return hmac.digest(KEY, text.encode(), "sha256").hex()

    def wire(self) -> dict[str, Any]:
        """In the site's words, without the answer."""
        return {
            "algorithm": "DeepSeekHashV1",
            "challenge": self.challenge,
            "salt": self.salt,
            "signature": self.signature,
            "difficulty": self.difficulty,
            "expire_at": self.expire_at,
            "expire_after": self.expire_after,
            "target_path": self.target_path,
        }


class Proofs:
    """Sets challenges and checks their answers."""

    def __init__(self) -> None:
        self._open: dict[str, Challenge] = {}
        """By signature, what nobody has answered yet."""
        self._spent: dict[str, tuple[str, str]] = {}
        """By session, the header of its newest send, which a continue call may bring once more, and its user."""

    def challenge(self, user: str, target_path: str, difficulty: int, expire_after: int) -> Challenge:
        """A new challenge. The answer is picked and hashed once: nobody searches here."""
        answer, salt = secrets.randbelow(difficulty), secrets.token_hex(10)
        expire_at = int(time.time() * 1000) + expire_after
        hashed = keccak.digest(f"{salt}_{expire_at}_{answer}".encode()).hex()
        made = Challenge(user, hashed, salt, difficulty, expire_at, expire_after, target_path, answer)
        self._open[made.signature] = made
        return made

    def objection(self, header: str, user: str, target_path: str) -> str | None:
        """Why this header does not let a request pass, or None. A challenge that it names is spent either way."""
        if not header:
            return "x-ds-pow-response is missing"
        try:
            proof = Proof.model_validate(json.loads(base64.b64decode(header, validate=True)))
        except (ValidationError, ValueError) as invalid:
            return f"x-ds-pow-response is malformed: {invalid}"
        challenge = self._open.pop(proof.signature, None)
        if challenge is None or challenge.user != user:
            return "no such challenge, or it was answered before"
        if (proof.challenge, proof.salt) != (challenge.challenge, challenge.salt):
            return "challenge or salt is not the signed one"
        if not proof.target_path == challenge.target_path == target_path:
            return f"made for {challenge.target_path}, says {proof.target_path}, used on {target_path}"
        if challenge.expire_at < time.time() * 1000:
            return "the challenge has expired"
        if proof.answer != challenge.answer:
            return f"wrong answer {proof.answer}"
        return None

    def spend(self, header: str, user: str, session: str) -> None:
        """Remember the header of a send that passed."""
        self._spent[session] = header, user

    def reused(self, header: str, user: str, session: str) -> bool:
        """Whether this is the header of the session's newest send; it goes along with one continue call only."""
        if not header or self._spent.get(session) != (header, user):
            return False
        del self._spent[session]
        return True
