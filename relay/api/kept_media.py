"""Pictures and files of an answer that only the site's login could fetch: stored here, and linked to."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterable
from dataclasses import replace

from loguru import logger

from relay.api.file_store import OUTPUT, FileStore
from relay.chat.events import Event, Media
from relay.errors import RelayError


class MediaKeeper:
    """Of one answer. `address` is where its client reaches this server, without a slash at the end."""

    def __init__(self, files: FileStore, caller: str, address: str) -> None:
        self._files = files
        self._caller = caller
        self._address = address

    def __repr__(self) -> str:
        return f"<MediaKeeper for {self._caller} at {self._address}>"

    async def kept(self, events: Iterable[Event]) -> list[Event]:
        """The events, with links of ours in place of bytes. What cannot be stored stays as it is."""
        return [await self._one(event) if isinstance(event, Media) and event.data else event for event in events]

    async def _one(self, media: Media) -> Media:
        try:
            stored = await asyncio.to_thread(
                self._files.add,
                self._caller,
                io.BytesIO(media.data),
                filename=media.name,
                mime=media.mime,
                purpose=OUTPUT,
            )
        except (RelayError, OSError) as error:
            logger.warning("a {} of the answer could not be stored, so it stands there whole: {}", media.kind, error)
            return media
        return replace(media, url=f"{self._address}/v1/files/{stored.id}/content", private=False)
