"""What a prompt asks for besides its words: tools, calls, results, an answer's form. Text in, plain data out.

A client that has tools writes them into the prompt, since a chat page takes only text. The sentences around are not
looked at, only this frame:

    ```tools                 the tools on offer, one JSON object a line: {"name", "description", "parameters"}
    ```call-7f3a             how a call is written: {"name", "arguments"}; the info word is named in backticks too
    ```result-7f3a           what a call brought: {"name", "id", "content"}
    ```schema                the JSON schema that an answer must fit; without it `json` alone asks for any JSON object
    Rule: …                  what this answer may or must do

In a conversation that goes on, what a prompt leaves out is remembered from the earlier ones.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

AGAIN = "Write it again"
"""Words of a prompt that wants the last answer put right."""

_OPENING = re.compile(r"(?:^|: )(`{3,})(tools|schema|(?:call|result)-[0-9a-f]+)[ \t]*$")
_CLOSING = re.compile(r"`{3,}[ \t]*")
_RULE = re.compile(r"^Rule: .*(?:call|调用).*$", re.MULTILINE)
_MUST = re.compile(r"\bmust\b|必须")
_ONE = re.compile(r"exactly one|\bone call\b|只调用一次|一次调用")
_MARKED = re.compile(r"[`\"]([^`\"\n]+)[`\"]")
_CALL_WORD = re.compile(r"`call-([0-9a-f]+)`")
_JSON_WORD = re.compile(r"`json`")
_JSON_OBJECT = re.compile(r"JSON\s+(?:object|对象)")
_LABEL = re.compile(r"(?:\A|\n\n)(User|Assistant|Tool result)(?: \([^()\n]*\))?: ")
_ASIDE = re.compile(r"<(system-reminder|environment_(?:context|details)|user_instructions)>")
_MOST_BRACES = 50


@dataclass(frozen=True, slots=True)
class Offer:
    """A tool on offer; `parameters` is the JSON schema of an object."""

    name: str
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a framed prompt wants."""

    words: str
    """The newest user message, without what a client's program put into it."""
    tools: tuple[Offer, ...] = ()
    nonce: str = ""
    """Of the info word of a block of calls; empty = no call can be written."""
    must: bool = False
    names: tuple[str, ...] = ()
    """Only these may be called; empty = all."""
    one: bool = False
    """At most one call."""
    results: tuple[tuple[str, str], ...] = ()
    """(tool, content) of the results that came after the newest user message."""
    form: bool = False
    """The answer is to be JSON."""
    schema: dict[str, Any] | None = None
    """What the JSON must fit; None = any object."""
    again: bool = False
    """The answer before was found wrong."""


@dataclass(frozen=True, slots=True)
class _Fence:
    info: str
    lines: tuple[str, ...]
    start: int
    """Where its opening bar stands in the text."""


def read(prompt: str, earlier: Sequence[str] = ()) -> Asked | None:
    """What a prompt asks for; None where it has no frame. `earlier` are the conversation's prompts, oldest first."""
    fences = _fences(prompt)
    rule = _last(_RULE.finditer(prompt))
    body, form = _without_form(prompt, fences, rule.end() if rule else 0)
    messages = _messages(body)
    users = [at for at, (role, text) in enumerate(messages) if role == "User" and text]
    again = bool(users) and AGAIN in messages[users[-1]][1]
    if again and len(users) == 1:
        return _repaired(prompt, earlier)
    newest = users[-2 if again else -1] if users else -1
    results = () if again else tuple(_results(text for _, text in messages[newest + 1 :]))
    nonce = _nonce(prompt, rule.start() if rule else len(prompt)) if rule else ""
    if not (nonce or form or results):
        return None
    words = messages[newest][1] if users else _remembered_words(earlier)
    asked = Asked(words, results=results, form=form, schema=_schema(fences, prompt) if form else None, again=again)
    if not rule or not nonce:
        return asked
    tools = next((found for fences_of in _each(fences, earlier) if (found := _offers(fences_of))), ())
    said = rule[0]
    names = tuple(tool.name for tool in tools if tool.name in _MARKED.findall(said))
    must, one = _MUST.search(said) is not None, _ONE.search(said) is not None
    return replace(asked, tools=tools, nonce=nonce, must=must, names=names, one=one)


def words_of(prompt: str) -> str:
    """What the user wrote of a prompt: all of it where there is no frame."""
    asked = read(prompt)
    return prompt if asked is None else asked.words


def _each(fences: list[_Fence], earlier: Sequence[str]) -> Iterable[list[_Fence]]:
    yield fences
    for prompt in reversed(earlier):
        yield _fences(prompt)


def _repaired(prompt: str, earlier: Sequence[str]) -> Asked | None:
    """What was asked before the answer that was found wrong; the info word may be a new one."""
    for at in range(len(earlier) - 1, -1, -1):
        if AGAIN not in earlier[at]:
            before = read(earlier[at], earlier[:at])
            return before and replace(before, nonce=_nonce(prompt, len(prompt)) or before.nonce, again=True)
    return None


def _remembered_words(earlier: Sequence[str]) -> str:
    return next((said for prompt in reversed(earlier) if AGAIN not in prompt and (said := words_of(prompt))), "")


def _fences(text: str) -> list[_Fence]:
    """The frame's fences, in order. Others are none of its business, and one that is not closed is none. Linear."""
    lines = text.split("\n")
    closings: dict[str, list[int]] = defaultdict(list)
    for number, line in enumerate(lines):
        if _CLOSING.fullmatch(line):
            closings[line.strip()].append(number)
    found: list[_Fence] = []
    offset, done = 0, -1
    for number, line in enumerate(lines):
        opened = _OPENING.search(line) if number > done else None
        if opened:
            ends = closings[opened[1]]
            if (at := bisect_right(ends, number)) < len(ends):
                done = ends[at]
                found.append(_Fence(opened[2], tuple(lines[number + 1 : done]), offset + opened.start(1)))
        offset += len(line) + 1
    return found


def _offers(fences: list[_Fence]) -> tuple[Offer, ...]:
    offered = [fence for fence in fences if fence.info == "tools"]
    objects = [_object(line) for line in offered[-1].lines] if offered else []
    return tuple(
        Offer(one["name"], {"type": "object", **(given if isinstance(given := one.get("parameters"), dict) else {})})
        for one in objects
        if isinstance(one.get("name"), str) and one["name"]
    )


def _results(texts: Iterable[str]) -> Iterable[tuple[str, str]]:
    for text in texts:
        for fence in _fences(text):
            told = _object("\n".join(fence.lines)) if fence.info.startswith("result-") else {}
            if "content" in told:
                content = told["content"]
                written = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
                yield str(told.get("name") or ""), written


def _nonce(prompt: str, before: int) -> str:
    """Of the last info word that the prompt names before there, else anywhere."""
    named = _last(_CALL_WORD.finditer(prompt, 0, before)) or _last(_CALL_WORD.finditer(prompt))
    return named[1] if named else ""


def _without_form(prompt: str, fences: list[_Fence], start: int) -> tuple[str, bool]:
    """The messages from `start` on without the words that ask for JSON, and whether there were any."""
    asked = [fence for fence in fences if fence.info == "schema" and fence.start >= start]
    body = prompt[start : asked[-1].start if asked else len(prompt)].rstrip()
    head, _, tail = body.rpartition("\n\n")
    if _JSON_WORD.search(tail) and (asked or _JSON_OBJECT.search(tail)) and AGAIN not in tail:
        return head or ("" if start else tail), True
    return body, bool(asked)


def _schema(fences: list[_Fence], prompt: str) -> dict[str, Any] | None:
    """Of the fence, else one that stands anywhere in the prompt as JSON: some clients write it there."""
    asked = [fence for fence in fences if fence.info == "schema"]
    if asked:
        return _object("\n".join(asked[-1].lines))
    decoder, at = json.JSONDecoder(), prompt.find("{")
    for _ in range(_MOST_BRACES):
        if at < 0:
            break
        try:
            value, end = decoder.raw_decode(prompt, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            if isinstance(value.get("properties"), dict):
                return dict(value)
        at = prompt.find("{", end)
    return None


def _messages(body: str) -> list[tuple[str, str]]:
    """(label, text) of each; all of it is the user's where nothing is labelled."""
    labels = list(_LABEL.finditer(body))
    if not labels:
        return [("User", _plain(body))]
    ends = [label.start() for label in labels[1:]] + [len(body)]
    cut = [(label[1], body[label.end() : end]) for label, end in zip(labels, ends, strict=True)]
    return [(role, _plain(text) if role == "User" else text) for role, text in cut]


def _plain(text: str) -> str:
    """Without asides such as `<system-reminder>…</system-reminder>`, which programs put into a user's message."""
    kept: list[str] = []
    unclosed: set[str] = set()
    at = 0
    while opened := _ASIDE.search(text, at):
        tag = opened[1]
        end = -1 if tag in unclosed else text.find(f"</{tag}>", opened.end())
        if end < 0:
            unclosed.add(tag)
            kept.append(text[at : opened.end()])
            at = opened.end()
        else:
            kept.append(text[at : opened.start()])
            at = end + len(tag) + 3
    return "".join([*kept, text[at:]]).strip()


def _object(text: str) -> dict[str, Any]:
    """A JSON object; an empty one where it is none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _last(matches: Iterable[re.Match[str]]) -> re.Match[str] | None:
    found = None
    for found in matches:  # noqa: B007
        pass
    return found
