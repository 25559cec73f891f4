"""Pictures and files in an answer, made such that a client can get at them: by a whole address, or as bytes."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urljoin, urlsplit

from loguru import logger

from relay.browser.tab import Response, Tab
from relay.chat.events import Media
from relay.errors import RelayError, SiteUnavailable

MAX_BYTES = 32 * 1024 * 1024
FETCH_S = 60.0


async def reachable(tab: Tab, media: Media) -> Media:
    """With a whole address; of what only the login can fetch, the bytes, fetched from inside the page.

    What cannot be fetched keeps its address: the answer is whole all the same.
    """
    if not media.url:
        return media
    media = replace(media, url=urljoin(tab.url, media.url))
    if not media.private:
        return media
    try:
        found = await _fetched(tab, media.url)
    except RelayError as error:
        logger.warning("a {} of the answer could not be fetched: {}", media.kind, error.message)
        return media
    if found.status != 200 or not found.body or len(found.body) > MAX_BYTES:
        logger.warning("a {} of the answer was not taken: {}, {} bytes", media.kind, found.status, len(found.body))
        return media
    mime = found.headers.get("content-type", "").partition(";")[0].strip() or media.mime
    return replace(media, data=found.body, mime=mime)


async def _fetched(tab: Tab, url: str) -> Response:
    """With the page's cookies; from another host that wants none (its address is the permit) without."""
    try:
        return await tab.fetch("GET", url, timeout_s=FETCH_S)
    except SiteUnavailable:
        if urlsplit(url)[:2] == urlsplit(tab.url)[:2]:
            raise
        return await tab.fetch("GET", url, credentials="omit", timeout_s=FETCH_S)
