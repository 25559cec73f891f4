"""The demo model does what a prompt asks of it: it calls tools, and answers JSON of a given form. Pure text in and out.

It reads a prompt as any model on a chat page would, and knows these marks, all of them fences but the last:

    ```tools          what may be called, one JSON object a line: {"name", "description", "parameters"}
    ```call-<digits>  how calls are written, and what was called before
    ```result-<…>     what a call brought
    ```schema         the JSON schema that the answer must fit; the word `json` asks for any object
    Rule: …           what this answer may or must do; the last one counts

For tests of what becomes of mistakes, words of the request have it err: `fumble-once` (wrong arguments or JSON, and
right when it is told to `Write it again`), `fumble-always`; `fumble-dialect`, `fumble-bare` write calls in other forms.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from relay.demo.made import Words, value
from relay.demo.texts import is_chinese, shorten

MAX_CALLS = 3
_RESULT_CHARS = 500
_FENCE = re.compile(r"^(?P<bar>`{3,})(?P<info>[\w-]+)[ \t]*\n(?P<body>.*?)^(?P=bar)[ \t]*$", re.DOTALL | re.MULTILINE)
_RULE = re.compile(r"^Rule: (.*)$", re.MULTILINE)
_INFO = re.compile(r"`call-([0-9a-z]+)`")
_TURN = re.compile(r"^(User|Assistant|Tool result)(?: \([^\n]*?\))?: ", re.MULTILINE)
_GREETING = re.compile(r"\W*(?:hi|hello|hey|ping|你好|您好)\W*", re.IGNORECASE)
_NO_TOOLS = re.compile(
    r"\b(?:without|no|not use|don't use|do not use|do not call) (?:any )?(?:tools?|functions?)\b", re.IGNORECASE
)
_LIST = re.compile(r"\b([A-Z][\w'-]+(?:,\s*[A-Z][\w'-]+)*),?\s+(?:and|or)\s+([A-Z][\w'-]+)")
_KEYS = re.compile(r"(['\"`][\w-]+['\"`](?:[,\s]|and\b|['\"`][\w-]+['\"`])*)(?:keys|fields)\b")
_MUST = re.compile(r"\bmust call\b|必须调用")
_ONE = re.compile(r"\bexactly one\b|只调用一次")
_AGAIN = "Write it again"


@dataclass(frozen=True, slots=True)
class Request:
    """What a prompt asks for beside an answer in words."""

    nonce: str
    """Of calls; empty where none may be made."""
    tools: tuple[dict[str, Any], ...]
    rule: str
    schema: Any
    """Of the answer; None = any text, True = any JSON object."""
    said: str
    """The newest words of the user."""
    results: tuple[dict[str, Any], ...]
    """What the newest calls brought, if that is the last thing in the prompt."""
    again: bool
    """Whether it is told that the last answer was wrong."""


def understood(prompt: str, earlier: Sequence[str]) -> Request | None:
    """What is asked for; None for a prompt without any of the marks. `earlier`: the conversation's prompts so far."""
    fences = [(match["info"], match["body"]) for match in _FENCE.finditer(prompt)]
    rules, infos = _RULE.findall(prompt), _INFO.findall(prompt)
    schemas = [_json(body) for info, body in fences if info == "schema"]
    wants_json = bool(schemas) or re.search(r"`json`", prompt) is not None
    if not rules and not wants_json:
        return None
    tools = tuple(one for info, body in fences if info == "tools" for one in _lines(body)) or _remembered(earlier)
    schema = (schemas[-1] if schemas else True) if wants_json else None
    said, results = _newest(prompt)
    again = _AGAIN in said
    if again:
        before = [turn for one in (*earlier, prompt) for turn in _said(one) if _AGAIN not in turn]
        said = before[-1] if before else said
    return Request(
        infos[-1] if rules and infos else "", tools, rules[-1] if rules else "", schema, said, results, again
    )


def _remembered(earlier: Sequence[str]) -> tuple[dict[str, Any], ...]:
    """The tools of the newest earlier prompt that told of some."""
    for prompt in reversed(earlier):
        for match in _FENCE.finditer(prompt):
            if match["info"] == "tools":
                return tuple(_lines(match["body"]))
    return ()


def _said(prompt: str) -> list[str]:
    """What the user says in a prompt, turn by turn; all of it where it names no turns."""
    turns = list(_TURN.finditer(prompt))
    ends = [*(turn.start() for turn in turns), len(prompt)][1:]
    users = [prompt[turn.end() : end] for turn, end in zip(turns, ends, strict=True) if turn[1] == "User"]
    return [_bare(one) for one in users or ([] if turns else [prompt])]


def _bare(text: str) -> str:
    """Without fences, and what asks for JSON."""
    lines = _FENCE.sub("", text).splitlines()
    return "\n".join(line for line in lines if "`json`" not in line or _AGAIN in line).strip()


def _newest(prompt: str) -> tuple[str, tuple[dict[str, Any], ...]]:
    """The user's last words, and the results after them."""
    said = _said(prompt)
    turns = list(_TURN.finditer(prompt))
    users = [turn for turn in turns if turn[1] == "User"]
    if users and users[-1] is turns[-1]:
        return said[-1], ()
    after = prompt[users[-1].end() if users else 0 :]
    results = [match["body"] for match in _FENCE.finditer(after) if match["info"].startswith("result-")]
    return said[-1] if said else "", tuple(one for body in results for one in _lines(body))


def _lines(body: str) -> list[dict[str, Any]]:
    found = [_json(line) for line in body.splitlines() if line.strip()]
    return [one for one in found if isinstance(one, dict)]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def obeyed(request: Request) -> str | None:
    """The answer that does what is asked for; None where it is best given in the model's usual words."""
    calls = _calls(request)
    if calls:
        return _written(request, calls)
    if request.schema is not None:
        return _form(request)
    if request.results:
        return _told(request)
    return None


def _calls(request: Request) -> list[dict[str, Any]]:
    """The calls to make now, if any."""
    offered = {tool["name"]: tool for tool in request.tools if isinstance(tool.get("name"), str)}
    must = _MUST.search(request.rule) is not None
    named = [name for name in re.findall(r"`([^`]+)`|\"([^\"]+)\"", request.rule) for name in name if name in offered]
    if not request.nonce or not offered or (request.results and not must):
        return []
    if not must and (_GREETING.fullmatch(request.said) or _NO_TOOLS.search(request.said)):
        return []
    chosen = [offered[name] for name in named] or _mentioned(request.said, list(offered.values()))
    chosen = chosen[:1] if must and named else chosen
    made: list[dict[str, Any]] = []
    for tool in chosen or [next(iter(offered.values()))]:
        made += _arguments(tool, request.said)
    return made[: 1 if _ONE.search(request.rule) else MAX_CALLS]


def _mentioned(said: str, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tools whose whole name is in the request, else the one of which most words are."""
    text = said.casefold()
    whole = [tool for tool in tools if tool["name"].casefold() in text or _spaced(tool["name"]) in text]
    if whole:
        return whole
    words = set(re.findall(r"\w+", text))
    best = max(tools, key=lambda tool: len(words & set(_spaced(tool["name"]).split())))
    return [best] if words & set(_spaced(best["name"]).split()) else []


def _spaced(name: str) -> str:
    return re.sub(r"[_\W]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).casefold().strip()


def _arguments(tool: dict[str, Any], said: str) -> list[dict[str, Any]]:
    """A call for each of the things that the request lists (`Oslo and Paris`), else one."""
    schema = tool.get("parameters") or {"type": "object"}
    listed = _LIST.search(said)
    things = [*re.split(r",\s*", listed[1]), listed[2]] if listed else []
    texts = [said.replace(listed[0], thing) for thing in things] if listed else [said]
    return [{"name": tool["name"], "arguments": value(schema, Words(text)) or {}} for text in texts[:MAX_CALLS]]


def _errs(request: Request) -> bool:
    return "fumble-always" in request.said or ("fumble-once" in request.said and not request.again)


def _written(request: Request, calls: list[dict[str, Any]]) -> str:
    if _errs(request):
        calls = [{**call, "arguments": {"fumbled": [None]}} for call in calls]
    lines = [json.dumps(call, ensure_ascii=False) for call in calls]
    if "fumble-bare" in request.said:
        return "\n".join(lines)
    if "fumble-dialect" in request.said:
        return "<function_calls>\n" + "\n".join(map(_invoked, calls)) + "\n</function_calls>"
    bar = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`{3,}", "\n".join(lines))), 3)
    return "\n".join([f"{bar}call-{request.nonce}", *lines, bar])


def _invoked(call: dict[str, Any]) -> str:
    parts = "".join(
        f'<parameter name="{name}">{part if isinstance(part, str) else json.dumps(part)}</parameter>\n'
        for name, part in call["arguments"].items()
    )
    return f'<invoke name="{call["name"]}">\n{parts}</invoke>'


def _form(request: Request) -> str:
    """JSON that fits."""
    said = request.said
    if request.schema is True and (keys := _KEYS.search(said)):
        made: Any = value({"required": re.findall(r"[\w-]+(?=['\"`])", keys[1])}, Words(said))
    elif request.schema is True or not isinstance(request.schema, dict):
        made = {"answer": shorten(said, 100) or "demo"}
    else:
        made = value(request.schema, Words(said))
    if _errs(request):
        return '```json\n["fumbled"]\n```'
    return f"```json\n{json.dumps(made, ensure_ascii=False, indent=2)}\n```"


def _told(request: Request) -> str:
    """What the calls brought, in a sentence."""
    found = "; ".join(f"{one.get('name') or 'it'}: {one.get('content')}" for one in request.results)
    return (
        f"工具的结果是：{shorten(found, _RESULT_CHARS)}"
        if is_chinese(request.said)
        else (f"The tools say: {shorten(found, _RESULT_CHARS)}")
    )
