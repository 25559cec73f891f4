"""Messages of a request body -> messages of a chat: text and attachments."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from relay.api import attachments
from relay.api.openai.schema import (
    ROLES,
    SPEAKING,
    AudioPart,
    ChatBody,
    FilePart,
    ImagePart,
    MessageIn,
    Part,
    RefusalPart,
    TextPart,
)
from relay.chat.events import ToolCall
from relay.chat.request import Attachment, Message
from relay.errors import BadRequest


def messages_of(body: ChatBody) -> tuple[Message, ...]:
    """The whole conversation, whose files may be still to be brought.

    Raises BadRequest where there is nothing to say, TooLarge for a file.
    """
    field = "messages" if body.messages is not None else "input"
    given = body.messages if body.messages is not None else body.input
    if not given:
        raise BadRequest(
            f"{field if given is not None else 'messages'}: at least one message is needed.", param="messages"
        )
    return read_messages(given, field, body.instructions)


def read_messages(
    given: Sequence[MessageIn], field: str, instructions: str | None, before: Sequence[MessageIn] = ()
) -> tuple[Message, ...]:
    """The messages of a body's `field`, after its instructions and what was said `before`. Raises as above."""
    read = [Message("system", instructions)] if instructions else []
    names: dict[str, str] = {}
    for index, message in enumerate([*before, *given], -len(before)):
        one = _message(message, f"{field}[{index}]" if index >= 0 else "previous_response_id", names)
        if one is not None and message.type == "function_call" and read and read[-1].role == "assistant":
            # Responses list an answer's calls after its text, each by itself; one answer they are all the same.
            read[-1] = replace(read[-1], calls=(*read[-1].calls, *one.calls))
        elif one is not None:
            read.append(one)
    if not any(message.text.strip() or message.attachments or message.calls for message in read):
        raise BadRequest(f"{field}: the messages hold no text and no file.", param=field)
    return tuple(read)


def _message(message: MessageIn, param: str, names: dict[str, str]) -> Message | None:
    """One message, or None where it says nothing. `names` remembers which call had which function's name."""
    if message.type == "item_reference" or (message.type not in SPEAKING and message.role is None):
        return None
    if message.type == "function_call":
        return Message("assistant", "", calls=(_call(message.name, message.arguments, message.call_id, names),))
    if message.type == "function_call_output":
        text, files = _content(message.output, f"{param}.output")
        name = names.get(message.call_id or "", message.name or "")
        return Message("tool", text, files, name=name, call_id=message.call_id or "")
    role = ROLES.get(message.role or "")
    if role is None:
        raise BadRequest(f"{param}.role: one of {', '.join(ROLES)} is needed.", param=f"{param}.role")
    text, files = _content(message.content, f"{param}.content")
    if role == "tool":
        name = message.name or names.get(message.tool_call_id or "", "")
        return Message("tool", text, files, name=name, call_id=message.tool_call_id or "")
    calls = [_call(one.name, one.arguments, None, names) for one in (message.function_call,) if one is not None]
    for call in message.tool_calls or ():
        name = call.function.name if call.function else call.name or ""
        arguments = call.function.arguments if call.function else call.arguments
        calls.append(_call(name, arguments, call.id, names))
    said = Message(role, text, files, name=message.name or "", calls=tuple(calls))
    return said if text or files or calls else None


def _call(name: str | None, arguments: Any, call_id: str | None, names: dict[str, str]) -> ToolCall:
    """An earlier tool call."""
    if call_id:
        names[call_id] = name or ""
    written = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    return ToolCall(name or "", written, call_id or "")


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
        return attachments.Pending(name, mime, b"", file_id=file_id, param=param)
    raise BadRequest(
        f"{param}: no file in it. Send an address, a data URL (data:<type>;base64,…) or a file_id.", param=param
    )
