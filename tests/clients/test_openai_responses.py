"""The `openai` package over /v1/responses: tools, typed answers, and conversations that the server keeps."""

from __future__ import annotations

import json

import openai
from openai import pydantic_function_tool
from openai.types.responses import FunctionToolParam

from tests.clients.questions import INTRODUCTION, QUESTION, GetWeather, Person

WEATHER: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": pydantic_function_tool(GetWeather)["function"]["parameters"],
    "strict": True,
}


def test_a_tool_round_trip_by_the_id_of_the_response(client: openai.OpenAI) -> None:
    with client.responses.stream(model="demo", input=QUESTION, tools=[WEATHER]) as stream:
        done = [event for event in stream if event.type == "response.function_call_arguments.done"]
        first = stream.get_final_response()
    assert [json.loads(event.arguments) for event in done] == [{"city": "Oslo"}]
    [call] = [item for item in first.output if item.type == "function_call"]
    assert call.name == "get_weather"
    second = client.responses.create(
        model="demo",
        previous_response_id=first.id,
        input=[{"type": "function_call_output", "call_id": call.call_id, "output": "It snows: minus 7."}],
        tools=[WEATHER],
    )
    assert "It snows: minus 7." in second.output_text
    assert client.responses.retrieve(second.id).output_text == second.output_text


def test_reasoning(client: openai.OpenAI) -> None:
    with client.responses.stream(model="demo/thinker", input="good morning") as stream:
        pieces = [event.delta for event in stream if event.type == "response.reasoning_summary_text.delta"]
        final = stream.get_final_response()
    assert "“good morning”" in "".join(pieces)
    assert "“good morning”" in final.output_text


def test_a_typed_answer(client: openai.OpenAI) -> None:
    parsed = client.responses.parse(model="demo", input=INTRODUCTION, text_format=Person)
    assert parsed.output_parsed == Person(name="Jane", age=54)
