"""The unmodified `anthropic` package, which here validates strictly what it gets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types import MessageParam, ToolParam
from pydantic import BaseModel

from relay.chat.events import Event, Finished, Text, ToolCall
from tests.api import pool as scripts
from tests.api.conftest import Served
from tests.api.pool import ANSWER, ScriptedChat
from tests.spec import ANTHROPIC, validate

MESSAGES: list[MessageParam] = [{"role": "user", "content": "hi"}]
TOOL: ToolParam = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
ASKED: dict[str, Any] = {"model": "demo", "max_tokens": 1000, "messages": MESSAGES}


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture
def client(relay: Served) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=relay.url, api_key="none", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


@pytest.fixture
async def async_client(relay: Served) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=relay.url, auth_token="none", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


def saying(monkeypatch: pytest.MonkeyPatch, *events: Event) -> None:
    """`demo` answers so."""

    async def script(chat: ScriptedChat) -> AsyncIterator[Event]:
        for event in events:
            yield event

    monkeypatch.setitem(scripts.SCRIPTS, "demo", script)


def valid(message: BaseModel) -> None:
    validate("Message", message.model_dump(mode="json", exclude_unset=True), ANTHROPIC)


def test_whole(client: anthropic.Anthropic) -> None:
    message = client.messages.create(**ASKED)
    valid(message)
    assert [block.text for block in message.content if block.type == "text"] == [ANSWER]
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens == -(-len(ANSWER.encode()) // 4)
    assert message._request_id


def test_stream(client: anthropic.Anthropic) -> None:
    events = list(client.messages.create(**ASKED, stream=True))
    for event in events:
        validate("RawMessageStreamEvent", event.model_dump(mode="json", exclude_unset=True), ANTHROPIC)
    assert events[0].type == "message_start"
    assert events[-1].type == "message_stop"


def test_the_helper_that_accumulates_a_stream(client: anthropic.Anthropic) -> None:
    with client.messages.stream(**ASKED) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()
    valid(message)
    assert text == ANSWER
    assert message.stop_reason == "end_turn"


def test_thinking_and_citations(client: anthropic.Anthropic) -> None:
    with client.messages.stream(**{**ASKED, "model": "demo/rich"}, thinking={"type": "adaptive"}) as stream:
        kinds = [event.type for event in stream]
        message = stream.get_final_message()
    assert {"thinking", "signature", "text", "citation"} <= set(kinds)
    thinking, text = message.content
    assert thinking.type == "thinking" and thinking.thinking.endswith("Let me think.")
    assert text.type == "text" and text.citations is not None
    assert text.citations[0].type == "web_search_result_location"
    assert text.citations[0].url == "https://example.org/a"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_tool_is_called_and_answers(
    client: anthropic.Anthropic, relay: Served, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    def turn(messages: list[MessageParam]) -> anthropic.types.Message:
        asked: dict[str, Any] = {**ASKED, "messages": messages, "tools": [TOOL]}
        message: anthropic.types.Message
        if stream:
            with client.messages.stream(**asked) as streamed:
                message = streamed.get_final_message()
        else:
            message = client.messages.create(**asked)
        return message

    saying(monkeypatch, Text("I look."), ToolCall("get_weather", '{"city":"Oslo"}'), Finished("tool_calls"))
    message = turn(MESSAGES)
    assert message.stop_reason == "tool_use"
    text, call = message.content
    assert text.type == "text" and text.text == "I look."
    assert call.type == "tool_use" and call.input == {"city": "Oslo"}
    saying(monkeypatch, Text("It rains."), Finished())
    first = relay.pool.last
    answer = turn(
        [
            *MESSAGES,
            {"role": "assistant", "content": message.content},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}]},
        ]
    )
    assert answer.stop_reason == "end_turn"
    said, brought = relay.pool.last.request.messages[1:]
    assert said.text == first.given
    assert [(one.name, one.arguments) for one in said.calls] == [("get_weather", '{"city": "Oslo"}')]
    assert (brought.name, brought.text) == ("get_weather", "rain")


def test_parse(client: anthropic.Anthropic, monkeypatch: pytest.MonkeyPatch) -> None:
    saying(monkeypatch, Text('```json\n{"name": "Ann", "age": 54}\n```'), Finished())
    parsed = client.messages.parse(**ASKED, output_format=Person)
    assert parsed.parsed_output == Person(name="Ann", age=54)
    with client.messages.stream(**ASKED, output_format=Person) as stream:
        assert stream.get_final_message().parsed_output == Person(name="Ann", age=54)


def test_count_tokens(client: anthropic.Anthropic) -> None:
    assert client.messages.count_tokens(model="demo", messages=MESSAGES).input_tokens == 1
    assert client.messages.count_tokens(model="demo", messages=MESSAGES, tools=[TOOL]).input_tokens > 20


def test_beta(client: anthropic.Anthropic) -> None:
    message = client.beta.messages.create(**ASKED, betas=["context-management-2025-06-27"])
    assert message.content[0].type == "text"
    assert client.beta.messages.count_tokens(model="demo", messages=[{"role": "user", "content": "hi"}]).input_tokens


def test_models(client: anthropic.Anthropic) -> None:
    assert next(iter(client.models.list())).id == "demo"
    assert client.models.retrieve("demo/echo").display_name == "Demo echo"


async def test_async(async_client: anthropic.AsyncAnthropic) -> None:
    message = await async_client.messages.create(**ASKED)
    valid(message)
    async with async_client.messages.stream(**ASKED) as stream:
        assert await stream.get_final_text() == ANSWER


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "kind", "told"),
    [
        ("nope", anthropic.NotFoundError, "not_found_error"),
        ("demo/limited", anthropic.RateLimitError, "rate_limit_error"),
        ("demo/refused", anthropic.BadRequestError, "invalid_request_error"),
        ("demo/early-failure", anthropic.InternalServerError, "overloaded_error"),
        ("demo/broken", anthropic.InternalServerError, "api_error"),
    ],
)
def test_errors(
    client: anthropic.Anthropic, model: str, kind: type[anthropic.APIStatusError], told: str, stream: bool
) -> None:
    with pytest.raises(kind) as caught:
        client.messages.create(**{**ASKED, "model": model}, stream=stream)
    assert caught.value.type == told
    assert caught.value.request_id
    assert caught.value.message


def test_an_error_in_the_middle_of_a_stream(client: anthropic.Anthropic) -> None:
    got: list[str] = []
    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        client.messages.stream(**{**ASKED, "model": "demo/cut"}) as s,
    ):
        got.extend(s.text_stream)
    assert got == ["half an ans"]
    assert caught.value.type == "api_error"


def test_the_sdk_retries_only_what_may_help(relay: Served) -> None:
    with anthropic.Anthropic(base_url=relay.url, api_key="none", max_retries=2) as client:
        before = len(relay.pool.chats)
        with pytest.raises(anthropic.InternalServerError):
            client.messages.create(**{**ASKED, "model": "demo/early-failure"})
        assert len(relay.pool.chats) == before + 1


def test_closing_a_stream_cancels_the_chat(relay: Served, client: anthropic.Anthropic) -> None:
    with client.messages.stream(**{**ASKED, "model": "demo/slow"}) as stream:
        assert next(iter(stream.text_stream)) == "begun"
    assert relay.pool.last.cancelled.wait(10)
    assert relay.pool.last.ended.wait(10)
