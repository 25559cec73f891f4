"""Items of an `input`, as they are kept and listed; and the ids by which items are found again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from relay.api.openai.schema import (
    ROLES,
    AudioPart,
    FilePart,
    ImagePart,
    MessageIn,
    Part,
    RefusalPart,
    TextPart,
    ToolCallIn,
)
from relay.api.sse import json_bytes

PREFIX = {"message": "msg", "reasoning": "rs", "function_call": "fc", "function_call_output": "fco"}
_OUTPUT_ID = re.compile(r"(?:msg|rs|fc)_(?P<response>[0-9a-f]{32})(?P<index>[0-9]{1,4})")


def item_id(response: str, kind: str, index: int, *, given: bool = False) -> str:
    """The id of a response's item: it tells the response and the place. `given`: of its input, not its output."""
    return f"{PREFIX[kind]}_{response.removeprefix('resp_')}{'in' if given else ''}{index}"


def output_place(name: str) -> tuple[str, int] | None:
    """The response and the index in its output that an item's id tells; None where it tells none."""
    match = _OUTPUT_ID.fullmatch(name)
    return (f"resp_{match['response']}", int(match["index"])) if match else None


def listed(given: Sequence[MessageIn], response: str) -> list[dict[str, Any]]:
    """The items of an input as the API lists them, each with an id; those that say nothing are left out."""
    items = [item for message in given for item in _items(message)]
    return [{"id": item_id(response, item["type"], at, given=True), **item} for at, item in enumerate(items)]


def _items(message: MessageIn) -> list[dict[str, Any]]:
    """One message is one item, and one more for each call in it."""
    if message.type == "function_call":
        return [_call(message.call_id, message.name, message.arguments)]
    if message.type == "function_call_output":
        return [_result(message.call_id, message.output)]
    role = message.role or ""
    match ROLES.get(role):
        case None:
            return []
        case "tool":
            return [_result(message.tool_call_id, message.content)]
        case "assistant":
            said = [_said(part) for part in message.content]
            texts = [{"type": "message", "role": role, "status": "completed", "content": said}] if said else []
            return texts + [_chat_call(call) for call in message.tool_calls or ()]
        case _:
            content = [_part(part) for part in message.content]
            return [{"type": "message", "role": role, "status": "completed", "content": content}]


def _call(call_id: str | None, name: str | None, arguments: Any) -> dict[str, Any]:
    written = arguments if isinstance(arguments, str) else json_bytes(arguments or {}).decode()
    fields = {"call_id": call_id or "", "name": name or "", "arguments": written}
    return {"type": "function_call", **fields, "status": "completed"}


def _chat_call(call: ToolCallIn) -> dict[str, Any]:
    return _call(call.id, *((call.function or call).name, (call.function or call).arguments))


def _result(call_id: str | None, content: Sequence[Part]) -> dict[str, Any]:
    parts = [_part(part) for part in content]
    plain = len(parts) == 1 and parts[0]["type"] == "input_text"
    output = parts[0]["text"] if plain else parts or ""
    return {"type": "function_call_output", "call_id": call_id or "", "output": output, "status": "completed"}


def _said(part: Part) -> dict[str, Any]:
    """A part of an assistant's message."""
    match part:
        case TextPart():
            return {"type": "output_text", "text": part.text, "annotations": [], "logprobs": []}
        case RefusalPart():
            return {"type": "refusal", "refusal": part.refusal}
        case _:
            return _part(part)


def _part(part: Part) -> dict[str, Any]:
    match part:
        case TextPart():
            return {"type": "input_text", "text": part.text}
        case RefusalPart():
            return {"type": "input_text", "text": part.refusal}
        case ImagePart():
            return {"type": "input_image", "image_url": part.url, "file_id": part.file_id, "detail": "auto"}
        case AudioPart():
            audio = part.input_audio
            return {"type": "input_audio", "input_audio": {"data": audio.data, "format": audio.format or "wav"}}
        case FilePart():
            fields = part.file or part
            url = fields.file_url if isinstance(fields.file_url, str | None) else fields.file_url.url
            told = {"file_data": fields.file_data, "file_url": url, "file_id": fields.file_id}
            named = {**told, "filename": fields.filename}
            return {"type": "input_file", **{name: value for name, value in named.items() if value}}
