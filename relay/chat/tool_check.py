"""Calls and JSON answers against what was asked for, and the words that ask for them once more."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from relay.chat.events import ToolCall
from relay.chat.tool_dialects import Unreadable, decoded, dumped
from relay.chat.tools import AnswerForm, ToolUse

MAX_FAULT_CHARS = 500
_MAX_ERRORS = 100
_MAX_MATCHED_CHARS = 4096
_WILD = re.compile(r"\)[*+{?]|\(\?|\\\d")
"""A group repeated, looked around from, or referred to."""
_UNBOUNDED = re.compile(r"(?<!\\)(?:[*+]|\{\d*,\d*\})")
_FENCED = re.compile(r"\A`{3,}[^\n`]*\n(.*?)\n?`{3,}\s*\Z", re.DOTALL)
_OPENING = re.compile(r"^[ \t]{0,3}`{3,}(?:json\w*)?[ \t]*\n", re.MULTILINE | re.IGNORECASE)
_NUMBER = re.compile(r"-?\d{1,300}(?:\.\d{1,300})?(?:[eE][+-]?\d{1,3})?")


def checked(calls: Sequence[ToolCall], use: ToolUse) -> tuple[tuple[ToolCall, ...], tuple[str, ...]]:
    """The calls that may be made, and what is wrong with the others.

    A string where the schema wants another type, and which can be read as that, is taken for it; nothing else is
    mended. A schema of the client's that is none, or whose patterns could take for ever, forbids nothing.
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
        changed = _coerce(arguments, _errors(arguments, schema))
        if changed:  # what was a list in a string may hold numbers in strings
            _coerce(arguments, _errors(arguments, schema))
        if wrong := _misfit(arguments, schema):
            faults.append(f"the arguments of {call.name!r} do not fit: {wrong}")
        else:
            good.append(ToolCall(call.name, dumped(arguments)) if changed else call)
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
        return written if json.loads(written) == value else dumped(value)
    except ValueError:
        return dumped(value)


def repair_form(fault: str, form: AnswerForm) -> str:
    """The prompt of the one turn that asks for the JSON again."""
    return (
        f"Your answer cannot be used: {fault[:MAX_FAULT_CHARS]}. Write it again: one code block whose info word is "
        "`json`, holding only the JSON object, and nothing before or after it."
    )


def _misfit(value: Any, schema: Mapping[str, Any]) -> str:
    """The first thing in which a value does not fit a schema; empty where it does."""
    return next(map(_told, _errors(value, schema)), "")


def _errors(value: Any, schema: Mapping[str, Any]) -> list[ValidationError]:
    try:
        Draft202012Validator.check_schema(schema)
        if not all(map(_is_tame, _patterns(schema))):
            return []
        # An empty registry fetches nothing: a reference to another document is one that leads nowhere.
        found = _Validator(schema, registry=Registry()).iter_errors(value)
        return list(itertools.islice(found, _MAX_ERRORS))
    except (SchemaError, Unresolvable, RecursionError, re.error, TypeError, ValueError, ArithmeticError):
        return []


def _patterns(schema: Any) -> Iterator[str]:
    """Every regular expression of a schema. It may be deep, but no deeper than JSON is read."""
    if isinstance(schema, Mapping):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        if isinstance(schema.get("patternProperties"), Mapping):
            yield from schema["patternProperties"]
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from _patterns(part)


def _is_tame(pattern: str) -> bool:
    """Whether matching ends soon, whatever the text: it is the client's, and all others wait for it."""
    return len(_UNBOUNDED.findall(pattern)) <= 1 and not _WILD.search(pattern)


def _matches(validator: Any, pattern: str, text: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(text, str) and len(text) <= _MAX_MATCHED_CHARS and not re.search(pattern, text):
        yield ValidationError(f"{text!r} does not match {pattern!r}")


_Validator = validators.extend(Draft202012Validator, {"pattern": _matches})  # type: ignore[no-untyped-call]


def _told(error: ValidationError) -> str:
    where = error.json_path.removeprefix("$").removeprefix(".")
    return (f"{where}: {error.message}" if where else error.message)[:MAX_FAULT_CHARS]


def _coerce(arguments: dict[str, Any], errors: Iterable[ValidationError]) -> bool:
    """Strings become, in place, the other type that their schema wants; whether any did."""
    changed = False
    for error in _leaves(errors):
        path = list(error.absolute_path)
        if error.validator != "type" or not isinstance(error.instance, str) or not path:
            continue
        holder: Any = arguments
        for step in path[:-1]:
            holder = holder[step]
        if not isinstance(holder[path[-1]], str):
            continue  # changed by now; or the error is of a property's name
        wanted = error.validator_value
        meant = _converted(holder[path[-1]].strip(), wanted if isinstance(wanted, list) else [str(wanted)])
        if meant is not None:
            holder[path[-1]] = meant[0]
            changed = True
    return changed


def _leaves(errors: Iterable[ValidationError]) -> Iterator[ValidationError]:
    """All errors, those of the branches of `anyOf` and its like too."""
    waiting = list(errors)
    while waiting:
        error = waiting.pop()
        yield error
        waiting += error.context or ()


def _converted(text: str, kinds: Sequence[str]) -> tuple[Any] | None:
    """A string as one of the types; None where it is none. Objects and lists too: in tags all values are text."""
    if "null" in kinds and text.lower() == "null":
        return (None,)
    if "boolean" in kinds and text.lower() in ("true", "false"):
        return (text.lower() == "true",)
    if ("integer" in kinds or "number" in kinds) and _NUMBER.fullmatch(text):
        number = float(text) if set(text) & set(".eE") else int(text)
        if math.isfinite(number) and (isinstance(number, int) or number.is_integer() or "number" in kinds):
            return (int(number) if "integer" in kinds and number == int(number) else number,)
    if text.startswith(("{", "[")) and ("object" in kinds or "array" in kinds):
        try:
            value, end = decoded(text)
        except Unreadable:
            return None
        if not text[end:] and ("object" if isinstance(value, dict) else "array") in kinds:
            return (value,)
    return None
