"""Brings the files that messages name but do not hold: from addresses and from the file store, all of them or none."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from asyncio_pool import AioPool
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from relay.api.attachments import Pending, from_bytes
from relay.api.fetching import Fetcher
from relay.api.file_store import FileStore
from relay.chat.request import Attachment, Message
from relay.errors import BadRequest, FileNotFound, TooLarge

AT_ONCE = 4
MAX_REQUEST_BYTES = 256 * 1024 * 1024
"""What all files of one request may have together."""

_Source = tuple[str, str, str, str]
T = TypeVar("T")


@dataclass
class Budget:
    """Bytes that are left to the files of one request."""

    left: int = MAX_REQUEST_BYTES

    def spend(self, count: int) -> None:
        """Raises TooLarge where there are not so many left."""
        self.left -= count
        if self.left < 0:
            raise TooLarge(
                f"The request's files have more than {MAX_REQUEST_BYTES >> 20} MiB together. Send fewer at a time."
            )


class Gatherer:
    """`messages = await Gatherer(fetcher, files).gathered(messages, caller)`."""

    def __init__(self, fetcher: Fetcher, files: FileStore) -> None:
        self._fetcher = fetcher
        self._files = files

    def __repr__(self) -> str:
        return f"<Gatherer {self._fetcher!r} {self._files!r}>"

    async def gathered(self, messages: Sequence[Message], caller: str, receive: Receive) -> tuple[Message, ...]:
        """The messages with every file in its place. What stands in them twice is brought once.

        `caller` is whose stored files may be read; `receive` tells when the client leaves.
        Raises BadRequest and TooLarge for the first file that cannot be had, ClientDisconnect.
        """
        files = [file for message in messages for file in message.attachments]
        pending = {_source(file): file for file in files if isinstance(file, Pending)}
        if not pending:
            return tuple(messages)
        budget = Budget()
        budget.spend(sum(len(file.data) for file in files))
        brought = await _unless_gone(receive, self._bring_all(list(pending.values()), caller, budget))
        return tuple(_filled(messages, dict(zip(pending, brought, strict=True))))

    async def _bring_all(self, pending: Sequence[Pending], caller: str, budget: Budget) -> list[Attachment]:
        async with AioPool(size=AT_ONCE) as pool:
            futures = pool.map_n(lambda file: self._bring(file, caller, budget), pending)
            try:
                done, _ = await asyncio.wait(futures, return_when=asyncio.FIRST_EXCEPTION)
            finally:
                await pool.cancel()  # where one has failed, or the client has left; its futures would not end the work
            for future in done:
                future.result()
            return [future.result() for future in futures]

    async def _bring(self, file: Pending, caller: str, budget: Budget) -> Attachment:
        if file.file_id:
            try:
                stored = self._files.get(caller, file.file_id)
                budget.spend(stored.size_bytes)
                data = await asyncio.to_thread(self._files.read, stored)
            except FileNotFound as error:
                raise BadRequest(f"{file.param}: {error.message}", param=file.param) from None
            name, mime = file.name or stored.filename, stored.mime
        else:
            fetched = await self._fetcher.fetch(file.address, file.param, budget.spend)
            data, name, mime = fetched.data, file.name or fetched.name, fetched.mime
        found = from_bytes(data, param=file.param, name=name, mime=mime)
        wanted = file.mime.partition("/")[0]
        if wanted in ("image", "audio") and not found.mime.startswith(f"{wanted}/"):
            page = " (a web page about it, perhaps)" if b"<html" in data[:4096].lower() else ""
            raise BadRequest(f"{file.param}: not {wanted} but {found.mime}{page}.", param=file.param)
        return found


def _source(file: Pending) -> _Source:
    return file.address, file.file_id, file.name, file.mime


def _filled(messages: Iterable[Message], brought: Mapping[_Source, Attachment]) -> Iterable[Message]:
    for message in messages:
        files = tuple(brought[_source(file)] if isinstance(file, Pending) else file for file in message.attachments)
        yield replace(message, attachments=files) if files else message


async def _unless_gone(receive: Receive, work: Coroutine[object, object, T]) -> T:
    """What `work` gives; it is cancelled where the client leaves meanwhile. Raises ClientDisconnect."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
