"""Right calls, made by hand: what the replica's own tests and a benchmark's plain client send."""

from __future__ import annotations

from typing import Any

from tests.replicas.kimi.frames import envelope
from tests.replicas.kimi.tokens import read

CHAT = "/apiv2/kimi.gateway.chat.v1.ChatService/Chat"


def msh_headers(access: str) -> dict[str, str]:
    """The headers of section 4 that hold for every call of the page."""
    claims = read(access)
    assert claims is not None
    return {
        "authorization": f"Bearer {access}",
        "x-msh-platform": "web",
        "x-msh-version": "2.2.0",
        "x-msh-device-id": claims.device_id,
        "x-msh-session-id": claims.ssid,
        "x-traffic-id": claims.sub,
        "x-language": "zh-CN",
        "r-timezone": "Asia/Shanghai",
    }


def chat_headers(access: str) -> dict[str, str]:
    """All headers of the chat call."""
    connect = {"content-type": "application/connect+json", "connect-protocol-version": "1"}
    return msh_headers(access) | connect


def chat_body(prompt: str, *, chat_id: str = "", parent_id: str = "", thinking: bool = True) -> dict[str, Any]:
    """The sheet's chat body."""
    return {
        "chat_id": chat_id,
        "scenario": "SCENARIO_CHAT",
        "tools": [],
        "message": {
            "parent_id": parent_id,
            "role": "user",
            "scenario": "SCENARIO_CHAT",
            "is_goal": False,
            "blocks": [{"message_id": "", "text": {"content": prompt}}],
        },
        "options": {
            "thinking": thinking,
            "enable_plugin": True,
            "reasoning_effort": "REASONING_EFFORT_LOW" if thinking else "REASONING_EFFORT_NONE",
            "model": "k2d6-chat",
        },
        "project_id": "",
    }


def chat_call(access: str, prompt: str, **options: Any) -> dict[str, Any]:
    """Arguments of ``httpx.AsyncClient.post`` or ``stream("POST", ...)`` for a right chat call."""
    return {"url": CHAT, "headers": chat_headers(access), "content": envelope(chat_body(prompt, **options))}
