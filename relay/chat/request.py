"""ChatRequest: what the API submits. Turn: what a site executes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from relay.chat.events import ToolCall
from relay.chat.tools import AnswerForm, ToolUse

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True)
class Attachment:
    """A file of the caller's. `data` are its bytes; `kind` is sniffed from them, not believed."""

    name: str
    mime: str
    data: bytes
    kind: Literal["image", "audio", "video", "file"] = "file"

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 of its bytes, hashed when first asked for: 100 MB take tenths of a second."""
        return hashlib.sha256(self.data).digest()

    def __repr__(self) -> str:
        return f"<Attachment {self.kind} {self.mime} {len(self.data)} bytes>"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the caller's history, already reduced to text and attachments."""

    role: Role
    text: str
    attachments: tuple[Attachment, ...] = ()
    name: str = ""
    """Of a tool's result: the tool's."""
    calls: tuple[ToolCall, ...] = ()
    """What an assistant's message called."""
    call_id: str = ""
    """Of a tool's result: the call that it answers."""

    def __repr__(self) -> str:
        calls = f", {len(self.calls)} calls" if self.calls else ""
        return f"<Message {self.role} {len(self.text)} characters, {len(self.attachments)} attachments{calls}>"


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """A client's model name, taken apart (see `chat.models.resolve`)."""

    site: str
    model: str
    """The site's own model key; empty where the site has none."""
    requested: str
    """The name as the client wrote it; answers repeat it."""
    account: str = ""
    """Non-empty where the name itself names the account (`gradio/<account>`)."""
    agent: str = ""
    thinking: bool = False
    search: bool = False
    silent: bool = False
    research: bool = False


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A validated request on its way to the pool; plain data, no HTTP in it."""

    id: str
    """Request id, in every log line and `x-request-id`."""
    choice: ModelChoice
    messages: tuple[Message, ...]
    caller: str = "local"
    """Whose request: an API key's id. Fairness and conversations go by it."""
    conversation_id: str | None = None
    """An earlier answer's `id` or `conversation_id`: the conversation to continue; `none` or empty = a new one."""
    answer_id: str = ""
    """What the answer's `id` will be."""
    tokens: tuple[str, ...] = field(default=(), repr=False)
    """Site tokens that the caller brought: they are used, and none of the owner's accounts."""
    tools: ToolUse | None = None
    """Tools that the model may call; None where neither tools nor earlier calls are in the request."""
    form: AnswerForm | None = None
    """What the answer's text must be; None = anything."""
    heard: str = ""
    """The key of the history that the client knows, where `messages` hold more: an answer that is asked for again."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """A native conversation of the site to continue."""

    id: str
    parent: str = ""


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file that the site has taken: its id there, and what its chat call wants to know of it."""

    id: str
    name: str
    mime: str
    size_bytes: int
    kind: str = "file"
    extra: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one site executes once account and conversation are known."""

    prompt: str
    model: str
    thinking: bool = False
    search: bool = False
    research: bool = False
    agent: str = ""
    conversation: Conversation | None = None
    attachments: tuple[Attachment, ...] = ()

    def __repr__(self) -> str:
        return f"<Turn {self.model or '-'} {len(self.prompt)} characters, {len(self.attachments)} attachments>"
