"""What clients write of tools and of the answer's form, in the words of three APIs, as `ToolUse` and `AnswerForm`.

OpenAI chat: `{"type": "function", "function": {"name", "description", "parameters"}}`; Responses: the same without the
inner `function`; Anthropic: `{"name", "description", "input_schema"}`.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from relay.chat.request import Message
from relay.chat.tools import AnswerForm, Tool, ToolUse
from relay.errors import BadRequest

MAX_TOOLS = 512
MAX_NAME_CHARS = 256
_NONCE_BYTES = 2
_MAX_KIND_CHARS = 40
Choice = Literal["auto", "required", "none"]
_CHOICES: dict[str, Choice] = {"auto": "auto", "none": "none", "required": "required", "any": "required"}


def tool_use(
    offered: Sequence[Any] | None,
    choice: Any,
    messages: Iterable[Message],
    *,
    parallel: bool,
    fields: tuple[str, str] = ("tools", "tool_choice"),
) -> tuple[ToolUse | None, tuple[str, ...]]:
    """The tools that may be called, and the kinds that were left out (`tools[web_search]`).

    None where there are no tools and no earlier calls: the prompt is then as the client wrote it. Only functions can
    be called through a prompt: what a client's own service would run (web search, namespaces of tools) is left out.
    Raises BadRequest.
    """
    field, chosen = fields
    tools: list[Tool] = []
    skipped: list[str] = []
    if len(offered or ()) > MAX_TOOLS:
        raise BadRequest(f"{field}: at most {MAX_TOOLS} tools can be offered.", param=field)
    for index, one in enumerate(offered or ()):
        tool = _tool(one, f"{field}[{index}]")
        if isinstance(tool, Tool):
            tools.append(tool)
        else:
            skipped.append(left_out(field, tool))
    mode, names, parallel = _choice(choice, parallel, chosen)
    known = {tool.name for tool in tools}
    if unknown := [name for name in names if name not in known]:
        raise BadRequest(f"{chosen}: there is no function {unknown[0][:100]!r} among the {field}.", param=chosen)
    if mode == "required" and not tools:
        raise BadRequest(f"{chosen}: a call is required, but there are no functions to call.", param=chosen)
    if not tools and not any(message.calls or message.role == "tool" for message in messages):
        return None, tuple(skipped)
    nonce = secrets.token_hex(_NONCE_BYTES)
    return ToolUse(tuple(tools), nonce, mode if tools else "none", names, parallel), tuple(dict.fromkeys(skipped))


def left_out(field: str, kind: str) -> str:
    """What a tool that is left out is called in `x-relay-ignored`: `tools[web_search]`. A header takes no more."""
    return f"{field}[{re.sub(r'[^A-Za-z0-9_.:-]', '?', kind[:_MAX_KIND_CHARS])}]"


def _tool(one: Any, param: str) -> Tool | str:
    """A function, or the type of what is none."""
    if not isinstance(one, dict):
        raise BadRequest(f"{param}: a tool is an object.", param=param)
    kind = one.get("type") or "function"
    inner = one.get("function")
    if kind not in ("function", "custom") or (kind == "custom" and "input_schema" not in one):
        return str(kind)
    given: Mapping[str, Any] = inner if isinstance(inner, dict) else one
    name, description = given.get("name"), given.get("description")
    if not isinstance(name, str) or not name.strip() or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise BadRequest(f"{param}: a function needs a name.", param=f"{param}.name")
    field = "input_schema" if "parameters" not in given and "input_schema" in given else "parameters"
    schema = given.get(field)
    if schema is not None and not isinstance(schema, dict):
        raise BadRequest(f"{param}: {field} is a JSON schema, an object.", param=f"{param}.{field}")
    return Tool(name, description if isinstance(description, str) else "", schema or {})


def _choice(choice: Any, parallel: bool, param: str) -> tuple[Choice, tuple[str, ...], bool]:
    """Mode, names, and whether several calls may come. Raises BadRequest."""
    if choice is None:
        return "auto", (), parallel
    if isinstance(choice, str):
        if choice in _CHOICES:
            return _CHOICES[choice], (), parallel
        raise BadRequest(f"{param}: one of auto, none, required, or a function by name is needed.", param=param)
    if not isinstance(choice, dict):
        raise BadRequest(f"{param}: a word or an object is needed.", param=param)
    if choice.get("disable_parallel_tool_use") is True:
        parallel = False
    kind = choice.get("type")
    if kind == "allowed_tools":
        inner = choice.get("allowed_tools")
        allowed = inner if isinstance(inner, dict) else choice
        names = tuple(filter(None, map(_name, allowed.get("tools") or ())))
        return _CHOICES.get(str(allowed.get("mode") or "auto"), "auto"), names, parallel
    if kind in _CHOICES:
        return _CHOICES[kind], (), parallel
    name = _name(choice)
    if not name:
        raise BadRequest(f"{param}: it names no function.", param=param)
    return "required", (name,), parallel


def _name(choice: Any) -> str:
    """The function that a choice, or a part of one, names."""
    if isinstance(choice, str):
        return choice
    inner = choice.get("function") if isinstance(choice, dict) else None
    name = (inner if isinstance(inner, dict) else choice).get("name") if isinstance(choice, dict) else None
    return name if isinstance(name, str) else ""


def answer_form(given: Any, *, param: str) -> AnswerForm | None:
    """`response_format` of a chat, `text.format` of a response, `output_format` of a message. Raises BadRequest."""
    if given is None:
        return None
    kind = given.get("type") if isinstance(given, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return AnswerForm()
    if kind == "json_schema":
        inner = given.get("json_schema")
        where = inner if isinstance(inner, dict) else given
        schema, name = where.get("schema"), where.get("name")
        if schema is not None and not isinstance(schema, dict):
            raise BadRequest(f"{param}: the schema is an object.", param=f"{param}.json_schema.schema")
        return AnswerForm(schema, name if isinstance(name, str) else "")
    raise BadRequest(f"{param}: one of the types text, json_object, json_schema is needed.", param=f"{param}.type")
