"""`/v1/responses` by the unmodified `openai` package, which here validates strictly what it gets."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from openai.types.responses import FunctionToolParam, ResponseInputParam, ResponseOutputMessage
from pydantic import BaseModel

from relay.chat.events import Event, Finished, Text, ToolCall
from tests.api import pool as scripts
from tests.api.conftest import Served
from tests.api.pool import ANSWER, ScriptedChat
from tests.api.test_bad_input import PNG
from tests.spec import validate_event, validate_response

TOOL: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city.",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture
def client(relay: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{relay.url}/v1", api_key="none", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


def saying(monkeypatch: pytest.MonkeyPatch, *events: Event) -> None:
    """`demo` answers so."""

    async def script(chat: ScriptedChat) -> AsyncIterator[Event]:
        for event in events:
            yield event

    monkeypatch.setitem(scripts.SCRIPTS, "demo", script)


def valid(response: BaseModel) -> None:
    validate_response(response.model_dump(exclude_unset=True, exclude={"output_text"}))


def test_whole(client: openai.OpenAI) -> None:
    response = client.responses.create(model="demo", input="hi")
    assert response.output_text == ANSWER
    assert response.status == "completed"
    valid(response)


def test_reasoning_and_citations(client: openai.OpenAI) -> None:
    response = client.responses.create(model="demo/rich", input="hi")
    thought, said = response.output
    assert thought.type == "reasoning"
    assert thought.summary[0].text.endswith("Let me think.")
    assert isinstance(said, ResponseOutputMessage)
    assert said.content[0].type == "output_text"
    assert said.content[0].annotations[0].type == "url_citation"
    valid(response)


def test_stream(client: openai.OpenAI) -> None:
    text = ""
    for event in client.responses.create(model="demo/rich", input="hi", stream=True):
        validate_event(event.model_dump(exclude_unset=True))
        text += event.delta if event.type == "response.output_text.delta" else ""
    assert event.type == "response.completed"
    assert event.response.output_text == text


@pytest.mark.parametrize("model", ["demo", "demo/rich"])
def test_the_helper_that_accumulates_a_stream(client: openai.OpenAI, model: str) -> None:
    snapshots = []
    with client.responses.stream(model=model, input="hi") as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                snapshots.append(event.snapshot)
        final = stream.get_final_response()
    assert snapshots[-1] == final.output_text
    assert final.usage is not None


async def test_async(relay: Served) -> None:
    async with openai.AsyncOpenAI(base_url=f"{relay.url}/v1", api_key="none") as client:
        assert (await client.responses.create(model="demo", input="hi")).output_text == ANSWER
        async with client.responses.stream(model="demo", input="hi") as stream:
            assert (await stream.get_final_response()).output_text == ANSWER


def test_parse(client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    saying(monkeypatch, Text('{"name":"Ann",'), Text('"age":54}'), Finished())
    parsed = client.responses.parse(model="demo", input="Who?", text_format=Person)
    assert parsed.output_parsed == Person(name="Ann", age=54)
    with client.responses.stream(model="demo", input="Who?", text_format=Person) as stream:
        assert stream.get_final_response().output_parsed == Person(name="Ann", age=54)


@pytest.mark.parametrize("stream", [False, True])
def test_tools_round_trip(client: openai.OpenAI, relay: Served, monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    saying(monkeypatch, Text("I look."), ToolCall("get_weather", '{"city":"Oslo"}'), Finished("tool_calls"))
    asked: ResponseInputParam = [{"role": "user", "content": "How is Oslo?"}]
    first: Any
    if stream:
        with client.responses.stream(model="demo", input=asked, tools=[TOOL]) as running:
            arguments = [event.snapshot for event in running if event.type == "response.function_call_arguments.delta"]
            first = running.get_final_response()
        assert arguments == ['{"city":"Oslo"}']
    else:
        first = client.responses.create(model="demo", input=asked, tools=[TOOL])
    valid(first)
    [call] = [item for item in first.output if item.type == "function_call"]
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    saying(monkeypatch, Text("It rains."), Finished())
    second = client.responses.create(model="demo", input=[result], tools=[TOOL], previous_response_id=first.id)
    assert second.output_text == "It rains."
    by_id = relay.pool.last.request.messages
    history: Any = [*asked, *(item.model_dump(exclude_none=True) for item in first.output), result]
    client.responses.create(model="demo", input=history, tools=[TOOL], store=False)
    assert relay.pool.last.request.messages == by_id
    assert [message.role for message in by_id] == ["user", "assistant", "tool"]


def test_images_and_files(client: openai.OpenAI) -> None:
    response = client.responses.create(
        model="demo/echo",
        input=[
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Look."},
                    {
                        "type": "input_image",
                        "detail": "auto",
                        "image_url": "data:image/png;base64," + base64.b64encode(PNG).decode(),
                    },
                    {
                        "type": "input_file",
                        "filename": "a.pdf",
                        "file_data": "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.7 x").decode(),
                    },
                ],
            }
        ],
    )
    assert f"<image image/png file.png {len(PNG)}>" in response.output_text
    assert "<file application/pdf a.pdf 10>" in response.output_text
    again = client.responses.create(model="demo/echo", input="And?", previous_response_id=response.id)
    assert f"<image image/png file.png {len(PNG)}>" in again.output_text, "files stay in the history"


def test_kept(client: openai.OpenAI) -> None:
    response = client.responses.create(model="demo", input="hi", metadata={"a": "b"})
    again = client.responses.retrieve(response.id)
    assert again == response
    items = client.responses.input_items.list(response.id, limit=1)
    assert [item.type for item in items] == ["message"]
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.retrieve(response.id)
    assert caught.value.code == "response_not_found"
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.create(model="demo", input="hi", previous_response_id=response.id)
    assert refused.value.code == "previous_response_not_found"


def test_input_items_over_pages(client: openai.OpenAI) -> None:
    given: ResponseInputParam = [{"role": "user", "content": str(number)} for number in range(7)]
    response = client.responses.create(model="demo", input=given)
    texts = []
    for item in client.responses.input_items.list(response.id, limit=3, order="asc"):
        assert item.type == "message"
        part = item.content[0]
        assert part.type == "input_text"
        texts.append(part.text)
    assert texts == [str(number) for number in range(7)]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "kind", "code"),
    [
        ("nope", openai.NotFoundError, "model_not_found"),
        ("demo/limited", openai.RateLimitError, "rate_limit_exceeded"),
        ("demo/refused", openai.BadRequestError, "content_filter"),
        ("demo/early-failure", openai.InternalServerError, "login_needed"),
    ],
)
def test_errors(client: openai.OpenAI, model: str, kind: type[openai.APIStatusError], code: str, stream: bool) -> None:
    with pytest.raises(kind) as caught:
        client.responses.create(model=model, input="hi", stream=stream)
    assert caught.value.code == code


def test_an_error_in_the_middle_of_a_stream(client: openai.OpenAI) -> None:
    events = list(client.responses.create(model="demo/cut", input="hi", stream=True))
    assert events[-1].type == "response.failed"
    assert events[-1].response.error is not None
    assert events[-1].response.error.message == "The answer was cut."
    with client.responses.stream(model="demo/cut", input="hi") as stream, pytest.raises(RuntimeError):
        stream.get_final_response()


def test_closing_a_stream_cancels_the_chat(relay: Served, client: openai.OpenAI) -> None:
    stream = client.responses.create(model="demo/slow", input="hi", stream=True)
    delta = next(event for event in stream if event.type == "response.output_text.delta")
    assert delta.delta == "begun"
    stream.close()
    assert relay.pool.last.cancelled.wait(10)
