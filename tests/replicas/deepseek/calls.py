"""Right calls, made by hand: what the replica's own tests and a benchmark's plain client send."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx

from tests.replicas.deepseek import keccak
from tests.replicas.deepseek.proofs import CHAT, UPLOAD
from tests.replicas.deepseek.reading import events

API = "/api/v0/"


def headers(token: str) -> dict[str, str]:
    """The headers of section 4 that hold for every call of the page."""
    return {
        "authorization": f"Bearer {token}",
        "x-client-platform": "web",
        "x-client-version": "2.0.0",
        "x-app-version": "2.0.0",
        "x-client-locale": "zh_CN",
        "x-client-timezone-offset": "28800",
    }


def chat_body(session: str, prompt: str, *, parent: int | None = None, **changes: Any) -> dict[str, Any]:
    """The sheet's chat body."""
    return {
        "chat_session_id": session,
        "parent_message_id": parent,
        "model_type": "default",
        "prompt": prompt,
        "ref_file_ids": [],
        "thinking_enabled": True,
        "search_enabled": False,
        "action": None,
        "preempt": False,
        **changes,
    }


def solve(challenge: dict[str, Any]) -> int:
    """The answer, found as a page finds it. At most a few hundred hashes in Python, please."""
    prefix = f"{challenge['salt']}_{challenge['expire_at']}_"
    target = bytes.fromhex(challenge["challenge"])
    found = (n for n in range(challenge["difficulty"]) if keccak.digest(f"{prefix}{n}".encode()) == target)
    return next(found)


def proof(challenge: dict[str, Any], changes: dict[str, Any] | None = None) -> str:
    """The header ``X-DS-PoW-Response`` for a solved challenge, or with ``changes`` a wrong one."""
    kept = {name: challenge[name] for name in ("algorithm", "challenge", "salt", "signature", "target_path")}
    return base64.b64encode(json.dumps({**kept, "answer": solve(challenge), **(changes or {})}).encode()).decode()


async def biz(client: httpx.AsyncClient, token: str, path: str, body: object = None, **query: str) -> Any:
    """``biz_data`` of a right call: POST with a body, GET without. Raises AssertionError when it is refused."""
    if body is None:
        answer = await client.get(API + path, headers=headers(token), params=query)
    else:
        answer = await client.post(API + path, headers=headers(token), json=body)
    said = answer.json()
    assert (answer.status_code, said["code"]) == (200, 0), answer.text
    assert said["data"]["biz_code"] == 0, answer.text
    return said["data"]["biz_data"]


async def new_session(client: httpx.AsyncClient, token: str) -> str:
    """The id of a new conversation."""
    return str((await biz(client, token, "chat_session/create", {}))["chat_session"]["id"])


async def proved(client: httpx.AsyncClient, token: str, target_path: str = CHAT) -> dict[str, str]:
    """All headers of a call that needs a proof, with a new one."""
    made = await biz(client, token, "chat/create_pow_challenge", {"target_path": target_path})
    accept = {"accept": "text/event-stream"} if target_path == CHAT else {}
    return headers(token) | accept | {"x-ds-pow-response": proof(made["challenge"])}


async def chat_call(client: httpx.AsyncClient, token: str, body: dict[str, Any], path: str = CHAT) -> dict[str, Any]:
    """Arguments of ``client.post`` or ``client.stream("POST", ...)`` for a right call that is answered by a stream."""
    return {"url": path, "headers": await proved(client, token), "json": body}


async def upload(
    client: httpx.AsyncClient, token: str, name: str, data: bytes, mime: str, **changes: str
) -> httpx.Response:
    """The answer to a right upload; ``changes`` replace headers."""
    kind = "vision" if mime.startswith("image/") else "default"
    extra = {"x-model-type": kind, "x-file-size": str(len(data)), "x-thinking-enabled": "0"}
    sent = (
        await proved(client, token, UPLOAD) | extra | {key.replace("_", "-"): value for key, value in changes.items()}
    )
    return await client.post(UPLOAD, headers=sent, files={"file": (name, data, mime)})


async def ask(
    client: httpx.AsyncClient, token: str, session: str, prompt: str, **changes: Any
) -> list[tuple[str, Any]]:
    """The events that answer a right prompt."""
    return events(await client.post(**await chat_call(client, token, chat_body(session, prompt, **changes))))
