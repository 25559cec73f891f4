"""What Kimi keeps for its users: conversations and files."""

from __future__ import annotations

import hashlib
import secrets
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.replicas.recording import Upload
from tests.replicas.seen import Seen, SeenConversation, SeenFile, SeenTurn


@dataclass
class ChatMessage:
    """A turn as ``ListMessages`` tells it."""

    id: str
    role: str
    parent_id: str
    status: str
    text: str = ""
    think: str = ""
    files: list[str] = field(default_factory=list)

    def wire(self) -> dict[str, Any]:
        """In the site's words."""
        blocks = [{"file": {"id": file, "status": "PROCESS_STATUS_SUCCESS"}} for file in self.files]
        blocks += [{"think": {"content": self.think}}] if self.think else []
        blocks += [{"text": {"content": self.text}}] if self.text else []
        parent = {"parentId": self.parent_id} if self.parent_id else {}
        return {"id": self.id, **parent, "role": self.role, "status": self.status, "blocks": blocks}


@dataclass
class Chat:
    """A conversation; a deleted one stays for the tests' eyes only."""

    id: str
    user: str
    name: str = "Untitled Chat"
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    messages: list[ChatMessage] = field(default_factory=list)
    deleted: bool = False

    @property
    def newest(self) -> str:
        """Id of the newest message, the only right parent of the next; empty at the start."""
        return self.messages[-1].id if self.messages else ""

    @property
    def prompts(self) -> str:
        """All that its user wrote."""
        return "\n\n".join(message.text for message in self.messages if message.role == "user")


@dataclass
class StoredFile:
    """An uploaded file; ``polls`` counts how often its parsing was asked for."""

    id: str
    user: str
    upload: Upload
    data: bytes = field(repr=False)
    polls: int = 0
    parsed: bool = False

    def wire(self) -> dict[str, Any]:
        """The upload's answer (fact sheet section 7)."""
        image = self.upload.content_type.startswith("image/")
        meta = {
            "name": self.upload.name,
            "contentType": self.upload.content_type,
            "sizeBytes": str(self.upload.size_bytes),
            "checksum": self.upload.sha256,
            "ext": self.upload.name.rpartition(".")[2],
            "type": "FILE_TYPE_IMAGE" if image else "FILE_TYPE_DOCUMENT",
        }
        url = f"/apiv2-files/sign-obj/{self.id}?filename={self.upload.name}&sig={self.signature}&t=o"
        return {"id": self.id, "meta": meta, "blob": {"signUrl": url}, "parseResult": {}}

    @property
    def signature(self) -> str:
        """What a download address must carry."""
        return hashlib.sha256(f"sign {self.id}".encode()).hexdigest()[:16]


class Store:
    """All chats and files of the site."""

    def __init__(self) -> None:
        self.chats: dict[str, Chat] = {}
        self.files: dict[str, StoredFile] = {}
        self.turns: defaultdict[str, list[SeenTurn]] = defaultdict(list)
        """By chat, each prompt that was taken."""

    def new_chat(self, user: str) -> Chat:
        """An empty conversation."""
        chat = Chat(id=f"{secrets.token_hex(4)}-{secrets.token_hex(2)}-{secrets.token_hex(6)}", user=user)
        self.chats[chat.id] = chat
        return chat

    def chat(self, user: str, chat_id: str) -> Chat | None:
        """The user's own, living conversation."""
        chat = self.chats.get(chat_id)
        return chat if chat and chat.user == user and not chat.deleted else None

    def file(self, user: str, file_id: str) -> StoredFile | None:
        """The user's own file."""
        file = self.files.get(file_id)
        return file if file and file.user == user else None

    def add_file(self, user: str, upload: Upload, data: bytes) -> StoredFile:
        """Keep an upload."""
        file = StoredFile(id=f"f-{secrets.token_hex(8)}", user=user, upload=upload, data=data)
        self.files[file.id] = file
        return file

    def seen(self, user: str) -> Seen:
        """Everything of one user, in the words of all sites."""
        chats = [
            SeenConversation(id=chat.id, turns=self.turns[chat.id], deleted=chat.deleted)
            for chat in self.chats.values()
            if chat.user == user
        ]
        files = [
            SeenFile(name=file.upload.name, sha256=file.upload.sha256, size_bytes=file.upload.size_bytes)
            for file in self.files.values()
            if file.user == user
        ]
        return Seen(conversations=chats, files=files)

    def of(self, user: str) -> dict[str, Any]:
        """Everything of one user, for tests."""
        return {
            "chats": [asdict(chat) for chat in self.chats.values() if chat.user == user],
            "files": [
                {"id": file.id, "parsed": file.parsed, **file.upload.model_dump()}
                for file in self.files.values()
                if file.user == user
            ],
        }
