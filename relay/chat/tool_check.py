"""Calls and JSON answers against what was asked for, and the words that ask for them once more."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from relay.chat.events import ToolCall
from relay.chat.tool_dialects import Unreadable, decoded
from relay.chat.tools import AnswerForm, ToolUse

MAX_FAULT_CHARS = 500
_FENCED = re.compile(r"\A`{3,}[^\n`]*\n(.*?)\n?`{3,}\s*\Z", re.DOTALL)
_OPENING = re.compile(r"^[ \t]{0,3}`{3,}(?:json\w*)?[ \t]*\n", re.MULTILINE | re.IGNORECASE)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")


def checked(calls: Sequence[ToolCall], use: ToolUse) -> tuple[tuple[ToolCall, ...], tuple[str, ...]]:
    """The calls that may be made, and what is wrong with the others.

    A string where the schema wants a number or a boolean is taken for it; nothing else is mended. A schema of the
    client's that is none forbids nothing.
    """
    tools = {tool.name: tool for tool in use.tools}
    allowed = use.names or tuple(tools)
    good: list[ToolCall] = []
    faults: list[str] = []
    for call in calls:
        if call.name not in allowed:
            faults.append(
                f"there is no tool {call.name[:100]!r} that may be called; these may: {', '.join(allowed)[:300]}"
            )
            continue
        schema = tools[call.name].parameters
        arguments = json.loads(call.arguments)
        coerced = _coerced(arguments, schema)
        if wrong := _misfit(coerced, schema):
            faults.append(f"the arguments of {call.name!r} do not fit: {wrong}")
        else:
            written = call.arguments if coerced == arguments else json.dumps(coerced, ensure_ascii=False)
            good.append(ToolCall(call.name, written))
    return tuple(good if use.parallel else good[:1]), tuple(faults)


def missing(calls: Sequence[ToolCall], use: ToolUse) -> str:
    """What is wrong where a call had to be made and none was; empty where nothing is."""
    if calls or use.choice != "required":
        return ""
    return f"{' or '.join(use.names) if use.names else 'a tool'} had to be called, and was not"


def repair(faults: Iterable[str], use: ToolUse) -> str:
    """The prompt of the one turn that asks for the calls again."""
    said = "; ".join(faults)[: 2 * MAX_FAULT_CHARS]
    return (
        f"Your calls cannot be made: {said}. Write it again, right this time: one code block whose info word is "
        f'`call-{use.nonce}`, one JSON object {{"name": …, "arguments": {{…}}}} per line, and nothing after it.'
    )


def json_answer(text: str, form: AnswerForm) -> tuple[str, str]:
    """The JSON in an answer, without its fence or the prose around it, and ""; or the text, and what is wrong."""
    stripped = text.strip().removeprefix("\ufeff").strip()
    fenced = _FENCED.match(stripped)
    opening = _OPENING.search(stripped)
    candidates = [fenced[1]] if fenced else [stripped]
    if opening:
        candidates.append(stripped[opening.end() :])
    if (brace := stripped.find("{")) >= 0:
        candidates.append(stripped[brace:])
    fault = ""
    for candidate in candidates:
        begun = candidate.lstrip()
        try:
            value, end = decoded(begun)
        except Unreadable as error:
            fault = fault or f"it is no JSON ({error})"
            continue
        if form.schema is None and not isinstance(value, dict):
            fault = "it is no JSON object"
            continue
        if form.schema is not None and (wrong := _misfit(value, form.schema)):
            fault = f"it does not fit the schema: {wrong}"
            continue
        return _as_written(begun[:end], value), ""
    return text, fault or "it is no JSON"


def _as_written(written: str, value: Any) -> str:
    """The model's own JSON, unless only a lenient reader understands it."""
    try:
        return written if json.loads(written) == value else json.dumps(value, ensure_ascii=False)
    except ValueError:
        return json.dumps(value, ensure_ascii=False)


def repair_form(fault: str, form: AnswerForm) -> str:
    """The prompt of the one turn that asks for the JSON again."""
    return (
        f"Your answer cannot be used: {fault[:MAX_FAULT_CHARS]}. Write it again: one code block whose info word is "
        "`json`, holding only the JSON object, and nothing before or after it."
    )


def _misfit(value: Any, schema: Mapping[str, Any]) -> str:
    """The first thing in which a value does not fit a schema; empty where it does."""
    try:
        Draft202012Validator.check_schema(schema)
        # An empty registry fetches nothing: a reference to another document is one that leads nowhere.
        found = next(iter(Draft202012Validator(schema, registry=Registry()).iter_errors(value)), None)
    except (SchemaError, Unresolvable, RecursionError, re.error, TypeError, ValueError):
        return ""
    return _told(found) if found is not None else ""


def _told(error: ValidationError) -> str:
    where = error.json_path.removeprefix("$").removeprefix(".")
    return (f"{where}: {error.message}" if where else error.message)[:MAX_FAULT_CHARS]


def _coerced(value: Any, schema: Any, depth: int = 0) -> Any:
    """Strings as numbers or booleans where the schema wants those and no string."""
    if not isinstance(schema, Mapping) or depth > 16:
        return value
    if isinstance(value, str):
        return _scalar(value, schema.get("type"))
    if isinstance(value, dict):
        fields = schema.get("properties")
        known = fields if isinstance(fields, Mapping) else {}
        return {key: _coerced(item, known.get(key), depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_coerced(item, schema.get("items"), depth + 1) for item in value]
    return value


def _scalar(value: str, kind: Any) -> Any:
    kinds = {kind} if isinstance(kind, str) else set(kind) if isinstance(kind, list) else set()
    text = value.strip()
    if "string" in kinds:
        return value
    if "boolean" in kinds and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if kinds & {"integer", "number"} and _NUMBER.fullmatch(text):
        number = float(text)
        if number.is_integer() and ("integer" in kinds or "." not in text):
            return int(number)
        return number if "number" in kinds else value
    return None if "null" in kinds and text.lower() == "null" else value
