"""Right calls, made by hand: what the replica's own tests send."""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import Any

import httpx

from tests.replicas.chatgpt.requests import ROOT
from tests.replicas.chatgpt.tokens import device_id

CHAT = "/backend-api/f/conversation"
ARRAY = base64.b64encode(json.dumps([3000, "Wed Nov 25 2026", 4294705152, 7, "Mozilla/5.0", *range(13)]).encode())

PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAIAAAASFvFNAAAAEElEQVR4nGM4IWcDQQxwFgBHVAbNLIY3fgAAAABJRU5ErkJggg=="
)
"""A PNG of 3 by 2 pixels."""
IMAGE_PART = {
    "content_type": "image_asset_pointer",
    "asset_pointer": "file-service://file-none",
    "width": 3,
    "height": 2,
    "size_bytes": len(PICTURE),
}
"""The same in a prompt, but for its address."""


def bearer(access: str) -> dict[str, str]:
    """The header of every call of the API; without a token, none."""
    return {"authorization": f"Bearer {access}"} if access else {}


def ask_body(*, parent: str = ROOT, conversation: str = "", model: str = "gpt-5-6-thinking") -> dict[str, Any]:
    """What the preparing and the sending body have in common."""
    return {
        "action": "next",
        "parent_message_id": parent,
        **({"conversation_id": conversation} if conversation else {}),
        "model": model,
        "timezone": "Europe/Berlin",
        "timezone_offset_min": -60,
        "conversation_mode": {"kind": "primary_assistant"},
        "system_hints": [],
        "supports_buffering": True,
        "supported_encodings": ["v1"],
        "client_contextual_info": {"app_name": "chatgpt.com"},
    }


def user_message(prompt: str, **metadata: Any) -> dict[str, Any]:
    """A new turn."""
    return {
        "id": str(uuid.uuid4()),
        "author": {"role": "user"},
        "create_time": time.time(),
        "content": {"content_type": "text", "parts": [prompt]},
        "metadata": {
            "submission_mode": "manual_send",
            "serialization_metadata": {"custom_symbol_offsets": []},
            **metadata,
        },
    }


def chat_body(prompt: str, **place: Any) -> dict[str, Any]:
    """The sheet's send body."""
    return ask_body(**place) | {
        "messages": [user_message(prompt)],
        "client_prepare_state": "success",
        "enable_message_followups": True,
        "paragen_cot_summary_display_override": "allow",
        "force_parallel_switch": "auto",
        "history_and_training_disabled": False,
    }


def chat_headers(user: str, access: str, path: str = CHAT) -> dict[str, str]:
    """The headers of the send call, but the sentinel's and the conduit token."""
    return bearer(access) | {
        "accept": "text/event-stream",
        "oai-device-id": device_id(user),
        "oai-session-id": str(uuid.uuid4()),
        "oai-language": "en-US",
        "oai-client-version": "prod-0a1b2c3d",
        "oai-client-build-number": "7000001",
        "x-openai-target-path": path,
        "x-openai-target-route": path,
        "x-oai-turn-trace-id": str(uuid.uuid4()),
    }


async def sentinel(client: httpx.AsyncClient, headers: dict[str, str], base: str = "/backend-api") -> dict[str, str]:
    """Steps 2 and 4: the sentinel's headers."""
    at = f"{base}/sentinel/chat-requirements"
    answer = await client.post(f"{at}/prepare", headers=headers, json={"p": f"gAAAAAC{ARRAY.decode()}"})
    answer.raise_for_status()
    shown = {"proofofwork": f"gAAAAAB{ARRAY.decode()}", "turnstile": "QUJDREVGR0hJSktMTU5PUA=="}
    body = {"prepare_token": answer.json()["prepare_token"], **shown}
    answer = await client.post(f"{at}/finalize", headers=headers, json=body)
    answer.raise_for_status()
    return {
        "openai-sentinel-chat-requirements-token": answer.json()["token"],
        "openai-sentinel-proof-token": shown["proofofwork"],
        "openai-sentinel-turnstile-token": shown["turnstile"],
        "openai-sentinel-so-token": answer.json()["so_token"],
    }


async def conduit(
    client: httpx.AsyncClient, headers: dict[str, str], body: dict[str, Any], base: str = "/backend-api"
) -> dict[str, str]:
    """Step 3 for ``body``: the conduit header."""
    kept = {name: body[name] for name in (*ask_body(), "conversation_id", "system_hints") if name in body}
    draft = {"id": str(uuid.uuid4()), "author": {"role": "user"}, "content": {"content_type": "text", "parts": ["d"]}}
    told = {"action": "next", "fork_from_shared_post": False, "client_prepare_state": "none", "partial_query": draft}
    answer = await client.post(f"{base}/f/conversation/prepare", headers=headers, json=kept | told)
    answer.raise_for_status()
    return {"x-conduit-token": answer.json()["conduit_token"]}


async def chat_call(client: httpx.AsyncClient, user: str, access: str, body: dict[str, Any]) -> dict[str, Any]:
    """Arguments of ``post`` or ``stream("POST", ...)`` for a right chat call; anonymous without ``access``."""
    base = "/backend-api" if access else "/backend-anon"
    path = f"{base}/f/conversation"
    headers = chat_headers(user, access, path)
    signed = await sentinel(client, headers, base) | await conduit(client, headers, body, base)
    return {"url": path, "headers": headers | signed, "json": body}
