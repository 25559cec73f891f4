"""What Claude keeps for its accounts: conversations, which are trees of messages, and files."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal
from uuid import uuid4

from tests.replicas.claude.events import now
from tests.replicas.claude.requests import ROOT, Attachment, Creation
from tests.replicas.recording import Upload
from tests.replicas.seen import Seen, SeenConversation, SeenFile, SeenTurn

PASTE = "paste.txt"
"""What the page calls a paste that is too long for its box."""


@dataclass
class Message:
    """A node of the tree; ``content`` is a list of blocks."""

    uuid: str
    sender: Literal["human", "assistant"]
    parent: str
    content: list[dict[str, Any]]
    files: list[str] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    created: str = field(default_factory=now)
    stop_reason: str | None = None
    stopped: bool = False

    @property
    def text(self) -> str:
        """All that its sender wrote, long pastes first."""
        pastes = [a["extracted_content"] for a in self.attachments if a["file_name"] == PASTE]
        typed = "".join(block["text"] for block in self.content if block["type"] == "text")
        return "\n\n".join([*pastes, typed] if typed or not pastes else pastes)


@dataclass
class Conversation:
    """A conversation; a deleted one stays for the tests' eyes only."""

    uuid: str
    account: str
    model: str | None
    project: str
    paprika_mode: str | None
    temporary: bool
    name: str = ""
    created: str = field(default_factory=now)
    messages: dict[str, Message] = field(default_factory=dict)
    leaf: str | None = None
    """The newest message: the end of the branch that the page shows."""
    deleted: bool = False
    turns: list[SeenTurn] = field(default_factory=list)

    def add(self, message: Message) -> Message:
        """A new message, which is now the newest."""
        self.messages[message.uuid] = message
        self.leaf = message.uuid
        return message

    def has(self, uuid: str, sender: str) -> bool:
        """Whether ``sender`` wrote a message of this id here."""
        message = self.messages.get(uuid)
        return message is not None and message.sender == sender

    def branch(self, leaf: str | None) -> list[Message]:
        """The messages from the first to ``leaf``."""
        found: list[Message] = []
        while leaf and (message := self.messages.get(leaf)):
            found.insert(0, message)
            leaf = message.parent
        return found

    def prompts(self, leaf: str) -> str:
        """All that its user wrote on the way to ``leaf``."""
        return "\n\n".join(message.text for message in self.branch(leaf) if message.sender == "human")

    def head(self) -> dict[str, Any]:
        """Without its messages, in the site's words."""
        return {
            "uuid": self.uuid,
            "name": self.name,
            "model": self.model,
            "created_at": self.created,
            "is_temporary": self.temporary,
            "project_uuid": self.project or None,
            "settings": {"paprika_mode": self.paprika_mode},
            "current_leaf_message_uuid": self.leaf,
        }


@dataclass
class StoredFile:
    """An uploaded file. One that came the older way belongs to no conversation."""

    uuid: str
    account: str
    conversation: str
    upload: Upload
    data: bytes = field(repr=False)

    @property
    def path(self) -> str:
        """Where the site's own tools find it."""
        return f"/mnt/user-data/uploads/{PurePosixPath(self.upload.name).name}"

    def wire(self, organization: str) -> dict[str, Any]:
        """The upload's answer (fact sheet section 7)."""
        image = self.upload.content_type.startswith("image/")
        preview = f"/api/{organization}/files/{self.uuid}/preview"
        return {
            "success": True,
            "file_uuid": self.uuid,
            "file_kind": "image" if image else "document",
            "file_name": self.upload.name,
            "path": self.path,
            "size_bytes": self.upload.size_bytes,
            **({"preview_url": preview, "thumbnail_url": preview} if image else {}),
        }


class Store:
    """All conversations and files of the site."""

    def __init__(self) -> None:
        self.conversations: dict[str, Conversation] = {}
        self.files: dict[str, StoredFile] = {}
        self.pasted: dict[str, list[SeenFile]] = {}
        """By account, the files whose text came inline."""

    def create(self, account: str, uuid: str, made: Creation) -> Conversation:
        """A new, empty conversation."""
        conversation = Conversation(
            uuid=uuid,
            account=account,
            model=made.model,
            project=made.project_uuid or "",
            paprika_mode=made.paprika_mode,
            temporary=made.is_temporary,
        )
        self.conversations[uuid] = conversation
        return conversation

    def conversation(self, account: str, uuid: str) -> Conversation | None:
        """The account's own, living conversation."""
        found = self.conversations.get(uuid)
        return found if found and found.account == account and not found.deleted else None

    def file(self, account: str, uuid: str, conversation: str) -> StoredFile | None:
        """The account's own file, if that conversation may use it."""
        file = self.files.get(uuid)
        return file if file and file.account == account and file.conversation in ("", conversation) else None

    def add_file(self, account: str, conversation: str, upload: Upload, data: bytes) -> StoredFile:
        """Keep an upload."""
        file = StoredFile(str(uuid4()), account, conversation, upload, data)
        self.files[file.uuid] = file
        return file

    def inline(self, account: str, attachment: Attachment) -> str:
        """Keep a file whose text came inline; returns its SHA-256. A long paste is the prompt and no file."""
        data = attachment.extracted_content.encode()
        sha256 = hashlib.sha256(data).hexdigest()
        kept = SeenFile(name=attachment.file_name, sha256=sha256, size_bytes=len(data))
        self.pasted.setdefault(account, []).append(kept)
        return sha256

    def wire(self, conversation: Conversation, organization: str, *, tree: bool) -> dict[str, Any]:
        """A conversation with its messages: of all branches (``tree``) or of the newest."""
        messages = list(conversation.messages.values()) if tree else conversation.branch(conversation.leaf)
        told = [
            {
                "uuid": message.uuid,
                "sender": message.sender,
                "parent_message_uuid": message.parent,
                "index": index,
                "created_at": message.created,
                "content": message.content,
                "stop_reason": message.stop_reason,
                "attachments": message.attachments,
                "files_v2": [self.files[file].wire(organization) for file in message.files],
            }
            for index, message in enumerate(messages)
        ]
        return conversation.head() | {"chat_messages": told}

    def seen(self, account: str) -> Seen:
        """Everything of one account, in the words of all sites."""
        conversations = [
            SeenConversation(id=each.uuid, turns=each.turns, deleted=each.deleted, temporary=each.temporary)
            for each in self.conversations.values()
            if each.account == account
        ]
        uploaded = [
            SeenFile(name=file.upload.name, sha256=file.upload.sha256, size_bytes=file.upload.size_bytes)
            for file in self.files.values()
            if file.account == account
        ]
        return Seen(conversations=conversations, files=uploaded + self.pasted.get(account, []))

    def of(self, account: str) -> dict[str, Any]:
        """Everything of one account, for tests."""
        return {
            "conversations": [
                asdict(each) | {"turns": [turn.model_dump() for turn in each.turns]}
                for each in self.conversations.values()
                if each.account == account
            ],
            "files": [
                {"uuid": file.uuid, "conversation": file.conversation, **file.upload.model_dump()}
                for file in self.files.values()
                if file.account == account
            ],
        }


def taken(conversations: dict[str, Conversation], uuid: str) -> bool:
    """Whether a message id was used before."""
    return uuid == ROOT or any(uuid in each.messages for each in conversations.values())
