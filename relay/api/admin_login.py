"""The admin page's password and its sessions.

The password is set (RELAY_ADMIN_PASSWORD), or made at the first start and kept as an argon2id hash in
`$RELAY_HOME/admin.json`. Sessions are in memory: a restart ends them.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from loguru import logger
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from relay.errors import BadRequest, RateLimited, WrongPassword
from relay.private import read_private, write_private
from relay.settings import Settings

FILE = "admin.json"
COOKIE = "relay-admin"
IDLE_S = 3600.0
ABSOLUTE_S = 86_400.0
MAX_SESSIONS = 100
_TOKEN_BYTES = 32
_MAX_BYTES = 4096
_AT_ONCE = 2
"""Hashes computed at the same time; each takes 64 MiB."""
_NOBODYS = "$argon2id$v=19$m=65536,t=3,p=4$ExiLIEpNDSun0N5w79ULgw$KfUFT/b8KyzOnLn2lQYE+kGNA7ParVQJZ2gqMRACpH0"
"""Compared with where there is no password, so that it takes as long; what it matches opens nothing."""

Clock = Callable[[], float]


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    password_hash: Annotated[str, Field(pattern=r"^\$argon2id\$[!-~]{20,500}$")]


class PasswordFile:
    """`admin.json`: the hash of the password that was made."""

    def __init__(self, home: Path) -> None:
        self.file = home / FILE

    def __repr__(self) -> str:
        return f"<PasswordFile {self.file}>"

    def read(self) -> str | None:
        """The hash; None where there is no file. Raises BadRequest where it is not what it should be."""
        raw = read_private(self.file, _MAX_BYTES)
        if raw is None:
            return None
        try:
            return _Content.model_validate_json(raw).password_hash
        except ValidationError:
            raise BadRequest(
                f"{self.file} is damaged. Remove it: the next start makes a new admin password and shows it once."
            ) from None

    def make(self) -> str | None:
        """A new password, if there is none yet; only its hash is kept. Raises BadRequest."""
        if self.read() is not None:
            return None
        password = secrets.token_urlsafe(18)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(self.file, json.dumps({"password_hash": _hash(password)}) + "\n")
        except OSError as error:
            raise BadRequest(f"{self.file} cannot be written: {error.strerror or error}.") from None
        return password


# argon2 is imported where it is needed: a server whose page nobody opens starts without it.


def _hash(password: str) -> str:
    from argon2 import PasswordHasher

    return PasswordHasher().hash(password)


def _matches(expected: str, password: str) -> bool:
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return PasswordHasher().verify(expected, password)
    except (VerificationError, InvalidHashError):
        return False


@dataclass(slots=True)
class _Session:
    began_s: float
    used_s: float


class Sessions:
    """Who is logged in, by the SHA-256 of a random token; times by a monotonic clock."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._sessions: OrderedDict[bytes, _Session] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Sessions {len(self._sessions)}>"

    def begin(self) -> str:
        """A new session's token. The oldest session ends where there are too many."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        now_s = self._clock()
        self._sessions[_key(token)] = _Session(now_s, now_s)
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return token

    def touch(self, token: str) -> bool:
        """Whether a token is of a session that lasts; it lasts longer then."""
        session = self._sessions.get(_key(token))
        if session is None:
            return False
        now_s = self._clock()
        if now_s - session.used_s >= IDLE_S or now_s - session.began_s >= ABSOLUTE_S:
            self.end(token)
            return False
        session.used_s = now_s
        return True

    def end(self, token: str) -> None:
        """End one session, if it is one."""
        self._sessions.pop(_key(token), None)

    def end_all(self) -> None:
        """End every session."""
        self._sessions.clear()


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait after so many failures: none, then `first_s`, twice as long each time, at most `most_s`."""

    free: int
    first_s: float
    most_s: float

    def wait_s(self, failures: int) -> float:
        """After this many."""
        beyond = failures - self.free
        return 0.0 if beyond < 0 else min(self.first_s * 2.0 ** min(beyond, 60), self.most_s)


BY_ADDRESS = Backoff(free=5, first_s=2, most_s=900)
OVERALL = Backoff(free=20, first_s=1, most_s=30)
"""Over all addresses. Low, for with it anybody can keep the owner waiting; he has the socket and static keys too."""
_MAX_ADDRESSES = 4096
_FORGIVEN_S = 3600.0


class LoginLimit:
    """Slows down who guesses passwords. An attempt counts as failed until it is known to be none: also at once."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._by_address: OrderedDict[str, _Failures] = OrderedDict()
        self._overall = _Failures()

    def __repr__(self) -> str:
        return f"<LoginLimit {len(self._by_address)} addresses, {self._overall.count} failures>"

    def attempt(self, address: str) -> None:
        """Before a password is looked at. Raises RateLimited with the time to wait."""
        now_s = self._clock()
        mine = self._by_address.setdefault(_network(address), _Failures())
        self._by_address.move_to_end(_network(address))
        while len(self._by_address) > _MAX_ADDRESSES:
            self._by_address.popitem(last=False)
        wait_s = 0.0
        for failures, backoff in ((mine, BY_ADDRESS), (self._overall, OVERALL)):
            if now_s - failures.last_s >= _FORGIVEN_S:
                failures.count = 0
            wait_s = max(wait_s, failures.last_s + backoff.wait_s(failures.count) - now_s)
        if wait_s > 0:
            raise RateLimited(f"Too many wrong passwords: try again in {math.ceil(wait_s)} s.", retry_after_s=wait_s)
        for failures in (mine, self._overall):
            failures.count += 1
            failures.last_s = now_s

    def succeeded(self, address: str) -> None:
        """The attempt was none: forgotten for this address; overall it alone is taken back."""
        self._by_address.pop(_network(address), None)
        self._overall.count = max(self._overall.count - 1, 0)


def _network(address: str) -> str:
    """Whom an address stands for: with IPv6 everybody has a whole /64."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if known.version == 6 and known.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(known) >> 64 << 64, 64)))
    return str(known)


class AdminLogin:
    """The password, the sessions, and the way from one to the other."""

    def __init__(self, settings: Settings, clock: Clock = time.monotonic) -> None:
        secret = settings.admin_password
        given = secret.get_secret_value() if secret is not None else ""
        self._given = _key(given) if given else None
        self._file = PasswordFile(settings.home)
        self._hash = self._fault = ""
        self._hashing = asyncio.Semaphore(_AT_ONCE)
        self._limit = LoginLimit(clock)
        self._sessions = Sessions(clock)

    def __repr__(self) -> str:
        return f"<AdminLogin {self._sessions} {self._limit}>"

    @property
    def sessions(self) -> Sessions:
        """The sessions of the password as it is now."""
        self._current()
        return self._sessions

    async def enter(self, password: str, address: str) -> str:
        """A session's token. Raises WrongPassword; RateLimited after several wrong ones from there, or at all."""
        self._limit.attempt(address)
        async with self._hashing:  # the line before it is bounded: each in it has passed the limit
            expected = self._current()
            right = await asyncio.to_thread(self._is_right, password, expected)
        if not right or expected != self._current():
            logger.warning("a wrong admin password, from {}", address or "an unknown address")
            raise WrongPassword("That is not the password of the admin page.")
        self._limit.succeeded(address)
        logger.info("the admin page was entered from {}", address or "an unknown address")
        return self._sessions.begin()

    def _is_right(self, password: str, expected: str) -> bool:
        if self._given is not None:
            return hmac.compare_digest(_key(password), self._given)
        return _matches(expected or _NOBODYS, password) and bool(expected)

    def _current(self) -> str:
        """The hash that counts now, empty for none; that it became another ends every session."""
        if self._given is not None:
            return ""
        try:
            found = self._file.read() or ""
            self._fault = ""
        except BadRequest as error:
            if self._fault != error.message:
                logger.error("nobody can log in at /admin: {}", error.message)
            self._fault = error.message
            found = ""
        if found != self._hash:
            self._sessions.end_all()
            self._hash = found
        return found
