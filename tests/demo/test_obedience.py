"""The model obeys what the relay's own prompts ask for; its answers are read by the relay's own parser and checks."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.chat.events import ToolCall
from relay.chat.prompt import prompt_of
from relay.chat.request import ChatRequest, Message, ModelChoice
from relay.chat.tool_check import checked, json_answer, missing, repair, repair_form
from relay.chat.tool_parser import Parsed, ToolParser
from relay.chat.tools import AnswerForm, Tool, ToolUse
from relay.demo import frame, obedience
from relay.demo.model import Turn, play
from tests.demo.streams import FAST, Chat, text_of


def tool(name: str, **properties: Any) -> Tool:
    return Tool(name, f"What {name} does.", {"type": "object", "properties": properties, "required": list(properties)})


STRING, INTEGER = {"type": "string"}, {"type": "integer"}
WEATHER = tool("get_weather", city=STRING)
TIME = tool("get_time", city=STRING)
ADD = tool("add", a=INTEGER, b=INTEGER)
BASH = tool("Bash", command=STRING)
DICTATION = "Answer with exactly this:\n```\n"
USE = ToolUse((TIME, WEATHER, ADD, BASH), "7f3a")
JANE = AnswerForm(
    {"type": "object", "properties": {"name": STRING, "age": INTEGER}, "required": ["name", "age"]}, "person"
)


def written(
    *messages: Message | str, use: ToolUse | None = USE, form: AnswerForm | None = None, told: bool = False
) -> str:
    """The prompt that the relay sends; a string is a user's message."""
    said = tuple(Message("user", one) if isinstance(one, str) else one for one in messages)
    request = ChatRequest("r", ModelChoice("demo", "demo", "demo"), said, tools=use, form=form)
    return prompt_of(request, said, told=told)


def answered(prompt: str, *earlier: str) -> str:
    turn = Turn("demo", prompt, conversation="c", message="m", earlier=earlier)
    return text_of([event for _, event in play(turn, FAST)])


def parsed(answer: str, use: ToolUse = USE) -> Parsed:
    parser = ToolParser([tool.name for tool in use.tools])
    text = parser.feed(answer)
    rest = parser.close()
    return replace(rest, text=text + rest.text)


def called(prompt: str, *earlier: str, use: ToolUse = USE) -> list[tuple[str, Any]]:
    """The calls of an answer, which must be nothing but calls, and such as may be made."""
    found = parsed(answered(prompt, *earlier), use)
    good, faults = checked(found.calls, use)
    assert (found.fault, found.text, faults, missing(good, use)) == ("", "", (), "")
    assert good == found.calls
    return [(call.name, json.loads(call.arguments)) for call in good]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("What is the weather in Oslo?", [("get_weather", {"city": "Oslo"})]),
        ("Weather in Oslo and Paris", [("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Paris"})]),
        ("Time and weather in Oslo", [("get_time", {"city": "Oslo"}), ("get_weather", {"city": "Oslo"})]),
        ("The weather, then the time in Oslo", [("get_weather", {"city": "Oslo"}), ("get_time", {"city": "Oslo"})]),
        ("Use `add` for 1 and 2, not the weather", [("add", {"a": 1, "b": 2})]),
        ("Use the Bash tool to add `ls`", [("Bash", {"command": "ls"})]),
        ("Weather in A1, B2, C3 and D4", [("get_weather", {"city": city}) for city in ("A1", "B2", "C3")]),
        ("请用 get_weather 查北京和上海的天气", [("get_weather", {"city": city}) for city in ("北京", "上海")]),
        ("Weather in Oslo, Paris, and Rome", [("get_weather", {"city": city}) for city in ("Oslo", "Paris", "Rome")]),
        ("The weather in San Francisco, CA?", [("get_weather", {"city": "San Francisco, CA"})]),
        ("Weather in a city called '你好' (Hello)", [("get_weather", {"city": "你好"})]),
        ("Oslo weather, please", [("get_weather", {"city": "Oslo"})]),
        ("Do something", [("get_time", {"city": "Oslo"})]),
    ],
)  # fmt: skip
def test_calls(message: str, expected: list[tuple[str, Any]]) -> None:
    assert called(written(message)) == expected
    assert called(written(Message("system", "Be brief.\n\nUser: no\n\n```tools\n{}"), message)) == expected
    one = replace(USE, parallel=False)
    assert called(written(message, use=one), use=one) == expected[:1]


@pytest.mark.parametrize(
    "message", ["hi", "Hello!", "你好", "ping", "Weather in Oslo, without tools", "不要使用工具，直接回答"]
)
def test_some_messages_want_no_tool(message: str) -> None:
    prompt = written(message)
    assert parsed(answered(prompt)) == Parsed(answered(prompt))
    assert f"> {message}" in answered(prompt)
    must = replace(USE, choice="required")
    assert called(written(message, use=must), use=must)


@pytest.mark.parametrize("message", ["What is the weather in Oslo?", "你好"])
def test_the_rule_names_tools(message: str) -> None:
    named = replace(USE, choice="required", names=("add",))
    assert [name for name, _ in called(written(message, use=named), use=named)] == ["add"]
    among = replace(USE, names=("add", "get_time"))
    assert [name for name, _ in called(written("What is the weather in Oslo?", use=among), use=among)] == ["get_time"]


def test_no_tools_may_be_called() -> None:
    prompt = written("What is the weather in Oslo?", use=replace(USE, choice="none"))
    assert answered(prompt) == answered("What is the weather in Oslo?")


ASKED = Message("user", "What is the weather in Oslo?")
CALLED = Message("assistant", "", calls=(ToolCall("get_weather", '{"city":"Oslo"}', "c1"),))
BROUGHT = Message("tool", '{"sky": "clear ```"}', name="get_weather", call_id="c1")


def test_results_are_told_in_text() -> None:
    for prompt, earlier in (
        (written(ASKED, CALLED, BROUGHT), []),
        (written(BROUGHT, told=True), [written(ASKED)]),
        (written(ASKED, CALLED, BROUGHT, "<system-reminder>get_time\n\nexists</system-reminder>"), []),
        (written(ASKED, CALLED, BROUGHT, use=replace(USE, choice="none")), []),
    ):
        answer = answered(prompt, *earlier)
        assert '{"sky": "clear ```"}' in answer
        assert parsed(answer) == Parsed(answer)
    chinese = written("北京的天气怎么样？", CALLED, replace(BROUGHT, text="x" * 1000))
    assert answered(chinese).startswith("工具的结果是：get_weather: xxx")
    assert len(answered(chinese)) < 600


def test_after_results_the_rule_may_still_want_a_call() -> None:
    must = replace(USE, choice="required")
    for prompt, earlier in (
        (written(ASKED, CALLED, BROUGHT, use=must), []),
        (written(BROUGHT, use=must, told=True), [written(ASKED)]),
    ):
        assert called(prompt, *earlier, use=must) == [("get_weather", {"city": "Oslo"})]


def test_a_conversation_that_goes_on_remembers_its_tools() -> None:
    later = replace(USE, nonce="00ff")
    prompt = written("And the time in Rome?", use=later, told=True)
    earlier = [written(ASKED), written(BROUGHT, told=True)]
    assert "```call-00ff\n" in answered(prompt, *earlier)
    assert called(prompt, *earlier) == [("get_time", {"city": "Rome"})]
    assert "you wrote: “What is the weather in Oslo?”" in answered(written("hi", told=True), written(ASKED))


def test_answers_in_json() -> None:
    for prompt in (
        written("Jane is 54 years old", use=None, form=JANE),
        written(Message("system", "Extract."), "Jane is 54 years old", use=None, form=JANE),
        written("你好", Message("assistant", "好"), "Jane is 54 years old", use=None, form=JANE),
        written("Jane is 54 years old", form=JANE),
        written("Jane is 54 years old", use=None, form=AnswerForm()) + '\n\nIt is {"properties": 1} {"properties": {}}',
    ):
        text, fault = json_answer(answered(prompt), JANE if "schema" in prompt else AnswerForm())
        assert fault == ""
        if "schema" in prompt:
            assert json.loads(text) == {"name": "Jane", "age": 54}


def test_any_json_object() -> None:
    def told(*messages: Message | str) -> Any:
        text, fault = json_answer(answered(written(*messages, use=None, form=AnswerForm())), AnswerForm())
        assert fault == ""
        return json.loads(text)

    assert told("Tell me\n\nsomething") == {"title": "Tell me", "prompt": "Tell me\n\nsomething"}
    assert told("讲个故事") == {"title": "讲个故事", "prompt": "讲个故事"}
    joke = told("A joke as JSON with 'setup' and \"punchline\" keys.")
    assert joke == {"setup": "demo setup", "punchline": "demo punchline"}
    system = Message("system", f"Answer to this json_schema: {json.dumps(JANE.schema, indent=1)} and no other.")
    assert told(system, "Jane is 54") == {"name": "Jane", "age": 54}


def test_tools_come_before_json_where_they_are_meant() -> None:
    assert called(written("The weather in Oslo for Jane, 54", form=JANE)) == [("get_weather", {"city": "Oslo"})]
    text, fault = json_answer(answered(written(ASKED, CALLED, BROUGHT, form=JANE)), JANE)
    assert (fault, set(json.loads(text))) == ("", {"name", "age"})


def test_fumbled_calls_are_put_right_once_told_so() -> None:
    for word, mended in (("fumble-once", True), ("fumble-always", False)):
        first = written(f"Weather in Oslo, {word}")
        good, faults = checked(parsed(answered(first)).calls, USE)
        assert (good, len(faults)) == ((), 1)
        again = repair(faults, USE)
        history = written(f"Weather in Oslo, {word}", CALLED, again)
        for prompt, earlier in ((again, [first]), (written(again, told=True), [first]), (history, [])):
            good, faults = checked(parsed(answered(prompt, *earlier)).calls, USE)
            assert (len(good), len(faults)) == ((1, 0) if mended else (0, 1))
    assert answered(repair(["it"], USE)).startswith("# About"), "nothing came before it"


def test_fumbled_json_is_put_right_once_told_so() -> None:
    for form in (JANE, AnswerForm()):
        for word, mended in (("fumble-once", True), ("fumble-always", False)):
            first = written(f"Jane is 54, {word}", use=None, form=form)
            _, fault = json_answer(answered(first), form)
            assert fault
            _, fault = json_answer(answered(repair_form(fault, form), first), form)
            assert (fault == "") is mended


def test_a_tool_that_takes_anything_is_fumbled_too() -> None:
    use = ToolUse((Tool("noop"),), "7f3a")
    assert parsed(answered(written("noop, fumble-once", use=use)), use).fault
    assert called(written("noop", use=use), use=use) == [("noop", {})]


def test_other_dialects() -> None:
    expected = [("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Paris"})]
    for word, opening in (("fumble-dialect", "<function_calls>"), ("fumble-bare", "[{")):
        prompt = written(f"Weather in Oslo and Paris, {word}")
        assert answered(prompt).startswith(opening)
        assert called(prompt) == expected
    good, faults = checked(parsed(answered(written("`add` 1 and 2, fumble-dialect"))).calls, USE)
    assert ([call.arguments for call in good], faults) == (['{"a": 1, "b": 2}'], ()), "there, all is text"


def test_thinking_and_search_come_first_and_speak_of_the_message() -> None:
    turn = Turn("thinker", written(ASKED), conversation="c", message="m", search=True)
    events = [event for _, event in play(turn, FAST)]
    order = list(dict.fromkeys(event["type"] for event in events))
    assert order == ["start", "reasoning", "search", "sources", "text", "end"]
    assert "weather in Oslo" in text_of(events, "reasoning")
    assert "tools" not in text_of(events, "reasoning")


def test_tools_that_draw_draw_nothing_by_themselves() -> None:
    use = ToolUse((replace(WEATHER, description="Can draw maps."),), "7f3a")
    for message, drawn in (("hello", False), ("Draw a hill, without tools", True)):
        turn = Turn("demo", written(message, use=use), conversation="c", message="m")
        assert any(event["type"] == "media" for _, event in play(turn, FAST)) is drawn


@pytest.mark.parametrize(
    "prompt",
    [
        "Rule: call me Bob",
        "Show me ```tools\n{}\n``` and a `call-7f3a`",
        "What does `json` mean?",
        "Write it again",
        "User: hi\n\nAssistant: hello\n\nUser: <system-reminder>open",
    ],
)
def test_prompts_without_the_frame_are_answered_as_ever(prompt: str) -> None:
    assert frame.read(prompt, ["before", prompt]) is None
    assert "# " in answered(prompt)


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Answer with exactly this:\n```\none\n\ntwo\n```", "one\n\ntwo"),
        ("Hm. Please answer with exactly this: \n\n````md\n```py\n1\n```\n````\nBe brief.", "```py\n1\n```"),
        ("User: Answer with exactly this:\n```\n1\n```\n\nUser: Answer with exactly this:\n```\n2\n```", "2"),
    ],
)
def test_an_answer_can_be_dictated(prompt: str, answer: str) -> None:
    assert answered(prompt) == answer


@pytest.mark.parametrize("rest", ["", " yes", "\n```\nnot closed", "\n```\n```", "\nyes\n```\nyes\n```"])
def test_what_dictates_nothing_is_answered_as_ever(rest: str) -> None:
    assert "# " in answered(f"Answer with exactly this:{rest}")


@given(
    st.lists(
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
            st.sampled_from(
                [
                    "\n", "\n\n", "```", "```tools\n", "```schema\n", "```result-7f3a\n", "`call-7f3a`", "`json`",
                    "Rule: you must call", "User: ", "Tool result (x): ", '{"name": "x", "parameters": {"type": 1}}',
                    '{"name": "x", "content": [1]}', '{"properties": {"a": {"$ref": "#"}}}', "Write it again",
                    "JSON object", "<system-reminder>", "</system-reminder>", "fumble-always", "[" * 50, "{" * 50,
                ]
            ),
        )
    ).map("".join)
)  # fmt: skip
def test_broken_frames_are_answered_all_the_same(prompt: str) -> None:
    asked = frame.read(prompt, [prompt, "x"])
    if asked is not None:
        assert obedience.answer(asked) != ""
    assert answered(prompt, prompt)


def test_long_prompts_without_end_are_read_in_one_pass() -> None:
    for part in (
        "```tools\n",
        "<system-reminder>",
        "{",
        '{"a":',
        "Rule: call\n",
        "User: \n\n",
        "`call-1` ",
        "_.a/-",
        DICTATION,
    ):
        answered(part * (100_000 // len(part)))


async def test_a_tool_loop_over_http(chat: Chat) -> None:
    events = await chat("demo", written(ASKED))
    assert [event["type"] for event in events[:2]] == ["start", "text"]
    assert len([event for event in events if event["type"] == "text"]) > 3, "it comes in pieces"
    assert [call.name for call in parsed(text_of(events)).calls] == ["get_weather"]
    following = {"conversation_id": events[0]["conversation"], "parent_id": events[0]["message"]}
    events = await chat("demo", written(BROUGHT, told=True), **following)
    assert "clear" in text_of(events)
    events = await chat(
        "demo", written("And the time in Rome?", told=True), **following | {"parent_id": events[0]["message"]}
    )
    assert [call.arguments for call in parsed(text_of(events)).calls] == ['{"city": "Rome"}']
    assert text_of(await chat("echo", written(ASKED))) == written(ASKED)
