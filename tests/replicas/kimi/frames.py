"""The frames of a Kimi answer (fact sheet section 5), in the order and shape of its sample."""

from __future__ import annotations

import json
from typing import Any

from tests.replicas.kimi.chats import Chat, ChatMessage


def envelope(value: object, flags: int = 0) -> bytes:
    """One Connect envelope."""
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    return bytes([flags]) + len(data).to_bytes(4, "big") + data


HEARTBEAT = envelope({"heartbeat": {}})
DONE = envelope({"done": {}})
END = envelope({}, 0x02)


def error(code: str, message: str) -> bytes:
    """An error inside HTTP 200, and the end of the stream."""
    return envelope({"error": {"code": code, "message": message}}) + END


class Frames:
    """Makes the frames of one answer: keeps ``eventOffset`` and the blocks' ids."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self._offset = 0
        self._block = 2
        self._open = ""

    def _frame(self, op: str, mask: str, **content: Any) -> bytes:
        self._offset += 1
        return envelope({"op": op, "eventOffset": self._offset, "mask": mask, **content})

    def chat(self) -> bytes:
        """A new chat and its id."""
        return self._frame(
            "set", "chat", chat={"id": self._chat.id, "name": self._chat.name, "createTime": self._chat.created}
        )

    def echo(self, message: ChatMessage) -> bytes:
        """The user's own words back, twice."""
        last = self._frame("set", "chat.lastRequest", chat={"lastRequest": {"text": message.text}})
        files = b"".join(self._frame("append", "chat.files", chat={"files": [{"id": id_}]}) for id_ in message.files)
        return last + files + self._frame("set", "message", message=message.wire())

    def opening(self, message: ChatMessage) -> bytes:
        """The assistant's message, still empty."""
        head = {"id": message.id, "parentId": message.parent_id, "role": "assistant", "status": message.status}
        return self._frame("set", "message", message=head)

    def delta(self, kind: str, text: str) -> bytes:
        """Text of the answer (``text``) or of the reasoning (``think``): opens a block or adds to the open one."""
        appending = self._open == kind
        if not appending:
            self._open, self._block = kind, self._block + 1
        block = {"id": str(self._block), kind: {"content": text}}
        if appending:
            return self._frame("append", f"block.{kind}.content", block=block)
        return self._frame("set", f"block.{kind}", block=block)

    def status(self, message: ChatMessage) -> bytes:
        """How the answer ended."""
        return self._frame("set", "message.status", message={"id": message.id, "status": message.status})

    def name(self) -> bytes:
        """The chat's title."""
        return self._frame("set", "chat.name", chat={"id": self._chat.id, "name": self._chat.name})
