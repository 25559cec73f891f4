"""Pydantic AI: an agent with a tool, and outputs of a given type."""

from __future__ import annotations

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.messages import ModelResponse, ToolCallPart
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.output import OutputSpec
from pydantic_ai.providers.openai import OpenAIProvider
from target import BASE, FORECAST, INTRODUCTION, KEY, MODEL, QUESTION


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


@pytest.fixture
def model() -> OpenAIChatModel:
    return OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=BASE, api_key=KEY))


@pytest.fixture
def forecaster(model: OpenAIChatModel) -> Agent:
    agent = Agent(model)

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return FORECAST.format(city=city)

    return agent


async def test_an_agent_with_a_tool(forecaster: Agent) -> None:
    result = await forecaster.run(QUESTION)
    parts = [part for message in result.all_messages() if isinstance(message, ModelResponse) for part in message.parts]
    calls = [part for part in parts if isinstance(part, ToolCallPart)]
    assert [(call.tool_name, call.args_as_dict()) for call in calls] == [("get_weather", {"city": "Oslo"})]
    assert FORECAST.format(city="Oslo") in result.output


async def test_an_agent_with_a_tool_streams(forecaster: Agent) -> None:
    async with forecaster.run_stream(QUESTION) as result:
        text = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
    assert len(text) > 1
    assert FORECAST.format(city="Oslo") in "".join(text)


@pytest.mark.parametrize("output", [ToolOutput(Person), NativeOutput(Person)], ids=["tool", "native"])
async def test_an_output_of_a_type(model: OpenAIChatModel, output: OutputSpec[Person]) -> None:
    result = await Agent(model, output_type=output).run(INTRODUCTION)
    assert result.output == Person(name="Jane", age=54)
