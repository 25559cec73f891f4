"""Calls as models write them, recorded or in their manner: a name, the answer, and the calls in it."""

from __future__ import annotations

import json
from typing import Any

from relay.chat.tool_prompt import fence

NAMES = ("get_weather", "shell", "mcp__files__read")
OSLO = ("get_weather", {"city": "Oslo"})
PARIS = ("get_weather", {"city": "Paris", "days": 2})
CLOSING = ("shell", {"command": "grep '</parameter>' x.xml"})
LIST = ("shell", {"command": ["ls", "-l"], "env": {"A": "1"}})
CODE = ("shell", {"command": ["bash", "-lc", 'cat <<X\n```py\nprint("</invoke> {[")\n```\nX'], "timeout": None})
LIST_AS_TEXT = ("shell", {"command": '["ls", "-l"]', "env": '{"A": "1"}'})
"""In tags all values are text; what they mean, the tool's schema tells later."""
B = "｜"
SPACE = "ant" + "ml:"


def line(call: tuple[str, Any], **more: Any) -> str:
    return json.dumps({"name": call[0], "arguments": call[1], **more}, ensure_ascii=False)


def block(*lines: str, info: str = "call-7f3a", end: str = "\n```") -> str:
    return "\n".join([f"```{info}", *lines]) + end


def invoke(call: tuple[str, Any], tag: str = "") -> str:
    """Anthropic's form; `tag` stands before each name."""
    values = [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in call[1].items()]
    inside = "".join(f'<{tag}parameter name="{key}">{value}</{tag}parameter>\n' for key, value in values)
    return f'<{tag}invoke name="{call[0]}">\n{inside}</{tag}invoke>'


def wrapped(inside: str, name: str, tag: str = "") -> str:
    return f"<{tag}{name}>\n{inside}\n</{tag}{name}>"


def dsml(bars: str, call: tuple[str, Any]) -> str:
    tag = f"{bars}DSML{bars}"
    inside = "".join(
        f'<{tag}parameter name="{key}" string="{"true" if isinstance(value, str) else "false"}">'
        f"{value if isinstance(value, str) else json.dumps(value)}</{tag}parameter>\n"
        for key, value in call[1].items()
    )
    return f'<{tag}invoke name="{call[0]}">\n{inside}</{tag}invoke>'


OPENAI = json.dumps({"id": "1", "type": "function", "function": {"name": OSLO[0], "arguments": json.dumps(OSLO[1])}})
CDATA = (
    '<function_call>\n<tool>get_weather</tool>\n<args_json><![CDATA[{"city": "Oslo"}]]></args_json>\n</function_call>'
)
GLM = "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Oslo</arg_value>\n</tool_call>"
QWEN = "<function=get_weather>\n<parameter=city>\nOslo\n</parameter>\n</function>"
LLAMA = '<function=get_weather>{"city": "Oslo"}</function>'
CALLS: tuple[tuple[str, str, list[tuple[str, Any]]], ...] = (
    ("asked for", block(line(OSLO)), [OSLO]),
    ("two lines", block(line(OSLO), line(PARIS)), [OSLO, PARIS]),
    ("text after it", block(line(OSLO)) + "\nIt rains, 9 °C.", [OSLO]),
    ("two fences", block(line(OSLO)) + "\n\n" + block(line(PARIS)), [OSLO, PARIS]),
    ("longer bars", f"````call-7f3a\n{line(OSLO)}\n````", [OSLO]),
    ("no closing line", block(line(OSLO), end=""), [OSLO]),
    ("an older nonce", block(line(OSLO), info="call-0001"), [OSLO]),
    ("on the first line", f"```call-7f3a {line(OSLO)}\n```", [OSLO]),
    ("then a made-up result", block(line(OSLO)) + "\n" + block('{"content": "5"}', info="result-7f3a"), [OSLO]),
    ("trailing commas, two lines", block(*['{"name":"get_weather","arguments":{"city":"Oslo",},},'] * 2), [OSLO, OSLO]),
    ("half a character", block('{"name":"shell","arguments":{"a":"\\ud800"}}'), [("shell", {"a": "\ud800"})]),
    ("blanks behind the info word", block(line(OSLO), info="call-7f3a  "), [OSLO]),
    ("indented", f"  ```call-7f3a\n  {line(OSLO)}\n  ```", [OSLO]),
    ("pretty", block(json.dumps({"name": OSLO[0], "arguments": OSLO[1]}, indent=2)), [OSLO]),
    ("an array", block(f"[{line(OSLO)}, {line(PARIS)}]"), [OSLO, PARIS]),
    ("commas between", block(line(OSLO) + ",", line(PARIS) + ","), [OSLO, PARIS]),
    ("trailing commas", block('{"name":"get_weather","arguments":{"city":"Oslo",},}'), [OSLO]),
    ("arguments as text", block(line(("get_weather", '{"city": "Oslo"}'))), [OSLO]),
    ("no arguments", block('{"name":"get_weather"}'), [("get_weather", {})]),
    ("null arguments", block('{"name":"get_weather","arguments":null}'), [("get_weather", {})]),
    ("an id", block(line(OSLO, id="call_1")), [OSLO]),
    ("a fence inside", fence("call-7f3a", [line(CODE)]), [CODE]),
    ("a fence inside, short bars", block(line(CODE)), [CODE]),
    ("line breaks in strings", block('{"name":"shell","arguments":{"command":"a\n```\nb"}}'),
     [("shell", {"command": "a\n```\nb"})]),
    ("tool_json", block('{"tool":"get_weather","parameters":{"city":"Oslo"}}', info="tool_json"), [OSLO]),
    ("tool_call fence", block(line(OSLO), info="tool_call"), [OSLO]),
    ("json fence", block(line(OSLO), info="json"), [OSLO]),
    ("JSON fence", block(line(OSLO), info="JSON"), [OSLO]),
    ("json fence, pretty", block(json.dumps({"name": OSLO[0], "input": OSLO[1]}, indent=2), info="json"), [OSLO]),
    ("json fence, OpenAI", block(f'{{"tool_calls": [{OPENAI}]}}', info="json"), [OSLO]),
    ("json fence, unclosed", block(line(OSLO), info="json", end=""), [OSLO]),
    ("json fence, a fence inside", block(line(CODE), info="json"), [CODE]),
    ("fence without a word", block(line(OSLO), info=""), [OSLO]),
    ("xml fence", block(wrapped(line(OSLO), "tool_call"), info="xml"), [OSLO]),
    ("bare JSON", line(OSLO), [OSLO]),
    ("bare JSON, blanks", f"\n\n {line(OSLO)}\n", [OSLO]),
    ("bare list", f"[{line(OSLO)},{line(PARIS)}]", [OSLO, PARIS]),
    ("bare tool_calls", '{"tool_calls": [{"name": "get_weather", "input": {"city": "Oslo"}}]}', [OSLO]),
    ("bare function", '{"function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}', [OSLO]),
    ("bare type", '{"type": "function", "name": "get_weather", "parameters": {"city": "Oslo"}}', [OSLO]),
    ("bare, function by name", '{"function": "get_weather", "arguments": {"city": "Oslo"}}', [OSLO]),
    ("bare lines", f"{line(OSLO)}\n{line(PARIS)}", [OSLO, PARIS]),
    ("bare, arguments first", '{"arguments": {"city": "Oslo"}, "name": "get_weather"}', [OSLO]),
    ("tool_call", wrapped(line(OSLO), "tool_call"), [OSLO]),
    ("tool_calls in a row", wrapped(line(OSLO), "tool_call") + "\n" + wrapped(line(PARIS), "tool_call"), [OSLO, PARIS]),
    ("tool_calls around", wrapped(wrapped(line(OSLO), "tool_call"), "tool_calls"), [OSLO]),
    ("tool_call, code", wrapped(line(CODE), "tool_call"), [CODE]),
    ("tool_call, unclosed", f"<tool_call>{line(OSLO)}", [OSLO]),
    ("GLM", GLM, [OSLO]),
    ("GLM, what looks like JSON", GLM.replace("Oslo", '{"a": [1]}'), [("get_weather", {"city": '{"a": [1]}'})]),
    ("GLM, nothing given", "<tool_call>get_weather\n</tool_call>", [("get_weather", {})]),
    ("Qwen", wrapped(QWEN, "tool_call"), [OSLO]),
    ("Qwen, bare", QWEN, [OSLO]),
    ("Llama", LLAMA, [OSLO]),
    ("Llama, two", LLAMA + LLAMA, [OSLO, OSLO]),
    ("Anthropic", wrapped(invoke(OSLO), "function_calls"), [OSLO]),
    ("Anthropic, two", wrapped(invoke(OSLO) + "\n" + invoke(LIST), "function_calls"), [OSLO, LIST_AS_TEXT]),
    ("Anthropic, a namespace", wrapped(invoke(OSLO, SPACE), "function_calls", SPACE), [OSLO]),
    ("Anthropic, no wrapper", invoke(OSLO), [OSLO]),
    ("Anthropic, JSON inside", f'<invoke name="shell">{json.dumps(LIST[1])}</invoke>', [LIST]),
    ("Anthropic, a closing tag in a value", invoke(CLOSING), [CLOSING]),
    ("DSML", wrapped(dsml(B, OSLO), "tool_calls", f"{B}DSML{B}"), [OSLO]),
    ("DSML, two bars", wrapped(dsml(B * 2, LIST), "tool_calls", f"{B * 2}DSML{B * 2}"), [LIST]),
    ("DSML, plain bars", wrapped(dsml("|", OSLO), "function_calls", "|DSML|"), [OSLO]),
    ("DSML, no wrapper", dsml(B, OSLO), [OSLO]),
    ("CDATA", wrapped(CDATA, "function_calls"), [OSLO]),
    ("CDATA alone", CDATA, [OSLO]),
    ("Mistral", f"[TOOL_CALLS] [{line(OSLO)}]", [OSLO]),
    ("Mistral, by name", '[TOOL_CALLS]get_weather[ARGS]{"city": "Oslo"}', [OSLO]),
    ("a long name", block(line(("mcp__files__read", {}))), [("mcp__files__read", {})]),
)  # fmt: skip

TEXTS = (
    'It rains. In code:\n\n```json\n{"name": "no_tool", "arguments": {}}\n```\nand `<tool_call>` is a tag.',
    '```json\n{"city": "Oslo"}\n```',
    '```json\n{"name": "get_weather", "description": "Now", "parameters": {"type": "object"}}\n```',
    '```json\n{"name": "get_weather", "version": 1}',
    "```xml\n<note",
    '{"city": "Oslo"}',
    '{"name": "Jane", "age": 54}',
    "[1, 2]",
    'Call <invoke name="unknown"> and <function=other>{"a": 1}</function>.',
    "a < b <tool_call and <tool_call> then nothing",
    "<tool_call> is how it begins",
    "<function_calls> are explained below",
    "```py\nprint('<tool_call>')\n```\n\n```\n$ ls\n```\n",
    "```py\ndef f():\n    return 1",
    "````md\n```call\nx\n```\n````\nafter",
    "[TOOL_CALLS] is a mark; [TOOL",
    "``` ``` ```",
    "not at the start of a line: ```call-7f3a\nx",
    "<",
    "`",
    "   \n\n  ",
    "ends with blanks  \n\n",
    '```json\n{"broken": \n```\nand on',
    "[link](https://example.org) and {curly} text",
)
"""What is no call, whatever it looks like."""

CUT = (
    block('{"name":"get_weather","arguments":{"city":"Os', end=""),
    f"<tool_call>{line(OSLO)[:-6]}",
    invoke(OSLO)[:-20],
    block(line(OSLO), info="json")[:-8],
    block(line(OSLO)[:-1], info="json"),
    "```call-7f3a",
    "```call-7",
    "<tool_call>",
    '<invoke name="get_wea',
    block('{"name": "shell", "arguments": {"a": NaN}}'),
    block('{"name": "shell", "arguments": {"a": 1e999}}'),
    block("[" * 500 + "]" * 500),
    block('{"name": "shell", "arguments": {"a": ' + "[" * 500 + "]" * 500 + "}}"),
    block("get_weather(city=Oslo)"),
    block('{"city": "Oslo"}'),
    block(),
)
"""What was meant to be a call, and cannot be read."""
