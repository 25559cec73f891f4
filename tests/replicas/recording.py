"""What a replica received: one record per request, readable while it is still being answered."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, Field


class Moment(BaseModel):
    """An instant on both clocks: ``time.time_ns()`` and ``time.monotonic_ns()`` (shared by the machine's processes)."""

    time_ns: int = Field(default_factory=time.time_ns)
    monotonic_ns: int = Field(default_factory=time.monotonic_ns)


class Upload(BaseModel):
    """A file that came in a multipart form."""

    field: str
    name: str
    content_type: str
    size_bytes: int
    sha256: str


class Record(BaseModel):
    """One request and its fate. ``body`` is JSON (Connect too) where the site speaks JSON, else text."""

    number: int
    site: str
    host: str
    http: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Any = None
    account: str = ""
    operation: str = ""
    uploads: list[Upload] = Field(default_factory=list)
    received: Moment
    status: int | None = None
    refused: str | None = None
    """Why the replica refused, if it did: what a builder reads first when a request does not pass."""
    bytes_sent: int = 0
    last_write: Moment | None = None
    finished: Moment | None = None
    aborted: Moment | None = None
    """When the client went away before the answer was complete."""
    torn: Moment | None = None
    """When the scenario tore the connection."""

    @property
    def state(self) -> str:
        """``open``, ``finished``, ``aborted`` (by the client) or ``torn`` (by the scenario)."""
        return "aborted" if self.aborted else "torn" if self.torn else "finished" if self.finished else "open"


class Recording:
    """The newest records of all sites, with a way to wait for more."""

    def __init__(self, limit: int = 5000) -> None:
        self._records: deque[Record] = deque(maxlen=limit)
        self._changed = asyncio.Condition()
        self._number = 0

    def number(self) -> int:
        """The next record's number."""
        self._number += 1
        return self._number

    async def add(self, record: Record) -> None:
        """Keep a record, from now on visible."""
        self._records.append(record)
        await self.changed()

    async def changed(self) -> None:
        """Tell those who wait that some record changed."""
        async with self._changed:
            self._changed.notify_all()

    def find(self, wanted: Callable[[Record], bool]) -> list[Record]:
        """The matching records, oldest first."""
        return [record for record in self._records if wanted(record)]

    async def wait(self, wanted: Callable[[Record], bool], count: int, timeout_s: float) -> list[Record]:
        """The matching records once there are ``count``, or those there are after ``timeout_s``."""
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: len(self.find(wanted)) >= count)
        except TimeoutError:
            pass  # the caller sees that there are too few
        return self.find(wanted)

    def forget(self, wanted: Callable[[Record], bool]) -> None:
        """Drop the matching records."""
        for record in self.find(wanted):
            self._records.remove(record)
