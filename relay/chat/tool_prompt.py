"""Tools and the form of an answer as a prompt asks for them, for models on chat pages: those know of neither.

One form is asked for, a fence with a nonce in its info word and one JSON object per line: chat pages render Markdown
and keep a fence as it is, JSON needs no coercion, and several lines are several calls. What models write instead is
read all the same (`tool_parser`).

    ```tools                 the tools on offer, one a line: {"name", "description", "parameters"}
    ```call-7f3a             calls: {"name", "arguments"}
    ```result-7f3a           what a call brought: {"name", "id", "content"}
    ```schema                the JSON schema that an answer must fit
    Rule: …                  what this answer may or must do
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from relay.chat.request import Message
from relay.chat.tools import AnswerForm, Tool, ToolUse

_HAN = re.compile(r"[\u3400-\u9fff]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_LETTER = re.compile(r"[^\W\d_]")
_HAN_SHARE = 0.2
"""Of the letters: a Chinese word quoted in an English question is less, a Chinese question about English code more."""
_ENGLISH = {
    "offer": "You can use tools. Each line of this block is one tool, with the JSON schema of its arguments:",
    "how": "To call tools, write a code block whose info word is `call-{nonce}`, one JSON object per line, and stop "
    "after the block: the results come with the next message. For example, were there a tool {example}:",
    "again": "The tools that you were told of are still there. A block of calls now has the info word `call-{nonce}`.",
    "auto": "call tools where they help, else answer in plain text without such a block.",
    "among": "you may call {names} and no other tool, or answer in plain text without such a block.",
    "required": "you must call at least one tool; do not answer in text.",
    "named": "you must call {names}; do not answer in text.",
    "one": " Make exactly one call.",
    "at most one": " If you call, make exactly one call.",
    "many": " Several calls go into one block.",
    "or": " or ",
    "form": "Answer with one code block whose info word is `json`, and nothing before or after it. It holds one JSON "
    "object{schema}",
    "fits": " that fits this JSON schema:",
}
_CHINESE = {
    "offer": "你可以使用工具。下面代码块中每一行是一个工具，包括其参数的 JSON schema：",
    "how": "要调用工具，请写一个代码块，其语言标记为 `call-{nonce}`，每行一个 JSON 对象，写完代码块就停止："
    "结果会在下一条消息中给出。例如，假如有一个工具 {example}：",
    "again": "之前告诉你的工具仍然可用。现在调用代码块的语言标记是 `call-{nonce}`。",
    "auto": "需要时调用工具，否则直接用文字回答，不写这样的代码块。",
    "among": "可以调用 {names}（不能调用其他工具），也可以直接用文字回答，不写这样的代码块。",
    "required": "必须调用至少一个工具，不要用文字回答。",
    "named": "必须调用 {names}，不要用文字回答。",
    "one": "只调用一次。",
    "at most one": "如果调用，只调用一次。",
    "many": "多个调用写在同一个代码块里。",
    "or": " 或 ",
    "form": "请只用一个语言标记为 `json` 的代码块回答，前后不要写任何内容。其中是一个 JSON 对象{schema}",
    "fits": "，须符合以下 JSON schema：",
}


def is_chinese(text: str) -> bool:
    """Whether it was written for Chinese readers: enough of it is Han, and none of it Japanese."""
    han = len(_HAN.findall(text))
    return han > 0 and _KANA.search(text) is None and han >= _HAN_SHARE * len(_LETTER.findall(text))


def instructions(use: ToolUse, *, chinese: bool) -> str:
    """All that a model must know: the tools, how to call them, and what it may do now."""
    words = _CHINESE if chinese else _ENGLISH
    made_up = _made_up({tool.name for tool in use.tools})
    example = fence(f"call-{use.nonce}", [_json({"name": made_up, "arguments": {"cups": 2}})])
    offered = fence("tools", map(_described, use.tools))
    return "\n".join(
        [words["offer"], offered, words["how"].format(nonce=use.nonce, example=made_up), example, _rule(use, words)]
    )


def reminder(use: ToolUse, *, chinese: bool) -> str:
    """For a conversation in which the site was told the same tools before: what changes from turn to turn."""
    words = _CHINESE if chinese else _ENGLISH
    return "\n".join([words["again"].format(nonce=use.nonce), _rule(use, words)])


def _rule(use: ToolUse, words: Mapping[str, str]) -> str:
    names = words["or"].join(f"`{name}`" for name in use.names)
    if use.choice == "required":
        said = words["named"].format(names=names) if names else words["required"]
    else:
        said = words["among"].format(names=names) if names else words["auto"]
    one = words["one"] if use.choice == "required" else words["at most one"]
    return f"Rule: {said}{words['many'] if use.parallel else one}"


def _made_up(names: Collection[str]) -> str:
    """The name of a tool that there is not: a model must not take the example for a call that was made."""
    return next(
        name for number in itertools.count(1) if (name := f"make_tea{number if number > 1 else ''}") not in names
    )


def rendered(message: Message, nonce: str) -> str:
    """An assistant's message with its calls, in the form that calls are asked for."""
    calls = fence(
        f"call-{nonce}", (_json({"name": one.name, "arguments": _read(one.arguments)}) for one in message.calls)
    )
    return f"{message.text}\n\n{calls}" if message.text else calls


def result(message: Message, nonce: str) -> str:
    """A tool's message: what a call brought."""
    told = {"name": message.name, "id": message.call_id, "content": message.text}
    return fence(
        f"result-{nonce}", [_json({name: value for name, value in told.items() if value or name == "content"})]
    )


def form_instructions(form: AnswerForm, *, chinese: bool) -> str:
    """That the answer must be JSON, and which."""
    words = _CHINESE if chinese else _ENGLISH
    if form.schema is None:
        return words["form"].format(schema="。" if chinese else ".")
    return words["form"].format(schema=words["fits"]) + "\n" + fence("schema", [_json(form.schema)])


def fence(info: str, lines: Iterable[str]) -> str:
    """A fenced block, its fence longer than any run of backticks in it."""
    body = "\n".join(lines)
    longest = max((len(run) for run in re.findall(r"`{3,}", body)), default=2)
    bar = "`" * (longest + 1)
    return f"{bar}{info}\n{body}\n{bar}"


def _described(tool: Tool) -> str:
    return _json({"name": tool.name, "description": tool.description, "parameters": tool.parameters})


def _read(arguments: str) -> Any:
    """Arguments as JSON; what a client sent back that is none stays a string."""
    try:
        return json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return arguments


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
