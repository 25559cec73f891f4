"""What Claude is asked. Sections are those of the fact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit
from uuid import uuid4

from relay.browser.chromium import State
from relay.chat.request import FileRef, Turn

SESSION = "sessionKey"
"""The cookie of a login."""
FIRST_PARENT = "00000000-0000-4000-8000-000000000000"
"""What the first message of a conversation hangs on."""
JSON = {"Content-Type": "application/json"}
PLATFORM = {"anthropic-client-platform": "web_claude_ai"}
WEB_SEARCH = {"type": "web_search_v0", "name": "web_search"}


@dataclass(frozen=True, slots=True)
class Visit:
    """Where a page's calls go and what they carry: whose chats they are about, and how the browser is set."""

    uuid: str
    """The organization's."""
    timezone: str
    locale: str
    device: str = ""
    """The cookie `anthropic-device-id`; empty where there is none."""

    @property
    def organization(self) -> str:
        """Its path."""
        return f"/api/organizations/{_segment(self.uuid)}"

    @property
    def chats(self) -> str:
        """The path of its conversations."""
        return f"{self.organization}/chat_conversations"

    def chat(self, conversation: str) -> str:
        """The path of one of them."""
        return f"{self.chats}/{_segment(conversation)}"

    def upload(self, conversation: str) -> str:
        """The path that takes files into it (section 7)."""
        return f"{self.organization}/conversations/{_segment(conversation)}/wiggle/upload-file"

    @property
    def older_upload(self) -> str:
        """The path that took files before."""
        return f"/api/{_segment(self.uuid)}/upload"

    @property
    def headers(self) -> dict[str, str]:
        """What every call carries (section 4)."""
        return PLATFORM | ({"anthropic-device-id": self.device} if self.device else {})


def _segment(uuid: str) -> str:
    return quote(uuid, safe="")


def login_state(token: str, home: str) -> State:
    """A pasted `sessionKey` as the browser keeps it (section 2)."""
    host = (urlsplit(home).hostname or "").removeprefix("www.")
    cookie = {
        "name": SESSION,
        "value": token,
        "domain": f".{host}",
        "path": "/",
        "expires": -1,
        "httpOnly": True,
        "secure": True,
        "sameSite": "Lax",
    }
    return {"cookies": [cookie], "origins": []}


def _settings(turn: Turn, *, temporary: bool) -> dict[str, object]:
    """What both ways to make a conversation say of it."""
    model: dict[str, object] = {"model": turn.model} if turn.model else {}
    return {
        "name": "",
        "include_conversation_preferences": True,
        "paprika_mode": "extended" if turn.thinking else None,
        "is_temporary": temporary,
        **model,
    }


def create_body(conversation: str, turn: Turn, *, temporary: bool) -> dict[str, object]:
    """The body that makes a conversation by itself; in the project that the turn names (section 4, step 2)."""
    project: dict[str, object] = {"project_uuid": turn.agent} if turn.agent else {}
    return {"uuid": conversation, **_settings(turn, temporary=temporary), **project}


def completion_body(
    turn: Turn, visit: Visit, parent: str, files: Sequence[FileRef] = (), *, creates: bool, temporary: bool = False
) -> dict[str, object]:
    """The body of a completion (section 4, step 3). With `creates` it makes its conversation.

    Thinking is told each time, since a conversation that began with it would go on so.
    """
    body: dict[str, object] = {
        "prompt": turn.prompt,
        "parent_message_uuid": parent or FIRST_PARENT,
        "turn_message_uuids": {"human_message_uuid": str(uuid4()), "assistant_message_uuid": str(uuid4())},
        "timezone": visit.timezone,
        "locale": visit.locale,
        "rendering_mode": "messages",
        "attachments": [],
        "files": [file.id for file in files],
        "sync_sources": [],
        "tools": [WEB_SEARCH] if turn.search else [],
        "thinking_mode": "extended" if turn.thinking else "off",
    }
    if turn.model:
        body["model"] = turn.model
    if creates:
        body["create_conversation_params"] = {
            **_settings(turn, temporary=temporary),
            "compass_mode": None,
            "enabled_imagine": False,
            "tool_search_mode": "auto",
        }
    return body
