"""The `anthropic` package: a tool loop, thinking, a stream, counts."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import pytest
from anthropic.types import MessageParam, ToolParam

from tests.clients.questions import QUESTION, GetWeather
from tests.clients.tap import Tap

WEATHER: ToolParam = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": GetWeather.model_json_schema(),
}
ASKED: MessageParam = {"role": "user", "content": QUESTION}


@pytest.fixture
def claude(relay: Tap) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=relay.url, api_key="none", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


def test_a_tool_loop(claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(model="demo", max_tokens=1000, messages=[ASKED], tools=[WEATHER]) as stream:
        first = stream.get_final_message()
    assert first.stop_reason == "tool_use"
    [use] = [block for block in first.content if block.type == "tool_use"]
    assert (use.name, use.input) == ("get_weather", {"city": "Oslo"})
    found: MessageParam = {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "It snows: minus 7."}],
    }
    said: MessageParam = {"role": "assistant", "content": first.content}
    second = claude.messages.create(model="demo", max_tokens=1000, messages=[ASKED, said, found], tools=[WEATHER])
    assert second.stop_reason == "end_turn"
    [answer] = [block.text for block in second.content if block.type == "text"]
    assert "It snows: minus 7." in answer


def test_thinking(claude: anthropic.Anthropic) -> None:
    asked: MessageParam = {"role": "user", "content": "good morning"}
    with claude.messages.stream(model="demo/thinker", max_tokens=1000, messages=[asked]) as stream:
        message = stream.get_final_message()
    [thought] = [block.thinking for block in message.content if block.type == "thinking"]
    [text] = [block.text for block in message.content if block.type == "text"]
    assert "“good morning”" in thought
    assert "“good morning”" in text


def test_counts(claude: anthropic.Anthropic) -> None:
    alone = claude.messages.count_tokens(model="demo", messages=[ASKED]).input_tokens
    assert 0 < alone < claude.messages.count_tokens(model="demo", messages=[ASKED], tools=[WEATHER]).input_tokens
