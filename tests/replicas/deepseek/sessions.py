"""What DeepSeek keeps for its users: chat sessions with their messages, and files."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from tests.replicas.recording import Upload
from tests.replicas.seen import Seen, SeenConversation, SeenFile, SeenTurn

TTL_S = 259_200


@dataclass
class Message:
    """A turn; ids count 1, 2, 3, … inside the session. ``prompt`` is the user's own, ``fragments`` the answer's."""

    id: int
    parent_id: int | None
    role: Literal["USER", "ASSISTANT"]
    status: str
    prompt: str = ""
    fragments: list[dict[str, Any]] = field(default_factory=list)
    thinking_enabled: bool = False
    search_enabled: bool = False
    usage: int = 0
    files: list[str] = field(default_factory=list)
    inserted_at: float = field(default_factory=time.time)
    ban_regenerate: bool = False
    written: int = 0
    """How many beats of its script have been told."""

    @property
    def chars(self) -> int:
        """How much of the conversation it takes."""
        return len(self.prompt) + sum(len(fragment.get("content") or "") for fragment in self.fragments)

    def wire(self) -> dict[str, Any]:
        """In the site's words: what the stream's snapshot and the history hold."""
        asked = [{"id": 1, "type": "REQUEST", "content": self.prompt}] if self.role == "USER" else []
        return {
            "message_id": self.id,
            "parent_id": self.parent_id,
            "model": "",
            "role": self.role,
            "thinking_enabled": self.thinking_enabled,
            "ban_edit": False,
            "ban_regenerate": self.ban_regenerate,
            "status": self.status,
            "incomplete_message": None,
            "accumulated_token_usage": self.usage,
            "feedback": None,
            "inserted_at": self.inserted_at,
            "search_enabled": self.search_enabled,
            "fragments": asked + self.fragments,
            "conversation_mode": "DEFAULT",
            "has_pending_fragment": False,
            "auto_continue": False,
        }


@dataclass
class Session:
    """A conversation; a deleted one stays for the tests' eyes only."""

    id: str
    user: str
    seq_id: int
    model_type: str = ""
    title: str | None = None
    inserted_at: float = field(default_factory=time.time)
    updated_at: float = field(default_factory=time.time)
    messages: list[Message] = field(default_factory=list)
    deleted: bool = False

    def add(self, message: Message) -> Message:
        """Keep a message, as the newest."""
        self.messages.append(message)
        self.updated_at = time.time()
        return message

    @property
    def next_id(self) -> int:
        """The next message's id."""
        return len(self.messages) + 1

    def message(self, message_id: int | None, role: str) -> Message | None:
        """The session's message with this id and role."""
        found = (each for each in self.messages if each.id == message_id and each.role == role)
        return next(found, None)

    def way_to(self, message: Message) -> list[Message]:
        """From the conversation's start to ``message``, along its branch."""
        way, at = [message], message.parent_id
        while at is not None:
            way.append(self.messages[at - 1])
            at = way[-1].parent_id
        return way[::-1]

    def wire(self) -> dict[str, Any]:
        """In the site's words (fact sheet section 4)."""
        return {
            "id": self.id,
            "seq_id": self.seq_id,
            "agent": "chat",
            "title": self.title,
            "title_type": "SYSTEM" if self.title else "WIP",
            "model_type": self.model_type or None,
            "current_message_id": self.messages[-1].id if self.messages else None,
            "pinned": False,
            "inserted_at": self.inserted_at,
            "updated_at": self.updated_at,
        }


@dataclass
class StoredFile:
    """An uploaded file; ``polls`` counts how often it was asked for."""

    id: str
    user: str
    upload: Upload
    model_kind: str
    data: bytes = field(repr=False)
    polls: int = 0
    status: str = "PENDING"
    audit_result: str | None = None

    @property
    def image(self) -> bool:
        """Whether it is a picture."""
        return self.upload.content_type.startswith("image/")

    @property
    def usable(self) -> bool:
        """Whether a prompt may bring it."""
        return self.status == "SUCCESS" and self.audit_result in (None, "PASS", "unknown")

    @property
    def state(self) -> str:
        """What its preview's address must carry."""
        return self.id[-12:]

    def wire(self) -> dict[str, Any]:
        """In the site's words (fact sheet section 7)."""
        return {
            "id": self.id,
            "status": self.status,
            "file_name": self.upload.name,
            "file_size": self.upload.size_bytes,
            "model_kind": self.model_kind,
            "token_usage": self.upload.size_bytes // 4 if self.status == "SUCCESS" else None,
            "error_code": "PARSE_FAILED" if self.status == "FAILED" else None,
            "signed_path": f"/file?file_id={self.id}&state={self.state}",
            "is_image": self.image,
            "audit_result": self.audit_result,
            "width": 1 if self.image else None,
            "height": 1 if self.image else None,
        }


class Store:
    """All sessions and files of the site, and the answers that are being written."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.files: dict[str, StoredFile] = {}
        self.turns: defaultdict[str, list[SeenTurn]] = defaultdict(list)
        """By session, each prompt that was taken; the sessions as they were begun."""
        self.running: dict[tuple[str, int], asyncio.Event] = {}
        """By session and message, what to set to stop the answer."""

    def new_session(self, user: str) -> Session:
        """An empty conversation."""
        session = Session(id=str(uuid.uuid4()), user=user, seq_id=len(self.sessions) + 1)
        self.sessions[session.id] = session
        return session

    def session(self, user: str, session_id: str) -> Session | None:
        """The user's own, living conversation."""
        session = self.sessions.get(session_id)
        return session if session and session.user == user and not session.deleted else None

    def busy(self, session: Session) -> bool:
        """Whether an answer is being written in it."""
        return any(session_id == session.id for session_id, _ in self.running)

    def of_user(self, user: str) -> Iterator[Session]:
        """The user's sessions, deleted ones too, oldest first."""
        return (session for session in self.sessions.values() if session.user == user)

    def file(self, user: str, file_id: str) -> StoredFile | None:
        """The user's own file."""
        file = self.files.get(file_id)
        return file if file and file.user == user else None

    def add_file(self, user: str, upload: Upload, model_kind: str, data: bytes) -> StoredFile:
        """Keep an upload."""
        file = StoredFile(id=f"file-{uuid.uuid4()}", user=user, upload=upload, model_kind=model_kind, data=data)
        self.files[file.id] = file
        return file

    def seen(self, user: str) -> Seen:
        """Everything of one user, in the words of all sites.

        A session is a conversation from its first prompt on: pages make theirs ahead, each its own.
        """
        begun = ((self.sessions[session_id], turns) for session_id, turns in self.turns.items())
        chats = [
            SeenConversation(id=session.id, turns=turns, deleted=session.deleted)
            for session, turns in begun
            if session.user == user
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
            "sessions": [asdict(session) for session in self.of_user(user)],
            "files": [
                {"id": file.id, "status": file.status, "model_kind": file.model_kind, **file.upload.model_dump()}
                for file in self.files.values()
                if file.user == user
            ],
        }
