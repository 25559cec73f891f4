"""Right calls, made by hand: what the replica's own tests send."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from tests.replicas.claude.requests import ROOT
from tests.replicas.claude.sessions import organization, session_key

WEB_SEARCH = {"type": "web_search_v0", "name": "web_search"}
ARTIFACTS = {"type": "artifacts_v0", "name": "artifacts"}


def chats(account: str) -> str:
    """The address of the account's conversations."""
    return f"/api/organizations/{organization(account)}/chat_conversations"


def cookies(account: str, ttl_s: float = 900) -> dict[str, str]:
    """A login."""
    return {"sessionKey": session_key(account, ttl_s)}


def create_params(**fields: Any) -> dict[str, Any]:
    """The sheet's ``create_conversation_params``."""
    return {
        "name": "",
        "include_conversation_preferences": True,
        "paprika_mode": None,
        "compass_mode": None,
        "is_temporary": False,
        "enabled_imagine": True,
        "tool_search_mode": "auto",
    } | fields


def completion_headers() -> dict[str, str]:
    """The headers of section 4 that are not optional."""
    return {"content-type": "application/json", "accept": "text/event-stream"}


def completion_body(prompt: str, *, parent: str = ROOT, **fields: Any) -> dict[str, Any]:
    """The sheet's body; without ``create_conversation_params`` unless given."""
    return {
        "prompt": prompt,
        "parent_message_uuid": parent,
        "turn_message_uuids": {"human_message_uuid": str(uuid4()), "assistant_message_uuid": str(uuid4())},
        "timezone": "Europe/Berlin",
        "locale": "en-US",
        "rendering_mode": "messages",
        "attachments": [],
        "files": [],
        "sync_sources": [],
        "personalized_styles": [{"type": "default", "key": "Default", "name": "Normal", "isDefault": True}],
        "tools": [],
    } | fields


def completion_call(
    account: str, conversation: str, prompt: str, *, operation: str = "completion", **fields: Any
) -> dict[str, Any]:
    """Arguments of ``httpx.AsyncClient.post`` or ``stream("POST", ...)`` for a right completion."""
    address = f"{chats(account)}/{conversation}/{operation}"
    return {"url": address, "headers": completion_headers(), "json": completion_body(prompt, **fields)}
