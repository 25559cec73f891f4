"""LiteLLM: chat, streams and tools."""

from __future__ import annotations

import json
from typing import Any

import litellm
from target import BASE, FORECAST, KEY, MODEL, QUESTION

ASK: dict[str, Any] = {"model": f"openai/{MODEL}", "api_base": BASE, "api_key": KEY}
USER = {"role": "user", "content": QUESTION}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def test_a_whole_answer() -> None:
    answer = litellm.completion(messages=[USER], **ASK)
    assert QUESTION in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


async def test_a_stream() -> None:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = [chunk async for chunk in await litellm.acompletion(messages=[USER], **options, **ASK)]
    built = litellm.stream_chunk_builder(chunks, messages=[USER])
    assert len(chunks) > 5
    assert QUESTION in built.choices[0].message.content
    assert built.choices[0].finish_reason == "stop"
    assert built.usage.completion_tokens > 0


def test_reasoning() -> None:
    chunks = list(litellm.completion(messages=[USER], stream=True, **{**ASK, "model": "openai/demo/thinker"}))
    built = litellm.stream_chunk_builder(chunks, messages=[USER])
    assert QUESTION in built.choices[0].message.reasoning_content
    assert QUESTION in built.choices[0].message.content


def test_a_tool_round_trip() -> None:
    chunks = list(litellm.completion(messages=[USER], tools=[WEATHER], stream=True, **ASK))
    message = litellm.stream_chunk_builder(chunks, messages=[USER]).choices[0].message
    [call] = message.tool_calls
    assert call.function.name == "get_weather"
    arguments = json.loads(call.function.arguments)
    assert arguments == {"city": "Oslo"}
    found = {"role": "tool", "tool_call_id": call.id, "content": FORECAST.format(**arguments)}
    answer = litellm.completion(messages=[USER, message.model_dump(), found], tools=[WEATHER], **ASK)
    assert FORECAST.format(city="Oslo") in answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
