"""Tools and JSON answers from end to end: the unmodified SDK, a real browser, the demo site whose model obeys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel

from tests.e2e.client import refusal, sdk
from tests.e2e.world import World

pytestmark = pytest.mark.xdist_group("world")

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


class Person(BaseModel):
    name: str
    age: int


@pytest.mark.parametrize("driver", ["fetch", "screen", "dom"])
async def test_a_tool_loop(world: World, driver: str) -> None:
    relay = world.serve(driver)
    asked: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": f"By {driver}: how is the weather in Oslo and Paris?"}
    ]
    async with sdk(relay) as (client, tape):
        first = await client.chat.completions.create(model="demo", messages=asked, tools=[WEATHER])
        said = first.choices[0]
        assert said.finish_reason == "tool_calls"
        calls = said.message.tool_calls or []
        cities = [json.loads(call.function.arguments)["city"] for call in calls if call.type == "function"]
        assert cities == ["Oslo", "Paris"]
        asked.append(said.message.to_dict())  # type: ignore[arg-type]
        asked += [{"role": "tool", "tool_call_id": call.id, "content": f"rain number {call.id}"} for call in calls]
        text = ""
        stream = await client.chat.completions.create(model="demo", messages=asked, tools=[WEATHER], stream=True)
        conversation = ""
        async for chunk in stream:
            text += chunk.choices[0].delta.content or "" if chunk.choices else ""
            conversation = (chunk.model_extra or {}).get("conversation_id") or conversation
        for call in calls:
            assert f"rain number {call.id}" in text
        before = (first.model_extra or {}).get("conversation_id")
        if driver == "fetch":
            assert before == conversation, "the site goes on in the same conversation"
        for heard in tape.heard:
            heard.check()


@pytest.mark.parametrize(
    ("driver", "how"),
    [
        *((driver, how) for driver in ("fetch", "screen") for how in ("fumble-once", "fumble-dialect", "fumble-bare")),
        # A page shows no tags that it does not know: that is why a fence is asked for.
        *(("dom", how) for how in ("fumble-once", "fumble-bare")),
    ],
)
async def test_calls_come_right(world: World, driver: str, how: str) -> None:
    async with sdk(world.serve(driver)) as (client, tape):
        answer = await client.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": f"weather in Oslo, {how}"}], tools=[WEATHER]
        )
        [call] = answer.choices[0].message.tool_calls or []
        assert call.type == "function"
        assert json.loads(call.function.arguments) == {"city": "Oslo"}
        assert not answer.choices[0].message.content
        tape.heard[0].check()


async def test_a_form_that_is_never_kept(world: World) -> None:
    failed = await refusal(
        world.serve("fetch"), "demo", "weather in Oslo, fumble-always", tools=[WEATHER], tool_choice="required"
    )
    assert (failed.status, failed.code) == (502, "tool_call_failed")


@pytest.mark.parametrize("driver", ["fetch", "dom"])
async def test_parsed_answers(world: World, driver: str) -> None:
    async with sdk(world.serve(driver)) as (client, tape):
        for said in ("Jane is 54 years old.", "Jane is 54, fumble-once"):
            parsed = await client.chat.completions.parse(
                model="demo", messages=[{"role": "user", "content": said}], response_format=Person
            )
            assert parsed.choices[0].message.parsed == Person(name="Jane", age=54)
        for heard in tape.heard:
            heard.check()
