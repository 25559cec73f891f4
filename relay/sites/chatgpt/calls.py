"""What is asked of ChatGPT from inside its page and needs no signature (sections 2, 4 and 10 of the fact sheet)."""

from __future__ import annotations

import json
from typing import Any

from loguru import logger

from relay.browser.tab import Response, Tab
from relay.errors import LoginNeeded, RelayError
from relay.sites.chatgpt.messages import Conversation, Download, Session, StreamStatus, parsed
from relay.sites.chatgpt.requests import SESSION, conversation_path, picture_addresses


async def call(tab: Tab, method: str, path: str, body: dict[str, Any] | None = None) -> Response:
    """A call as who is logged in. Raises LoginNeeded without a session."""
    token = parsed(Session, await tab.fetch("GET", SESSION)).access_token
    if not token:
        raise LoginNeeded("ChatGPT's session has expired. Log in again.")
    headers = await headers_of(tab, token)
    if body is None:
        return await tab.fetch(method, path, headers=headers)
    headers["Content-Type"] = "application/json"
    return await tab.fetch(method, path, headers=headers, body=json.dumps(body))


async def headers_of(tab: Tab, token: str) -> dict[str, str]:
    """What the page's own calls carry."""
    device, account = await tab.evaluate(
        """function(...names) {
            const cookies = new Map(document.cookie.split("; ").map(one => one.split(/=(.*)/s)));
            return names.map(name => cookies.get(name) ?? "");
        }""",
        "oai-did",
        "_account",
    )
    named = {"OAI-Device-Id": device, "ChatGPT-Account-Id": account}
    return {"Authorization": f"Bearer {token}", **{name: value for name, value in named.items() if value}}


async def stream_status(tab: Tab, conversation: str) -> str:
    """Whether the site is still at an answer."""
    return parsed(StreamStatus, await call(tab, "GET", conversation_path(conversation, "/stream_status"))).status


async def read_back(tab: Tab, conversation: str) -> Conversation:
    """A conversation as the site keeps it."""
    return parsed(Conversation, await call(tab, "GET", conversation_path(conversation)))


async def picture(tab: Tab, address: str) -> str:
    """Where a picture can be fetched; empty where the site does not tell."""
    for one in picture_addresses(address):
        try:
            return parsed(Download, await call(tab, "GET", one)).download_url
        except RelayError as error:
            logger.debug("no picture at {}: {}", one, error)
    return ""
