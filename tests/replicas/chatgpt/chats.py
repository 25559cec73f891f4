"""What ChatGPT keeps for its users: conversations, which are trees of messages, and files."""

from __future__ import annotations

import hashlib
import secrets
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from tests.replicas.chatgpt.generation import Generation
from tests.replicas.chatgpt.requests import ROOT
from tests.replicas.seen import Seen, SeenConversation, SeenFile, SeenTurn

Message = dict[str, Any]


def message(role: str, content: dict[str, Any], **more: Any) -> Message:
    """A message as the site tells it (section 5), in progress and for everyone unless ``more`` says otherwise."""
    return {
        "id": str(uuid.uuid4()),
        "author": {"role": role, "name": None, "metadata": {}},
        "create_time": time.time(),
        "update_time": None,
        "content": content,
        "status": "in_progress",
        "end_turn": None,
        "weight": 1.0,
        "metadata": {},
        "recipient": "all",
        "channel": None,
    } | more


@dataclass
class Node:
    """A place in the tree; the root has no message."""

    id: str
    parent: str | None
    message: Message | None
    children: list[str] = field(default_factory=list)

    def wire(self) -> dict[str, Any]:
        """In the site's words."""
        return {"id": self.id, "message": self.message, "parent": self.parent, "children": self.children}


@dataclass
class Conversation:
    """A conversation; a hidden one stays for the tests' eyes only."""

    id: str
    user: str
    temporary: bool = False
    anonymous: bool = False
    title: str = "New chat"
    created: float = field(default_factory=time.time)
    visible: bool = True
    archived: bool = False
    nodes: dict[str, Node] = field(default_factory=lambda: {ROOT: Node(ROOT, None, None)})
    current: str = ROOT
    ends: set[str] = field(default_factory=lambda: {ROOT})
    """Where a new prompt may follow: the root and the last message of each answer."""
    turns: list[SeenTurn] = field(default_factory=list)
    generation: Generation | None = None
    """The newest answer's."""
    unpainted: list[tuple[int, Message]] = field(default_factory=list)
    """Pictures that are still being made: how many reads of the conversation they take, and their messages."""

    @property
    def running(self) -> bool:
        """Whether an answer is being written."""
        return self.generation is not None and not self.generation.outcome

    def add(self, new: Message, parent: str) -> None:
        """Put a message below ``parent``; it is the current one now."""
        self.nodes[new["id"]] = Node(new["id"], parent, new)
        self.nodes[parent].children.append(new["id"])
        self.current = new["id"]

    def role(self, node: str) -> str:
        """Who wrote a node's message; empty for the root and for what is not there."""
        found = self.nodes.get(node)
        return found.message["author"]["role"] if found and found.message else ""

    def prompts(self, node: str) -> list[str]:
        """All that the user wrote on the way from the root to ``node``, oldest first."""
        said: list[str] = []
        at: str | None = node
        while at is not None:
            here = self.nodes[at]
            if here.message and here.message["author"]["role"] == "user":
                said.append("\n".join(part for part in here.message["content"]["parts"] if isinstance(part, str)))
            at = here.parent
        return said[::-1]

    def paint(self) -> None:
        """Somebody reads the conversation: pictures that are ready now join it."""
        waiting, self.unpainted = self.unpainted, []
        for reads, picture in waiting:
            if reads > 0:
                self.unpainted.append((reads - 1, picture))
            else:
                self.add(picture, self.current)
                self.ends.add(picture["id"])

    def wire(self) -> dict[str, Any]:
        """``GET /backend-api/conversation/<id>`` (section 4)."""
        return {
            "title": self.title,
            "create_time": self.created,
            "update_time": self.created,
            "conversation_id": self.id,
            "current_node": self.current,
            "is_archived": self.archived,
            "mapping": {node.id: node.wire() for node in self.nodes.values()},
        }


@dataclass
class StoredFile:
    """A file: announced, then sent, then reported as sent; or a picture that the site made."""

    id: str
    user: str
    name: str
    size: int
    data: bytes = field(default=b"", repr=False)
    content_type: str = "application/octet-stream"
    uploaded: bool = False

    @property
    def signature(self) -> str:
        """What the addresses of the file host must carry."""
        return hashlib.sha256(f"sign {self.id}".encode()).hexdigest()[:32]

    @property
    def url(self) -> str:
        """Where its bytes are put and read."""
        return f"https://files.oaiusercontent.com/{self.id}?se=2030-01-01&sp=rcw&sig={self.signature}"

    @property
    def sha256(self) -> str:
        """Of the bytes, as hexadecimal digits."""
        return hashlib.sha256(self.data).hexdigest()


class Store:
    """All conversations and files of the site."""

    def __init__(self) -> None:
        self.conversations: dict[str, Conversation] = {}
        self.files: dict[str, StoredFile] = {}

    def new_conversation(self, user: str, *, temporary: bool, anonymous: bool) -> Conversation:
        """An empty one."""
        made = Conversation(str(uuid.uuid4()), user, temporary, anonymous)
        self.conversations[made.id] = made
        return made

    def conversation(self, user: str, id_: str) -> Conversation | None:
        """The user's own, not hidden."""
        found = self.conversations.get(id_)
        return found if found and found.user == user and found.visible else None

    def listed(self, user: str) -> list[Conversation]:
        """The user's history, newest first."""
        mine = [one for one in self.conversations.values() if one.user == user and one.visible and not one.temporary]
        return mine[::-1]

    def topic(self, user: str, topic: str) -> Generation | None:
        """The user's answer that goes on under ``topic``."""
        found = [
            one.generation
            for one in self.conversations.values()
            if one.user == user and one.generation and one.generation.topic == topic
        ]
        return found[0] if found else None

    def file(self, user: str, id_: str) -> StoredFile | None:
        """The user's own file."""
        found = self.files.get(id_)
        return found if found and found.user == user else None

    def new_file(self, user: str, name: str, size: int) -> StoredFile:
        """An announced file."""
        file = StoredFile(f"file-{secrets.token_hex(11)}", user, name, size)
        self.files[file.id] = file
        return file

    def picture(self, user: str, data: bytes) -> StoredFile:
        """A picture that the site made."""
        file = self.new_file(user, "image.png", len(data))
        file.data, file.content_type, file.uploaded = data, "image/png", True
        return file

    def seen(self, user: str) -> Seen:
        """Everything of one user, in the words of all sites."""
        return Seen(
            conversations=[
                SeenConversation(id=one.id, turns=one.turns, deleted=not one.visible, temporary=one.temporary)
                for one in self.conversations.values()
                if one.user == user
            ],
            files=[
                SeenFile(name=file.name, sha256=file.sha256, size_bytes=len(file.data))
                for file in self.files.values()
                if file.user == user and file.uploaded
            ],
        )

    def of(self, user: str) -> dict[str, Any]:
        """Everything of one user, for tests."""
        conversations = [
            one.wire() | {"visible": one.visible, "temporary": one.temporary, "running": one.running}
            for one in self.conversations.values()
            if one.user == user
        ]
        files = [
            {"id": file.id, "name": file.name, "uploaded": file.uploaded, "sha256": file.sha256}
            for file in self.files.values()
            if file.user == user
        ]
        return {"conversations": conversations, "files": files}
