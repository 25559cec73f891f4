"""What Kimi is asked, and what its tokens say. Sections are those of the fact sheet."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from relay.browser.chromium import State
from relay.chat.request import Conversation, FileRef, Turn

AGENTS: dict[str, tuple[str, str]] = {  # model key -> scenario, agentMode (section 3)
    "k28-agent-preview": ("SCENARIO_OK_COMPUTER", "TYPE_NORMAL"),
    "k3-agent": ("SCENARIO_OK_COMPUTER", "TYPE_NORMAL"),
    "k3-agent-swarm": ("SCENARIO_OK_COMPUTER_SWARM", "TYPE_ULTRA"),
}


def claims(token: str) -> dict[str, Any]:
    """The payload of a JWT, unverified; empty for what is none."""
    try:
        body = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (IndexError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def expired(token: str, now_s: float) -> bool:
    """Whether a token's own date (Unix seconds) is over; what tells none is not."""
    expires = claims(token).get("exp")
    return isinstance(expires, int | float) and expires < now_s


def login_state(token: str, home: str) -> State:
    """A pasted token as the browser keeps it (section 2). What is no access token is one that the page trades in."""
    address = urlsplit(home)
    is_access = token.count(".") == 2 and claims(token).get("typ") == "access"
    stored = {"name": "access_token" if is_access else "refresh_token", "value": token}
    cookie = {
        "name": "kimi-auth",
        "value": token,
        "domain": f".{(address.hostname or '').removeprefix('www.')}",
        "path": "/",
        "expires": -1,
        "httpOnly": False,
        "secure": True,
        "sameSite": "Lax",
    }
    origin = {"origin": f"{address.scheme}://{address.netloc}", "localStorage": [stored]}
    return {"cookies": [cookie] if is_access else [], "origins": [origin]}


def chat_body(turn: Turn, files: Sequence[FileRef] = ()) -> dict[str, object]:
    """The body of Chat (section 4)."""
    scenario, mode = AGENTS.get(turn.model, ("SCENARIO_CHAT", ""))
    blocks: list[dict[str, object]] = [{"message_id": "", "text": {"content": turn.prompt}}]
    blocks += [{"file": {"id": file.id, "status": "PROCESS_STATUS_SUCCESS"}} for file in files]
    conversation = turn.conversation or Conversation("")
    thinking = turn.thinking or turn.model in AGENTS
    body: dict[str, object] = {
        "chat_id": conversation.id,
        "scenario": scenario,
        "tools": [{"type": "TOOL_TYPE_SEARCH", "search": {}}] if turn.search else [],
        "message": {
            "parent_id": conversation.parent,
            "role": "user",
            "scenario": scenario,
            "is_goal": False,
            "blocks": blocks,
        },
        "options": {
            "thinking": thinking,
            "enable_plugin": True,
            "reasoning_effort": "REASONING_EFFORT_LOW" if thinking else "REASONING_EFFORT_NONE",
            "model": turn.model,
        },
        "project_id": "",
    }
    if mode or turn.agent:
        body |= {"kimiplusId": turn.agent or "ok-computer", "agentMode": mode or "TYPE_NORMAL"}
    return body
