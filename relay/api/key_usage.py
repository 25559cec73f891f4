"""What API keys were used for: counters of each, `$RELAY_HOME/key-usage.json`, and how many chats each has under way.

The file is the server's alone; `relay keys list` reads it. It is written twice a minute where something changed, and
when the server stops: one that is killed forgets half a minute. Token counts are the estimates of `chat.usage`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Annotated, Literal

from loguru import logger
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from relay.api.keys import Holder
from relay.chat.usage import Usage
from relay.errors import BadRequest, RateLimited
from relay.private import read_private, write_private

FILE = "key-usage.json"
SAVE_EVERY_S = 30.0
_MAX_BYTES = 8 * 1024 * 1024
_WAIT_S = 2.0
"""Told to who has too many chats under way: when one ends, nobody knows."""

Count = Annotated[int, Field(ge=0)]


class Counts(BaseModel):
    """Of one key."""

    model_config = ConfigDict(extra="forbid", strict=True)
    chats: Count = 0
    errors: Count = 0
    """Of these chats; a client that left is none."""
    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    last_used: Count = 0
    """Unix seconds."""
    static: bool = False
    """Whether it is one of RELAY_API_KEYS."""


class _Content(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    version: Literal[1]
    keys: dict[Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")], Counts]


def read_counts(home: Path) -> dict[str, Counts]:
    """The counters by key id, as they were written last. Raises BadRequest where the file is damaged."""
    file = home / FILE
    raw = read_private(file, _MAX_BYTES)
    if raw is None:
        return {}
    try:
        return _Content.model_validate_json(raw).keys
    except ValidationError as error:
        said = error.errors(include_input=False, include_url=False)[0]["msg"]
        raise BadRequest(f"{file} is damaged ({said}). Move it away: the counters begin anew.") from None


class Meter:
    """One request on its key's account, from when it may begin until `end`."""

    def __init__(self, end: Callable[[Usage, bool], None]) -> None:
        self._end: Callable[[Usage, bool], None] | None = end

    def __repr__(self) -> str:
        return f"<Meter {'running' if self._end else 'ended'}>"

    def end(self, usage: Usage, *, failed: bool) -> None:
        """Count it, and make room for the next one; only the first time."""
        end, self._end = self._end, None
        if end is not None:
            end(usage, failed)

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """Around what begins the chats: where it raises, they failed."""
        try:
            yield
        except BaseException:
            self.end(Usage(0, 0), failed=True)
            raise


class KeyUsage:
    """`async with KeyUsage(home, keys.known) as usage` keeps the file; without it, only this process counts."""

    def __init__(
        self, home: Path, known: Callable[[], Mapping[str, bool]], clock: Callable[[], float] = time.time
    ) -> None:
        """`known`: the ids of the keys that there are, and whether each is static; others are forgotten."""
        self._home = home
        self._known = known
        self._clock = clock
        self._under_way: Counter[str] = Counter()
        self._changed = False
        try:
            self.counts = read_counts(home)
        except BadRequest as error:
            logger.error("{} They begin anew.", error.message)
            self.counts = {}

    def __repr__(self) -> str:
        return f"<KeyUsage {len(self.counts)} keys, {self._under_way.total()} chats under way>"

    def begin(self, holder: Holder | None, chats: int = 1) -> Meter:
        """Account for a request of that many chats. Raises RateLimited, BadRequest for more than there may ever be."""
        key = holder.key_id if holder is not None else ""
        if holder is None or not key:
            return Meter(lambda usage, failed: None)
        limit = holder.concurrency
        if limit is not None and chats > limit:
            raise BadRequest(
                f"This API key is for {limit} chats at once; this request asks for {chats}.", param="model"
            )
        if limit is not None and self._under_way[key] + chats > limit:
            raise RateLimited(
                f"This API key is for {limit} chats at once, and {self._under_way[key]} are under way.",
                retry_after_s=_WAIT_S,
            )
        self._under_way[key] += chats

        def end(usage: Usage, failed: bool) -> None:
            self._under_way[key] -= chats
            if not self._under_way[key]:
                del self._under_way[key]
            self._count(key, chats, usage, failed)

        return Meter(end)

    def _count(self, key: str, chats: int, usage: Usage, failed: bool) -> None:
        counts = self.counts.setdefault(key, Counts())
        counts.chats += chats
        counts.errors += failed
        counts.prompt_tokens += usage.prompt
        counts.completion_tokens += usage.completion
        counts.last_used = int(self._clock())
        self._changed = True

    async def _save(self) -> None:
        """Write what changed; where that fails, the log says so and the next time tries again."""
        if not self._changed:
            return
        known = self._known()
        self.counts = {id: counts for id, counts in self.counts.items() if id in known}
        for id, counts in self.counts.items():
            counts.static = known[id]
        self._changed = False
        content = {"version": 1, "keys": {id: counts.model_dump() for id, counts in self.counts.items()}}
        try:
            await asyncio.to_thread(write_private, self._home / FILE, json.dumps(content, indent=1) + "\n")
        except OSError as error:
            self._changed = True
            logger.error("{} cannot be written: {}", self._home / FILE, error.strerror or error)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            await self._save()

    async def __aenter__(self) -> KeyUsage:
        self._keeping = asyncio.create_task(self._keep(), name="keeping the counters of keys")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        await self._save()
