"""What a prompt says of tools and of the answer's form."""

from __future__ import annotations

import json
import re

import pytest

from relay.chat.events import ToolCall
from relay.chat.prompt import prompt_of
from relay.chat.request import ChatRequest, Message, ModelChoice
from relay.chat.tool_prompt import fence, instructions, is_chinese, reminder, rendered, result
from relay.chat.tools import AnswerForm, Tool, ToolUse

TOOL = Tool(
    "get_weather", "The weather, e.g. ```rain```", {"type": "object", "properties": {"城市": {"type": "string"}}}
)
CHOICE = ModelChoice("demo", "demo", "demo")


def use(**fields: object) -> ToolUse:
    return ToolUse((TOOL, Tool("ping")), "7f3a", **fields)  # type: ignore[arg-type]


def request(*messages: Message, **fields: object) -> ChatRequest:
    return ChatRequest("r", CHOICE, messages, **fields)  # type: ignore[arg-type]


def fenced(text: str, info: str) -> list[object]:
    """The JSON lines of the fence with that info word."""
    found = re.search(rf"^(`{{3,}}){info}\n(.*?)\n\1$", text, re.DOTALL | re.MULTILINE)
    assert found, text
    return [json.loads(one) for one in found[2].splitlines()]


@pytest.mark.parametrize("chinese", [False, True])
def test_every_tool_with_its_whole_schema(chinese: bool) -> None:
    said = instructions(use(), chinese=chinese)
    assert fenced(said, "tools") == [
        {"name": "get_weather", "description": TOOL.description, "parameters": TOOL.parameters},
        {"name": "ping", "description": "", "parameters": {}},
    ]
    [example] = fenced(said, "call-7f3a")
    assert isinstance(example, dict)
    assert example["name"] not in ("get_weather", "ping"), "the example's tool is made up"
    assert said.count("\nRule: ") == 1


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "or answer|else answer"),
        ({"choice": "required"}, "must call at least one"),
        ({"choice": "required", "names": ("ping",)}, "must call `ping`"),
        ({"names": ("ping", "get_weather")}, "`ping` or `get_weather` and no other"),
        ({"parallel": False}, "If you call, make exactly one call"),
        ({"parallel": False, "choice": "required"}, r"text\. Make exactly one call"),
    ],
)
def test_the_rule(fields: dict[str, object], says: str) -> None:
    for said in (instructions(use(**fields), chinese=False), reminder(use(**fields), chinese=False)):
        [rule] = re.findall(r"^Rule: (.*)$", said, re.MULTILINE)
        assert re.search(says, rule), rule
        assert "call-7f3a" in said
    assert "tools\n" not in reminder(use(), chinese=False)


def test_the_example_is_made_up_whatever_the_tools_are() -> None:
    said = instructions(ToolUse((Tool("make_tea"), Tool("make_tea2")), "7f3a"), chinese=False)
    [example] = fenced(said, "call-7f3a")
    assert example == {"name": "make_tea3", "arguments": {"cups": 2}}
    assert "a tool make_tea3:" in said


@pytest.mark.parametrize(
    ("text", "chinese"),
    [
        ("天气？", True),
        ("帮我看看 get_weather_forecast 怎么用", True),
        ("What does 你好 mean?", False),
        ("東京の天気を教えてください", False),
        ("How is it?", False),
        ("42", False),
        ("", False),
    ],
)
def test_who_is_told_in_chinese(text: str, chinese: bool) -> None:
    assert is_chinese(text) is chinese


def test_calls_and_results_stand_in_the_form_that_is_asked_for() -> None:
    calls = (ToolCall("get_weather", '{"城市": "奥斯陆"}', "call_1"), ToolCall("ping", "", "call_2"))
    said = rendered(Message("assistant", "I look.", calls=calls), "7f3a")
    assert said.startswith("I look.\n\n```call-7f3a\n")
    assert fenced(said, "call-7f3a") == [
        {"name": "get_weather", "arguments": {"城市": "奥斯陆"}},
        {"name": "ping", "arguments": {}},
    ]
    told = result(Message("tool", "```\nrain\n```", name="get_weather", call_id="call_1"), "7f3a")
    assert fenced(told, "result-7f3a") == [{"name": "get_weather", "id": "call_1", "content": "```\nrain\n```"}]
    assert fenced(rendered(Message("assistant", "", calls=(ToolCall("f", "no JSON"),)), "0"), "call-0") == [
        {"name": "f", "arguments": "no JSON"}
    ]


def test_a_fence_is_longer_than_what_it_holds() -> None:
    assert fence("x", ["```"]) == "````x\n```\n````"
    assert fence("x", ["`````"]).startswith("``````x")


def test_without_tools_and_form_the_prompt_is_the_message() -> None:
    assert prompt_of(request(Message("user", " hi\n")), (Message("user", " hi\n"),)) == " hi\n"


def test_the_whole_prompt() -> None:
    messages = (
        Message("system", "Be brief."),
        Message("user", "How is it?"),
        Message("assistant", "", calls=(ToolCall("ping", "{}", "c"),)),
        Message("tool", "pong", name="ping", call_id="c"),
    )
    form = AnswerForm({"type": "object"}, "answer")
    asked = request(*messages, tools=use(), form=form)
    said = prompt_of(asked, messages)
    places = [
        said.index(part) for part in ("Be brief.", "```tools", "Rule: ", "User: How is it?", "```result-", "```schema")
    ]
    assert places == sorted(places)
    assert said.rindex("```call-7f3a") > said.index("User: ")
    again = prompt_of(asked, messages[3:], told=True)
    assert "```tools" not in again
    assert "Rule: " in again
    none = prompt_of(request(*messages, tools=use(choice="none")), messages)
    assert "```tools" not in none
    assert "```result-7f3a" in none, "earlier calls are shown all the same"
    chinese = prompt_of(request(Message("user", "天气？"), tools=use()), (Message("user", "天气？"),))
    assert "你可以使用工具" in chinese
