"""The demo model calls the tools that a prompt offers, answers JSON of a form, and answers in words after results.

The prompts are those that relay makes, so both sides of the frame are tested at once.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from relay.chat.events import ToolCall
from relay.chat.prompt import prompt_of
from relay.chat.request import ChatRequest, Message, ModelChoice
from relay.chat.tool_check import checked, json_answer, repair, repair_form
from relay.chat.tool_parser import ToolParser
from relay.chat.tools import AnswerForm, Tool, ToolUse
from relay.demo.made import Words, value
from relay.demo.obedience import obeyed, understood


def tool(name: str, **fields: Any) -> Tool:
    return Tool(name, "", {"type": "object", "properties": fields, "required": list(fields)})


WEATHER = tool("get_weather", city={"type": "string"})
MAGIC = tool("magic_function", input={"type": "integer"})
SHELL = tool("shell", command={"type": "array", "items": {"type": "string"}})
NOTES = tool("write_file", path={"type": "string"}, content={"type": "string"})
CHOICE = ModelChoice("demo", "demo", "demo")


def asked(
    *messages: Message | str, tools: tuple[Tool, ...] = (WEATHER,), form: AnswerForm | None = None, told: bool = False,
    earlier: tuple[str, ...] = (), **fields: Any,
) -> tuple[str | None, str]:  # fmt: skip
    """The model's answer, and the prompt."""
    said = tuple(Message("user", one) if isinstance(one, str) else one for one in messages)
    use = ToolUse(tools, "7f3a", **fields) if tools else None
    prompt = prompt_of(ChatRequest("r", CHOICE, said, tools=use, form=form), said, told=told)
    request = understood(prompt, earlier)
    return (obeyed(request) if request is not None else None), prompt


def calls(answer: str | None, tools: tuple[Tool, ...] = (WEATHER,)) -> list[tuple[str, Any]]:
    """The calls in an answer; they all fit."""
    parser = ToolParser([one.name for one in tools])
    parser.feed(answer or "")
    parsed = parser.close()
    made, faults = checked(parsed.calls, ToolUse(tools, "7f3a"))
    assert faults == ()
    return [(one.name, json.loads(one.arguments)) for one in made]


@pytest.mark.parametrize(
    ("said", "tools", "expected"),
    [
        ("How is the weather in Oslo?", (WEATHER, MAGIC), [("get_weather", {"city": "Oslo"})]),
        ("What is the value of magic_function(3)? Use the tool.", (MAGIC,), [("magic_function", {"input": 3})]),
        ("Run `ls -l` in the shell", (WEATHER, SHELL), [("shell", {"command": ["bash", "-lc", "ls -l"]})]),
        ("How is the weather in Oslo and Paris?", (WEATHER,),
         [("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Paris"})]),
        ("What is the weather in San Francisco, CA?", (WEATHER,), [("get_weather", {"city": "San Francisco"})]),
        ("The weather in Oslo, Paris, and Rome?", (WEATHER,),
         [("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Paris"}), ("get_weather", {"city": "Rome"})]),
        ("Weather in a city called '你好' (Hello)", (WEATHER,), [("get_weather", {"city": "你好"})]),
        ('write file notes/a.md with "hi there"', (NOTES,),
         [("write_file", {"path": "notes/a.md", "content": "hi there"})]),
        ("Do something", (WEATHER,), [("get_weather", {"city": "Oslo"})]),
    ],
)  # fmt: skip
def test_it_calls(said: str, tools: tuple[Tool, ...], expected: list[tuple[str, Any]]) -> None:
    answer, _ = asked(said, tools=tools)
    assert calls(answer, tools) == expected


@pytest.mark.parametrize("said", ["hi", "Hello!", "你好", "How is the weather? Answer without tools."])
def test_it_answers_in_words_where_that_is_better(said: str) -> None:
    assert asked(said)[0] is None
    assert calls(asked(said, choice="required")[0]), "but not where it must call"


def test_the_rule_counts() -> None:
    tools = (WEATHER, MAGIC)
    answer, _ = asked("weather in Oslo", tools=tools, choice="required", names=("magic_function",))
    assert [name for name, _ in calls(answer, tools)] == ["magic_function"]
    assert len(calls(asked("weather in Oslo and Paris", parallel=False)[0])) == 1
    assert asked("weather in Oslo", choice="none")[0] is None


RESULT = (
    Message("assistant", "", calls=(ToolCall("get_weather", '{"city": "Oslo"}', "c1"),)),
    Message("tool", "rain, 9 °C", name="get_weather", call_id="c1"),
)


def test_after_results_it_answers_in_words() -> None:
    answer, first = asked("How is the weather in Oslo?", *RESULT)
    assert answer == "The tools say: get_weather: rain, 9 °C"
    again, _ = asked(*RESULT[1:], told=True, earlier=(first,))
    assert again == answer, "in a conversation that goes on too"
    more, _ = asked("How is the weather in Oslo?", *RESULT, Message("assistant", "Rain."), "and in Paris?")
    assert calls(more) == [("get_weather", {"city": "Paris"})]


def test_it_remembers_the_tools() -> None:
    _, first = asked("hi", tools=(MAGIC,))
    answer, prompt = asked("magic_function(4)?", tools=(MAGIC,), told=True, earlier=(first,))
    assert "```tools" not in prompt
    assert calls(answer, (MAGIC,)) == [("magic_function", {"input": 4})]


PERSON = AnswerForm(
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "required": ["name", "age"],
    }
)


def test_json_of_a_form() -> None:
    for tools in ((), (WEATHER,)):
        answer, _ = (
            asked("Jane is 54 years old.", tools=tools, form=PERSON, choice="none")
            if tools
            else asked("Jane is 54 years old.", tools=(), form=PERSON)
        )
        assert answer is not None
        found, fault = json_answer(answer, PERSON)
        assert (json.loads(found), fault) == ({"name": "Jane", "age": 54}, "")
    answer, _ = asked("Tell me a joke", tools=(), form=AnswerForm())
    assert json.loads(json_answer(answer or "", AnswerForm())[0]) == {"answer": "Tell me a joke"}
    answer, _ = asked("A joke as JSON with 'setup' and \"punchline\" keys", tools=(), form=AnswerForm())
    assert set(json.loads(json_answer(answer or "", AnswerForm())[0])) == {"setup", "punchline"}


@pytest.mark.parametrize("native", [True, False])
def test_mistakes_on_demand(native: bool) -> None:
    said = "weather in Oslo, fumble-once"
    wrong, first = asked(said)
    assert wrong is not None
    parser = ToolParser(["get_weather"])
    parser.feed(wrong)
    use = ToolUse((WEATHER,), "7f3a")
    _, faults = checked(parser.close().calls, use)
    assert faults
    told = Message("user", repair(faults, use))
    if native:
        right, _ = asked(told, told=True, earlier=(first,))
    else:
        right, _ = asked(said, Message("assistant", wrong), told)
    assert calls(right) == [("get_weather", {"city": "Oslo"})]
    always, first = asked("weather in Oslo, fumble-always")
    assert asked(told, told=True, earlier=(first,))[0] == always
    bad, first = asked("Jane is 54, fumble-once", tools=(), form=PERSON)
    fault = json_answer(bad or "", PERSON)[1]
    good, _ = asked(Message("user", repair_form(fault, PERSON)), tools=(), form=PERSON, earlier=(first,))
    assert json.loads(json_answer(good or "", PERSON)[0]) == {"name": "Jane", "age": 54}


@pytest.mark.parametrize("how", ["fumble-bare", "fumble-dialect"])
def test_other_forms_on_demand(how: str) -> None:
    answer, _ = asked(f"weather in Oslo {how}")
    assert "call-7f3a" not in (answer or "")
    assert calls(answer) == [("get_weather", {"city": "Oslo"})]


def test_other_prompts_are_not_its_business() -> None:
    for prompt in ("hi", "```json\n{}\n```", "Rule of thumb: call-7f3a", "User: hi"):
        assert understood(prompt, ()) is None


NUMBERS = st.builds(
    lambda kind, low, span: {"type": kind, "minimum": low, "maximum": low + span},
    st.sampled_from(["integer", "number"]), st.integers(-50, 50), st.integers(0, 50),
)  # fmt: skip
LEAVES = (
    NUMBERS
    | st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {"const": 7}, {}])
    | st.builds(lambda least, more: {"type": "string", "minLength": least, "maxLength": least + more},
                st.integers(0, 9), st.integers(0, 9))
    | st.builds(lambda options: {"enum": options}, st.lists(st.text(max_size=3) | st.integers(), min_size=1))
    | st.sampled_from(["date", "date-time", "email", "uuid"]).map(lambda name: {"type": "string", "format": name})
)  # fmt: skip


def composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = st.dictionaries(st.sampled_from(["city", "days", "command", "a b", "path"]), inner, max_size=3)
    return (
        fields.map(
            lambda made: {"type": "object", "properties": made, "required": [*made], "additionalProperties": False}
        )
        | st.builds(lambda one, least: {"type": "array", "items": one, "minItems": least}, inner, st.integers(0, 3))
        | st.builds(lambda one, two: {"anyOf": [one, two]}, inner, inner)
        | inner.map(lambda one: {"allOf": [one]})
    )


@settings(max_examples=300)
@given(st.recursive(LEAVES, composed, max_leaves=6), st.sampled_from(["", "Oslo in 3 days, `ls`", "-7.5 and 1e9 天气"]))
def test_what_is_made_fits_its_schema(schema: dict[str, Any], said: str) -> None:
    names = {"it": {"$ref": "#/$defs/it"}}
    root = {"type": "object", "properties": names, "required": ["it"], "$defs": {"it": schema}}
    made = value(root, Words(said))
    Draft202012Validator(root).validate(made)


def test_a_schema_that_goes_round_ends() -> None:
    schema = {"$defs": {"n": {"type": "object", "properties": {"next": {"$ref": "#/$defs/n"}}, "required": ["next"]}},
              "$ref": "#/$defs/n"}  # fmt: skip
    assert value(schema, Words("x"))
    odd: Any
    for odd in (
        {"$ref": "#"},
        {"$ref": "#/nowhere"},
        {"type": 7},
        {"enum": []},
        {"pattern": "("},
        True,
        False,
        None,
        [],
    ):
        value(odd, Words("x"))
