"""Messages of a request body -> messages of a chat: text, attachments, calls and what they brought."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from relay.api import attachments
from relay.api.anthropic.schema import (
    Block,
    DocumentBlock,
    ImageBlock,
    MessageParam,
    MessagesBody,
    SearchResultBlock,
    Source,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from relay.chat.events import ToolCall
from relay.chat.request import Attachment, Message
from relay.errors import BadRequest

_BILLING = "x-anthropic-billing-header:"
"""Begins a block of the system prompt that is new in each request: no conversation could be continued with it."""


def messages_of(body: MessagesBody) -> tuple[Message, ...]:
    """The whole conversation, whose files may be still to be brought.

    Raises BadRequest where there is nothing to say, TooLarge for a file.
    """
    if not body.messages:
        raise BadRequest("messages: at least one message is needed.", param="messages")
    read: list[Message] = []
    if system := _texts(body.system):
        read.append(Message("system", system))
    names: dict[str, str] = {}
    for index, message in enumerate(body.messages):
        read += _spoken(message, f"messages[{index}]", names)
    if not any(one.text.strip() or one.attachments or one.calls for one in read if one.role != "system"):
        raise BadRequest("messages: the messages hold no text and no file.", param="messages")
    return tuple(read)


def _texts(blocks: Sequence[Block]) -> str:
    """Text alone, a paragraph a block: the system prompt's. What Claude Code bills by is none of it."""
    texts = (block.text for block in blocks if isinstance(block, TextBlock))
    return "\n\n".join(text for text in texts if text and not text.startswith(_BILLING))


def _spoken(message: MessageParam, param: str, names: dict[str, str]) -> Iterator[Message]:
    """What one message says; a user's may hold results of several tools. `names` has each call's tool."""
    match message.role:
        case "user":
            yield from _of_user(message.content, f"{param}.content", names)
        case "assistant":
            yield from _of_assistant(message.content, names)
        case "system":
            if text := _texts(message.content):
                yield Message("system", text)
        case _:
            raise BadRequest(f"{param}.role: one of user, assistant, system is needed.", param=f"{param}.role")


def _of_assistant(blocks: Sequence[Block], names: dict[str, str]) -> Iterator[Message]:
    """One message, whatever the number of blocks: its text is what was delivered, which was one text too."""
    calls: list[ToolCall] = []
    for block in blocks:
        if isinstance(block, ToolUseBlock):
            arguments = (
                block.input if isinstance(block.input, str) else json.dumps(block.input or {}, ensure_ascii=False)
            )
            calls.append(ToolCall(block.name, arguments, block.id or ""))
            names[block.id or ""] = block.name
    text = "".join(block.text for block in blocks if isinstance(block, TextBlock))
    if text or calls:
        yield Message("assistant", text, calls=tuple(calls))


def _of_user(blocks: Sequence[Block], param: str, names: dict[str, str]) -> Iterator[Message]:
    """The results of tools, each by itself, and what is said before, between and after them, in order."""
    said = _Said()
    for index, block in enumerate(blocks):
        if not isinstance(block, ToolResultBlock):
            said.add(block, f"{param}[{index}]")
            continue
        yield from said.taken()
        brought = _Said()
        brought.add_all(block.content, f"{param}[{index}].content")
        text = f"Error: {brought.text}" if block.is_error else brought.text
        call_id = block.tool_use_id or ""
        yield Message("tool", text, tuple(brought.files), name=names.get(call_id, ""), call_id=call_id)
    yield from said.taken()


class _Said:
    """What a run of blocks says: its texts, and its files."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self.files: list[Attachment] = []

    @property
    def text(self) -> str:
        """A line or more a block."""
        return "\n".join(self._texts)

    def taken(self) -> Iterator[Message]:
        """A user's message of it, if it says anything; the next run begins."""
        if self.text or self.files:
            yield Message("user", self.text, tuple(self.files))
        self._texts, self.files = [], []

    def add_all(self, blocks: Sequence[Block], param: str) -> None:
        for index, block in enumerate(blocks):
            self.add(block, f"{param}[{index}]")

    def add(self, block: Block, param: str) -> None:
        """Raises BadRequest, TooLarge."""
        match block:
            case TextBlock(text=text):
                self._texts.append(text)
            case ImageBlock(source=source):
                self.files.append(_file(source, f"{param}.source", mime="image/*"))
            case DocumentBlock():
                self._document(block, f"{param}.source")
            case SearchResultBlock():
                self._add_line(" ".join(filter(None, (block.title, f"({block.source})" if block.source else ""))))
                self.add_all(block.content, f"{param}.content")
            case _:
                pass

    def _document(self, document: DocumentBlock, param: str) -> None:
        """Text becomes a part of the message: any site takes that."""
        source = document.source
        self._add_line(document.context)
        if source.type in ("text", "content"):
            self._add_line(document.title)
            self._add_line(source.data)
            self.add_all(source.content, f"{param}.content")
        else:
            self.files.append(_file(source, param, name=document.title or ""))

    def _add_line(self, text: str | None) -> None:
        if text:
            self._texts.append(text)


def _file(source: Source, param: str, *, mime: str = "", name: str = "") -> Attachment:
    mime = source.media_type or mime
    if given := source.data or source.url:
        return attachments.from_source(given, param=param, mime=mime, name=name)
    if source.file_id:
        return attachments.Pending(name, mime, b"", file_id=source.file_id, param=param)
    raise BadRequest(f"{param}: no file in it. Send base64 `data`, a `url` or a `file_id`.", param=param)
