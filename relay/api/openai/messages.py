"""Messages of a request body -> messages of a chat: text and attachments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from relay.api import attachments
from relay.api.openai.schema import (
    ROLES,
    AudioPart,
    ChatBody,
    FilePart,
    ImagePart,
    MessageIn,
    Part,
    RefusalPart,
    TextPart,
)
from relay.chat.request import Attachment, Message
from relay.errors import BadRequest

_SILENT_ITEMS = {"reasoning", "item_reference", "compaction"}
"""Items of a Responses-shaped `input` that say nothing a site could read."""


def messages_of(body: ChatBody) -> tuple[Message, ...]:
    """The whole conversation. Raises BadRequest where there is nothing to say, TooLarge for a file."""
    field = "messages" if body.messages is not None else "input"
    given = body.messages if body.messages is not None else body.input
    if not given:
        raise BadRequest(
            f"{field if given is not None else 'messages'}: at least one message is needed.", param="messages"
        )
    read: list[Message] = []
    if body.instructions:
        read.append(Message("system", body.instructions))
    names: dict[str, str] = {}
    for index, message in enumerate(given):
        one = _message(message, f"{field}[{index}]", names)
        if one is not None:
            read.append(one)
    if not any(message.text.strip() or message.attachments for message in read):
        raise BadRequest(f"{field}: the messages hold no text and no file.", param=field)
    return tuple(read)


def _message(message: MessageIn, param: str, names: dict[str, str]) -> Message | None:
    """One message, or None where it says nothing. `names` remembers which call had which function's name."""
    if message.type in _SILENT_ITEMS:
        return None
    if message.type == "function_call":
        return Message("assistant", _call(message.name or "", message.arguments, message.call_id, names))
    if message.type == "function_call_output":
        text, files = _content(message.output, f"{param}.output")
        return Message("tool", text, files, name=names.get(message.call_id or "", message.name or ""))
    role = ROLES.get(message.role or "")
    if role is None:
        raise BadRequest(f"{param}.role: one of {', '.join(ROLES)} is needed.", param=f"{param}.role")
    text, files = _content(message.content, f"{param}.content")
    if role == "tool":
        return Message("tool", text, files, name=message.name or names.get(message.tool_call_id or "", ""))
    calls = [_call(one.name, one.arguments, None, names) for one in (message.function_call,) if one is not None]
    for call in message.tool_calls or ():
        name = call.function.name if call.function else call.name or ""
        arguments = call.function.arguments if call.function else call.arguments
        calls.append(_call(name, arguments, call.id, names))
    text = "\n".join(part for part in (text, *calls) if part)
    return Message(role, text, files, name=message.name or "") if text or files else None


def _call(name: str, arguments: Any, call_id: str | None, names: dict[str, str]) -> str:
    """An earlier tool call as text."""
    if call_id:
        names[call_id] = name
    written = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    return f"[called {name} with {written}]"


def _content(parts: Sequence[Part], param: str) -> tuple[str, tuple[Attachment, ...]]:
    """Text parts joined by line breaks, and the files."""
    texts: list[str] = []
    files: list[Attachment] = []
    for index, part in enumerate(parts):
        where = f"{param}[{index}]"
        match part:
            case TextPart():
                texts.append(part.text)
            case RefusalPart():
                texts.append(part.refusal)
            case ImagePart():
                files.append(_file(part.url, part.file_id, f"{where}.image_url", mime="image/*"))
            case AudioPart():
                audio = part.input_audio
                where, mime = f"{where}.input_audio.data", f"audio/{audio.format or '*'}"
                files.append(_file(audio.data, None, where, mime=mime, name=f"audio.{audio.format or 'wav'}"))
            case FilePart():
                fields = part.file or part
                files.append(_file(fields.source, fields.file_id, f"{where}.file", name=fields.filename or ""))
    return "\n".join(texts), tuple(files)


def _file(source: str | None, file_id: str | None, param: str, *, mime: str = "", name: str = "") -> Attachment:
    if source:
        return attachments.from_source(source, param=param, mime=mime, name=name)
    if file_id:
        raise BadRequest(
            f"{param}: files by id are not taken yet. Send the bytes in the message: a data URL, or file_data.",
            param=param,
        )
    raise BadRequest(f"{param}: no file in it. Send a data URL (data:<type>;base64,…).", param=param)
