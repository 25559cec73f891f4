"""The `openai` package's helpers for tools and typed answers; it validates strictly what it gets."""

from __future__ import annotations

import json
from collections.abc import Iterator

import openai
import pytest
from openai import pydantic_function_tool
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolUnionParam
from pydantic import BaseModel

from tests.clients.tap import Tap


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


class GetWeather(BaseModel):
    """The weather of a city."""

    city: str


WEATHER: list[ChatCompletionToolUnionParam] = [pydantic_function_tool(GetWeather, name="get_weather")]


def user(text: str) -> ChatCompletionMessageParam:
    """A prompt."""
    return {"role": "user", "content": text}


QUESTION = user("What is the weather in Oslo?")
INTRODUCTION = user("Jane is 54 years old.")


@pytest.fixture
def client(relay: Tap) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{relay.url}/v1", api_key="none", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


def test_a_tool_round_trip(client: openai.OpenAI) -> None:
    first = client.chat.completions.create(model="demo", messages=[QUESTION], tools=WEATHER)
    message = first.choices[0].message
    assert first.choices[0].finish_reason == "tool_calls"
    assert message.tool_calls
    [call] = message.tool_calls
    assert call.type == "function"
    name, arguments = call.function.name, call.function.arguments
    assert (name, json.loads(arguments)) == ("get_weather", {"city": "Oslo"})
    said: ChatCompletionMessageParam = {
        "role": "assistant",
        "content": message.content,
        "tool_calls": [{"id": call.id, "type": "function", "function": {"name": name, "arguments": arguments}}],
    }
    found: ChatCompletionMessageParam = {"role": "tool", "tool_call_id": call.id, "content": "It snows: minus 7."}
    second = client.chat.completions.create(model="demo", messages=[QUESTION, said, found], tools=WEATHER)
    assert second.choices[0].finish_reason == "stop"
    assert "It snows: minus 7." in (second.choices[0].message.content or "")


def test_several_calls_at_once(client: openai.OpenAI) -> None:
    asked = user("What is the weather in Oslo and Paris?")
    with client.chat.completions.stream(model="demo", messages=[asked], tools=WEATHER) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        final = stream.get_final_completion()
    assert [event.parsed_arguments for event in done] == [GetWeather(city="Oslo"), GetWeather(city="Paris")]
    calls = final.choices[0].message.tool_calls or []
    assert len({call.id for call in calls}) == 2
    assert final.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("parallel", [True, False])
def test_a_tool_that_must_be_called(client: openai.OpenAI, parallel: bool) -> None:
    completion = client.chat.completions.parse(
        model="demo",
        messages=[user("Hello!")],
        tools=[*WEATHER, pydantic_function_tool(Person, name="remember")],
        tool_choice={"type": "function", "function": {"name": "remember"}},
        parallel_tool_calls=parallel,
    )
    [call] = completion.choices[0].message.tool_calls or []
    assert call.function.name == "remember"
    assert isinstance(call.function.parsed_arguments, Person)


def test_tools_that_must_not_be_called(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="demo", messages=[QUESTION], tools=WEATHER, tool_choice="none")
    assert answer.choices[0].finish_reason == "stop"
    assert "What is the weather in Oslo?" in (answer.choices[0].message.content or "")


def test_a_typed_answer(client: openai.OpenAI) -> None:
    completion = client.chat.completions.parse(model="demo", messages=[INTRODUCTION], response_format=Person)
    assert completion.choices[0].message.parsed == Person(name="Jane", age=54)


def test_a_typed_answer_in_a_stream(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="demo", messages=[INTRODUCTION], response_format=Person) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.parsed == Person(name="Jane", age=54)


def test_any_json(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="demo", messages=[user("A joke as JSON, please.")], response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)
