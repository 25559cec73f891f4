"""The scripted model does what a prompt's frame asks for: it calls tools, and answers in JSON. Text in, text out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from relay.demo import texts
from relay.demo.frame import Asked, Offer
from relay.demo.made import fits, is_place, made
from relay.demo.schemas import strings_of
from relay.demo.words import Words, parts

_MOST_CALLS = 3
_MOST_RESULT_CHARS = 500
_MOST_PROMPT_CHARS = 300
_GREETING = re.compile(r"\W*(?:hi|hello|hey|hi there|hello there|ping|你好|您好|嗨|哈喽)\W*", re.IGNORECASE)
_NO_TOOLS = re.compile(
    r"\bwithout (?:(?:using|calling|any|the) )*(?:tools?|functions?)\b|\bno tools?\b"
    r"|\b(?:do not|don['’]t|never) (?:use|call) (?:(?:any|the) )*(?:tools?|functions?)\b|\bdo not call\b"
    r"|不要?(?:使?用|调用)(?:任何)?(?:工具|函数)",
    re.IGNORECASE,
)
_KEYS = re.compile(r"\b(?:keys?|fields?|propert(?:y|ies))\b|键|字段", re.IGNORECASE)
_SILENT = {"get", "set", "the", "of", "to", "for", "and", "do", "my", "is", "in", "on", "by", "tool", "function", "use"}
"""Words of tools' names that say nothing about what a message is after."""
_DICTATION = re.compile(r"\banswer with exactly this:[ \t]*\n+(`{3,})[^`\n]*\n", re.IGNORECASE)
_NOT_FITTING: tuple[Any, ...] = ({}, {"fumbled": True}, [], "fumbled")


@dataclass(frozen=True, slots=True)
class Call:
    """A tool and its arguments."""

    name: str
    arguments: Any


def answer(asked: Asked) -> str | None:
    """The text of an answer that obeys; None where the prompt leaves the model to its usual one."""
    fumbles = "fumble-always" in asked.words or ("fumble-once" in asked.words and not asked.again)
    if calls := _calls(asked):
        if fumbles:
            schemas = {tool.name: tool.parameters for tool in asked.tools}
            calls = [Call(call.name, _misfit(schemas[call.name])) for call in calls]
        return _written(calls, asked)
    if asked.form:
        return _fenced("json", json.dumps(_misfit(asked.schema) if fumbles else _object(asked), ensure_ascii=False))
    return _told(asked) if asked.results else None


def dictated(prompt: str) -> str | None:
    """What stands in the fence after `Answer with exactly this:`, the last if there are several; else None."""
    opened = None
    for opened in _DICTATION.finditer(prompt):  # noqa: B007
        pass
    closed = opened and re.compile(rf"^{opened[1]}[ \t]*$", re.MULTILINE).search(prompt, opened.end())
    return prompt[opened.end() : closed.start()].removesuffix("\n") or None if opened and closed else None


def _calls(asked: Asked) -> list[Call]:
    """What is called now; empty = an answer in text."""
    offered = [tool for tool in asked.tools if not asked.names or tool.name in asked.names]
    silent = asked.results or _GREETING.fullmatch(asked.words) or _NO_TOOLS.search(asked.words)
    if not offered or (silent and not asked.must):
        return []
    wanted = mentioned(offered, asked.words)
    if not wanted and (asked.must or not asked.form):
        makeable = (tool for tool in offered if fits(made(tool.parameters, Words(asked.words)), tool.parameters))
        wanted = [next(makeable, offered[0])] if asked.must else list(makeable)[:1]
    calls = [call for tool in wanted for call in _calls_of(tool, asked.words)]
    return calls[: 1 if asked.one else _MOST_CALLS]


def _calls_of(tool: Offer, message: str) -> list[Call]:
    """One call, or one for each of the places that the message names."""
    words = Words(message)
    places, together = len(words.places), words.together
    calls = [Call(tool.name, made(tool.parameters, words))]
    by_place = any(is_place(name) for name in strings_of(tool.parameters.get("required")))
    while by_place and 0 < places - len(words.places) < together and len(calls) < _MOST_CALLS:
        calls.append(Call(tool.name, made(tool.parameters, words)))
    return calls


def mentioned(offered: Sequence[Offer], message: str) -> list[Offer]:
    """The tools that a message is after, in the order in which it names them; of mere hints the best one."""
    words = Words(message)
    ranked = [(_rank(tool.name, message, words), tool) for tool in offered]
    best = max((rank for rank, _ in ranked), default=0)
    if best < 2:
        return [tool for rank, tool in ranked if rank == best][:1] if best else []

    def place(tool: Offer) -> int:
        lower = message.lower()
        found = [lower.find(word) for word in (tool.name.lower(), *_telling(tool.name))]
        return min((at for at in found if at >= 0), default=0)

    return sorted((tool for rank, tool in ranked if rank == best), key=place)


def _rank(name: str, message: str, words: Words) -> float:
    """4: the name as it is written, 3: in other case or spelled out, 2: all its words, below 1: some, 0: not at all."""
    own = rf"(?<!\w){re.escape(name)}(?!\w)"
    if re.search(rf"[`\"']{re.escape(name)}[`\"']", message) or (not name.islower() and re.search(own, message)):
        return 4
    if "_" in name and re.search(own, message):
        return 4
    spelled = rf"(?<!\w){'[ _-]?'.join(map(re.escape, parts(name)))}(?!\w)"
    if re.search(own, message, re.IGNORECASE) or (parts(name) and re.search(spelled, message, re.IGNORECASE)):
        return 3
    telling = _telling(name)
    share = sum(word in words.tokens for word in telling) / len(telling) if telling else 0
    return 2 if share == 1 else share


def _telling(name: str) -> list[str]:
    return [word for word in parts(name) if word not in _SILENT]


def _written(calls: Sequence[Call], asked: Asked) -> str:
    """Calls as they were asked for, or in another dialect where the message wants to see one."""
    if "fumble-dialect" in asked.words:
        return "<function_calls>\n" + "\n".join(map(_invoked, calls)) + "\n</function_calls>"
    objects = [{"name": call.name, "arguments": call.arguments} for call in calls]
    if "fumble-bare" in asked.words:
        return json.dumps(objects if len(objects) > 1 else objects[0], ensure_ascii=False)
    return _fenced(f"call-{asked.nonce}", "\n".join(json.dumps(one, ensure_ascii=False) for one in objects))


def _invoked(call: Call) -> str:
    """A call in Anthropic's form."""
    arguments = call.arguments if isinstance(call.arguments, dict) else {}
    parameters = [
        f'<parameter name="{name}">{value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}'
        "</parameter>"
        for name, value in arguments.items()
    ]
    return "\n".join([f'<invoke name="{call.name}">', *parameters, "</invoke>"])


def _fenced(info: str, body: str) -> str:
    longest = max((len(run) for run in re.findall(r"`{3,}", body)), default=2)
    bar = "`" * (longest + 1)
    return f"{bar}{info}\n{body}\n{bar}"


def _misfit(schema: dict[str, Any] | None) -> Any:
    """A value that breaks a schema: an object if one can, as arguments are one."""
    if schema is None:
        return []
    known = schema.get("properties")
    wrong = [{name: {"fumbled": [True]}} for name in known] if isinstance(known, dict) else []
    return next((value for value in (*_NOT_FITTING[:2], *wrong, *_NOT_FITTING[2:]) if not fits(value, schema)), [])


def _object(asked: Asked) -> Any:
    """The JSON that the answer is."""
    if asked.schema is not None:
        return made(asked.schema, Words(asked.words))
    words = Words(asked.words)
    if _KEYS.search(asked.words) and words.quoted:
        keys = list(dict.fromkeys(words.quoted))
        words.quoted = []
        return made({"type": "object", "properties": {key: {} for key in keys}, "required": keys}, words)
    return {"title": texts.title(asked.words), "prompt": texts.shorten(asked.words, _MOST_PROMPT_CHARS)}


def _told(asked: Asked) -> str:
    """A sentence that repeats what the calls brought."""
    limit = max(_MOST_RESULT_CHARS // len(asked.results), 40)
    said = "; ".join(f"{name or 'it'}: {texts.shorten(content, limit)}" for name, content in asked.results)
    return f"工具的结果是：{said}" if texts.is_chinese(asked.words) else f"The tools say: {said}"
