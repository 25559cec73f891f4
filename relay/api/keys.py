"""Stored API keys: `$RELAY_HOME/keys.json`, which `relay keys` writes and the running server watches.

A key is shown once, when it is made; the file holds its SHA-256. That is enough for 32 random bytes, which nobody can
guess; a slow hash is for passwords.
"""

from __future__ import annotations

import hashlib
import json
import math
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from filelock import FileLock, Timeout
from loguru import logger
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from relay.errors import BadRequest, NoAccount, RateLimited
from relay.private import read_private, write_private
from relay.settings import Settings

FILE = "keys.json"
PREFIX = "rk-"
MAX_KEYS = 10_000
MAX_RPM = 100_000
MAX_CONCURRENCY = 10_000
MAX_NAME_CHARS = 100
_MAX_BYTES = 8 * 1024 * 1024
_LOCK_S = 10.0
_WINDOW_S = 60.0
_ID_DIGITS = 12
_CALLER = "key-"

Name = Annotated[str, Field(max_length=MAX_NAME_CHARS)]
Site = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class StoredKey(BaseModel):
    """What is known of a key: everything but the key."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    id: str
    name: Name = ""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    created: Annotated[int, Field(ge=0)]
    """Unix seconds."""
    sites: list[Site] = []
    """Sites that it may use; empty = all."""
    rpm: Annotated[int | None, Field(ge=1, le=MAX_RPM)] = None
    """Chats a minute; None = no limit."""
    concurrency: Annotated[int | None, Field(ge=1, le=MAX_CONCURRENCY)] = None
    """Chats at once; None = no limit."""

    @model_validator(mode="after")
    def _own_id(self) -> Self:
        if self.id != self.sha256[:_ID_DIGITS]:
            raise ValueError(f"the id is not the first {_ID_DIGITS} digits of sha256")
        return self


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    version: Literal[1]
    keys: Annotated[list[StoredKey], Field(max_length=MAX_KEYS)]

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        if len({key.id for key in self.keys}) < len(self.keys):
            raise ValueError("a key stands there twice")
        return self


def digest(key: str) -> bytes:
    """What is compared and stored in place of a key."""
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def caller_of(digest: bytes) -> str:
    """The caller's id of the holder of a key: the same for as long as the key is."""
    return _CALLER + id_of(digest)


def id_of(digest: bytes) -> str:
    """A key's id, as `relay keys list` shows it."""
    return digest.hex()[:_ID_DIGITS]


class KeyFile:
    """The keys on disk. Writers of several processes take turns by a lock beside it."""

    def __init__(self, home: Path) -> None:
        self.file = home / FILE

    def __repr__(self) -> str:
        return f"<KeyFile {self.file}>"

    def read(self) -> list[StoredKey] | None:
        """The keys, None where there is no file. Raises BadRequest where it is not what it should be."""
        raw = read_private(self.file, _MAX_BYTES)
        if raw is None:
            return None
        try:
            return _Content.model_validate_json(raw).keys
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            said = f"{where}: {first['msg']}" if where else first["msg"]
            raise BadRequest(
                f"{self.file} is damaged ({said}). Mend it, or move it away and make new keys; nothing was changed."
            ) from None

    def create(
        self, *, name: str = "", sites: Sequence[str] = (), rpm: int | None = None, concurrency: int | None = None
    ) -> tuple[str, StoredKey]:
        """Make a key: the key itself, which is kept nowhere, and what is stored. Raises BadRequest."""
        key = PREFIX + secrets.token_urlsafe(32)
        sha256 = digest(key).hex()
        try:
            stored = StoredKey(
                id=sha256[:_ID_DIGITS],
                name=name,
                sha256=sha256,
                created=int(time.time()),
                sites=sorted(set(sites)),
                rpm=rpm,
                concurrency=concurrency,
            )
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise BadRequest(f"{first['loc'][0]}: {first['msg']}") from None
        if not name.isprintable():
            raise BadRequest("name: one line of printable characters, please.")
        with self._writing():
            keys = self.read() or []
            if len(keys) >= MAX_KEYS:
                raise BadRequest(f"{self.file} holds {MAX_KEYS} keys already: revoke some first.")
            self._write([*keys, stored])
        return key, stored

    def revoke(self, id: str) -> StoredKey | None:
        """Take a key out; None where there is none of that id. Raises BadRequest for a damaged file."""
        if not self.file.exists():
            return None
        with self._writing():
            keys = self.read() or []
            gone = next((key for key in keys if key.id == id), None)
            if gone is not None:
                self._write([key for key in keys if key is not gone])
            return gone

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Nobody else writes meanwhile."""
        lock = FileLock(f"{self.file}.lock", mode=0o600, timeout=_LOCK_S)
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock.acquire()
        except Timeout:
            raise NoAccount(f"{self.file} is being changed by another process: try again.") from None
        except OSError as error:
            raise BadRequest(f"{self.file} cannot be locked: {error.strerror or error}.") from None
        try:
            yield
        finally:
            lock.release()

    def _write(self, keys: Sequence[StoredKey]) -> None:
        content = {"version": 1, "keys": [key.model_dump() for key in keys]}
        try:
            write_private(self.file, json.dumps(content, ensure_ascii=False, indent=1) + "\n")
        except OSError as error:
            raise BadRequest(f"{self.file} cannot be written: {error.strerror or error}.") from None


Stamp = tuple[int, int, int]


class StoredKeys:
    """The keys of a file as they are now: looked at for each request, read when the file is another."""

    def __init__(self, file: KeyFile) -> None:
        """Raises BadRequest for a damaged file."""
        self._file = file
        self._stamp: Stamp | None = None
        self._keys: dict[bytes, StoredKey] | None = None
        self._load(self._look())

    def __repr__(self) -> str:
        return f"<StoredKeys {'no file' if self._keys is None else len(self._keys)}>"

    def current(self) -> dict[bytes, StoredKey] | None:
        """By digest; None where there is no file. A file that cannot be read now changes nothing, but for the log."""
        stamp = self._look()
        if stamp != self._stamp:
            try:
                self._load(stamp)
            except BadRequest as error:
                self._stamp = stamp
                logger.error("API keys stay as they were: {}", error.message)
        return self._keys

    def _look(self) -> Stamp | None:
        try:
            found = self._file.file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    def _load(self, stamp: Stamp | None) -> None:
        keys = self._file.read()
        self._keys = None if keys is None else {bytes.fromhex(key.sha256): key for key in keys}
        self._stamp = stamp  # taken before the file was read: a change in between is seen next time


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose request it is, and what he may."""

    id: str
    sites: tuple[str, ...] = ()
    """Empty = all."""
    rpm: int | None = None
    concurrency: int | None = None

    @property
    def key_id(self) -> str:
        """His key's id; empty where he needed none."""
        return self.id.removeprefix(_CALLER) if self.id.startswith(_CALLER) else ""

    def may_use(self, site: str) -> bool:
        """Whether the key is for this site too."""
        return not self.sites or site in self.sites


class Pace:
    """Chats of each holder in the last minute. Exactly: never more than `rpm` in any 60 seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spent: dict[str, deque[float]] = {}

    def __repr__(self) -> str:
        return f"<Pace {len(self._spent)} holders>"

    def spend(self, holder: Holder, chats: int = 1, *, counted: int = 0) -> None:
        """Count chats. Raises RateLimited with the time until they may come, BadRequest for more than ever may.

        What is refused counts not. `counted`: chats of the same request that were counted before.
        """
        if holder.rpm is None:
            self._spent.pop(holder.id, None)
            return
        now_s = self._clock()
        spent = self._spent.setdefault(holder.id, deque())
        while spent and now_s - spent[0] >= _WINDOW_S:
            spent.popleft()
        if counted + chats > holder.rpm:
            raise BadRequest(
                f"This API key is for {holder.rpm} chats a minute; this request asks for {counted + chats}.",
                param="model",
            )
        if len(spent) + chats > holder.rpm:
            # The one that must be over before there is room; not the first, if the limit was lowered meanwhile.
            wait_s = _WINDOW_S - (now_s - spent[len(spent) + chats - 1 - holder.rpm])  # so bracketed never above it
            raise RateLimited(
                f"This API key is for {holder.rpm} chats a minute: the next one in {math.ceil(wait_s)} s.",
                retry_after_s=wait_s,
            )
        spent.extend([now_s] * chats)


def lacks_key(settings: Settings) -> bool:
    """Whether the server would be open to the network without an API key, set or stored; it then refuses to start.

    Raises BadRequest for a damaged file.
    """
    if settings.is_loopback or any(key.get_secret_value() for key in settings.api_keys):
        return False
    return not KeyFile(settings.home).read()
