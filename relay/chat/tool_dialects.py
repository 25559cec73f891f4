"""The ways in which models write calls: a whole block of text -> calls. Pure, one pass.

What is asked for is a fence of JSON lines (`tool_prompt`); models that were trained on another form fall back to it in
long chats, so those are read as well:

    {"name": …, "arguments": {…}}, {"tool_calls": […]}, [{"function": {…}}]           JSON, in a fence or bare
    <tool_call>{…}</tool_call>, <tool_call>name<arg_key>k</arg_key><arg_value>v</arg_value></tool_call>     Qwen, GLM
    <function_calls><invoke name="…"><parameter name="…">…</parameter></invoke></function_calls>            Anthropic
    <｜DSML｜tool_calls><｜DSML｜invoke name="…">…                                                             DeepSeek
    <function=name>{…}</function>, <function=name><parameter=k>v</parameter></function>                     Llama, Qwen
    <function_call><tool>name</tool><args_json><![CDATA[{…}]]></args_json></function_call>
    [TOOL_CALLS][{…}], [TOOL_CALLS]name[ARGS]{…}                                                            Mistral

JSON is read by a decoder that knows where a value ends, never by a pattern: arguments may hold fences, tags and braces.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from relay.chat.events import ToolCall

BAR = r"[ \t]{0,3}(?P<bar>`{3,})"
PREFIX = r"(?:[｜|]{1,2}DSML[｜|]{1,2}|[A-Za-z][\w.-]*:)?"
"""What may stand before a tag's name: DeepSeek's marks, or a namespace."""
NAME = r"""["']?(?P<name>[^"'<>\s]+)["']?"""
WRAPPER = re.compile(rf"<{PREFIX}(?:tool_calls|function_calls|tool_call|function_call)>")
INVOKE = re.compile(rf"<{PREFIX}(?:invoke\s+name\s*=\s*{NAME}[^<>]*|function={NAME.replace('name>', 'function>')})\s*>")
MARK = "[TOOL_CALLS]"
_CLOSING = re.compile(rf"</{PREFIX}(?:tool_calls|function_calls|tool_call|function_call)>")
_END_OF_INVOKE = re.compile(rf"</{PREFIX}(?:invoke|function)>")
_PARAMETER = re.compile(
    rf"""<{PREFIX}parameter(?:\s+name\s*=\s*|=)["']?(?P<key>[^"'<>\s]+)["']?(?P<more>[^<>]*)>"""
    rf"""(?P<value>.*?)</{PREFIX}parameter>(?=\s*+</?{PREFIX}(?:parameter|invoke|function)\b)""",
    re.DOTALL,
)
"""Ends where another one or the end of the call follows: a value may hold the closing tag's text."""
_PAIR = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)
_NAMED = re.compile(r"<(tool|name|tool_name)>\s*(.*?)\s*</\1>", re.DOTALL)
_ARGUMENTS = re.compile(r"<(args_json|arguments|parameters|args)>\s*(.*?)\s*</\1>", re.DOTALL)
_CDATA = re.compile(r"\A<!\[CDATA\[(.*)\]\]>\Z", re.DOTALL)
_BLANK = re.compile(r"[\s,;]*")
_KEYS = ("arguments", "parameters", "input", "args", "tool_input", "params")
_MAX_DEPTH = 4
MAX_NESTED = 100
"""So deep may JSON be: what reads it afterwards goes down step by step, too."""
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[{}\[\]]|,(?=\s*+[}\]])', re.DOTALL)
_NAMES_TOOL = re.compile(r'"(?:name|tool|tool_name)"\s*:\s*"([^"\\]*)"')


@dataclass
class Block:
    """What a block of calls turned out to hold."""

    calls: list[ToolCall] = field(default_factory=list)
    fault: str = ""
    """What cannot be read of it."""
    broken: bool = False
    """Whether that is no JSON: then nobody can say whether it was to be a call."""


class Unreadable(ValueError):
    """JSON that is none, or not whole."""


def decoded(text: str, at: int = 0) -> tuple[Any, int]:
    """The JSON value that begins at `at`, and where it ends. Commas before a closing bracket are forgiven.

    Raises Unreadable, also for what JSON does not have (NaN) and what nobody could send on (brackets without end).
    """
    end = len(text)
    if text.startswith(("{", "["), at):
        # Cut out first: the decoder's errors count the lines before them, which takes long in a long text.
        text, end = without_commas(text, at)
        at = 0
    try:
        value, stop = _DECODER.raw_decode(text, at)
    except ValueError as error:
        raise Unreadable(error.msg if isinstance(error, json.JSONDecodeError) else str(error)) from None
    return value, end if at == 0 and end != len(text) else stop


def without_commas(text: str, at: int = 0) -> tuple[str, int]:
    """The object or list that begins at `at`, without commas before closing brackets, and where it ends in `text`.

    Raises Unreadable.
    """
    kept: list[str] = []
    begin, depth = at, 0
    for token in _TOKEN.finditer(text, at):
        sign = token[0][0]
        if sign == ",":
            kept.append(text[begin : token.start()])
            begin = token.end()
        elif sign in "{[":
            depth += 1
            if depth > MAX_NESTED:
                raise Unreadable("it is nested too deep")
        elif sign in "}]":
            depth -= 1
            if depth == 0:
                return "".join([*kept, text[begin : token.end()]]), token.end()
    raise Unreadable("it ends too early")


def dumped(value: Any) -> str:
    """JSON that is readable in any script; half characters stay escaped, or it could not be sent."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text


def _finite(literal: str) -> float:
    value = float(literal)
    if math.isinf(value):
        raise ValueError(f"{literal[:20]} is too large")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(strict=False, parse_float=_finite, parse_constant=_no_constant)


def calls_of(value: Any) -> list[ToolCall] | None:
    """The calls that a JSON value is, in any of the usual shapes; None where it is none."""
    if isinstance(value, list):
        parts = [calls_of(one) for one in value]
        return [call for part in parts for call in part or ()] if parts and None not in parts else None
    if not isinstance(value, dict):
        return None
    for key in ("tool_calls", "calls", "function_calls"):
        if isinstance(value.get(key), list):
            return calls_of(value[key])
    inner = value.get("function")
    if isinstance(inner, dict):
        value = inner
    if "description" in value:
        return None  # what is told of a tool, told again
    name = value.get("name") or value.get("tool") or value.get("tool_name") or inner
    if not isinstance(name, str) or not name:
        return None
    given = [value[key] for key in _KEYS if key in value]
    if not given and set(value) - {"name", "tool", "tool_name", "id", "type", "index"}:
        return None
    arguments = _object(given[0]) if given else {}
    return [ToolCall(name, dumped(arguments))] if arguments is not None else None


def _object(given: Any) -> dict[str, Any] | None:
    """Arguments as an object, also where they were written as a string of JSON."""
    if isinstance(given, str):
        try:
            given, _end = decoded(given.strip() or "{}")
        except Unreadable:
            return None
    if given is None:
        return {}
    return given if isinstance(given, dict) else None


def read_fence(text: str, at: int, bar: str) -> tuple[Block, int]:
    """The JSON values of a fence whose lines begin at `at`, and where it ends; its closing line may be missing."""
    block = Block()
    while True:
        at = _skip(text, at)
        if at >= len(text):
            return block, at
        if text.startswith(bar, at):
            end = text.find("\n", at)
            return block, len(text) if end < 0 else end
        try:
            value, end = decoded(text, at)
        except Unreadable as error:
            block.fault, block.broken = f"a block of calls holds what is no JSON: {error}", True
            return block, len(text)
        found = calls_of(value)
        if found is None:
            block.fault = 'a line of a block of calls is not of the form {"name": …, "arguments": {…}}'
            return block, len(text)
        block.calls += found
        at = end


def read_mark(text: str, at: int) -> tuple[Block, int]:
    """Mistral's: after the mark."""
    block = Block()
    at = _skip(text, at)
    named = re.compile(r"([\w.-]+)\s*(?:\[ARGS\]|\[CALL_ID\][\w-]*\[ARGS\])").match(text, at)
    try:
        if named:
            value, end = decoded(text, _skip(text, named.end()))
            found = calls_of({"name": named[1], "arguments": value})
        else:
            value, end = decoded(text, at)
            found = calls_of(value)
    except Unreadable as error:
        return Block(fault=f"{MARK} is followed by what is no JSON: {error}"), len(text)
    if found is None:
        return Block(fault=f"{MARK} is followed by what is no call"), len(text)
    block.calls += found
    return block, end


def read_tags(text: str, at: int, depth: int = 0) -> tuple[Block, int]:
    """A wrapper with what is in it, or one `invoke` or `function` by itself."""
    wrapper = WRAPPER.match(text, at)
    if wrapper is None:
        return _read_invoke(text, at)
    if depth > _MAX_DEPTH:
        return Block(fault="calls within calls within calls"), len(text)
    block = Block()
    at = _skip(text, wrapper.end())
    while at < len(text):
        if closing := _CLOSING.match(text, at):
            return block, closing.end()
        inner, at = _read_inner(text, at, depth)
        block.calls += inner.calls
        block.fault = block.fault or inner.fault
        if inner.fault:
            return block, len(text)
        at = _skip(text, at)
    return block, at


def _read_inner(text: str, at: int, depth: int) -> tuple[Block, int]:
    """One thing inside a wrapper."""
    if WRAPPER.match(text, at):
        return read_tags(text, at, depth + 1)
    if INVOKE.match(text, at):
        return _read_invoke(text, at)
    closing = _CLOSING.search(text, at)
    if text[at] in "{[":
        try:
            value, end = decoded(text, at)
        except Unreadable as error:
            return Block(fault=f"a call holds what is no JSON: {error}"), len(text)
        found = calls_of(value)
        return (Block(found), end) if found is not None else (Block(fault="a call has no name"), len(text))
    if closing is None:
        return Block(fault="the answer ends within a call"), len(text)
    body = text[at : closing.start()]
    name, arguments = _NAMED.search(body), _ARGUMENTS.search(body)
    if name:
        given = _object(_value(arguments[2])) if arguments else {}
        fault = "" if given is not None else f"the arguments of {name[2]!r} are no JSON object"
        return Block([ToolCall(name[2], dumped(given))] if given is not None else [], fault), closing.start()
    pairs = {key.strip(): _value(value) for key, value in _PAIR.findall(body)}
    called = body.partition("<arg_key>")[0].strip()
    if not called or len(called.split()) != 1:
        return Block(fault="a call has no name"), len(text)
    return Block([ToolCall(called, dumped(pairs))]), closing.start()


def _read_invoke(text: str, at: int) -> tuple[Block, int]:
    opening = INVOKE.match(text, at)
    if opening is None:
        return Block(fault="a call has no name"), len(text)
    name = opening["name"] or opening["function"]
    begin = _skip(text, opening.end())
    if text.startswith("{", begin):
        try:
            value, end = decoded(text, begin)
        except Unreadable as error:
            return Block(fault=f"the arguments of {name!r} are no JSON: {error}"), len(text)
        closing = _END_OF_INVOKE.match(text, _skip(text, end))
        return Block([ToolCall(name, dumped(value))]), closing.end() if closing else end
    arguments: dict[str, Any] = {}
    while parameter := _PARAMETER.match(text, begin):
        raw = parameter["value"]
        typed = re.search(r"string\s*=\s*[\"']false", parameter["more"]) is not None
        arguments[parameter["key"]] = _typed(raw) if typed else _value(raw)
        begin = _skip(text, parameter.end())
    closing = _END_OF_INVOKE.match(text, begin)
    if closing is None:
        return Block(fault=f"the answer ends within a call of {name!r}"), len(text)
    return Block([ToolCall(name, dumped(arguments))]), closing.end()


def _value(raw: str) -> str:
    """A tag's text: without CDATA, and the line breaks that only set it apart. What it means, the tool's schema tells:
    a file's text may look like JSON."""
    cdata = _CDATA.match(raw.strip())
    if cdata:
        return cdata[1]
    return raw[1:-1] if raw.startswith("\n") and raw.endswith("\n") and len(raw) > 1 else raw


def _typed(raw: str) -> Any:
    """A tag's text that is said to be JSON."""
    text = _value(raw).strip()
    try:
        value, end = decoded(text)
    except Unreadable:
        return text
    return text if text[end:] else value


def _skip(text: str, at: int) -> int:
    """Past blanks, and the commas that some put between calls."""
    match = _BLANK.match(text, at)
    assert match is not None
    return match.end()


def known(block: Block, names: Collection[str]) -> bool:
    """Whether it holds calls, all of tools that there are."""
    return bool(block.calls) and all(call.name in names for call in block.calls)


def meant(text: str, names: Collection[str]) -> bool:
    """Whether JSON that cannot be read was to call a tool."""
    return any(name[1] in names for name in _NAMES_TOOL.finditer(text))
