"""The unmodified `openai` package for Python, which here validates strictly what it gets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from tests.api.conftest import Served
from tests.api.pool import ANSWER
from tests.spec import validate

MESSAGES: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]


@pytest.fixture
def client(relay: Served) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"{relay.url}/v1", api_key="none", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


@pytest.fixture
async def async_client(relay: Served) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{relay.url}/v1", api_key="none", max_retries=0, _strict_response_validation=True
    ) as made:
        yield made


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def test_whole(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="demo", messages=MESSAGES)
    assert answer.choices[0].message.content == ANSWER
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == -(-len(ANSWER.encode()) // 4)
    validate("CreateChatCompletionResponse", answer.model_dump(exclude_unset=True))


def test_stream(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model="demo", messages=MESSAGES, stream=True))
    for chunk in chunks:
        validate("CreateChatCompletionStreamResponse", chunk.model_dump(exclude_unset=True))
        assert "usage" not in chunk.model_dump(exclude_unset=True)
    assert text_of(chunks) == ANSWER
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason] == ["stop"]
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_stream_with_usage(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="demo", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    for chunk in chunks:
        validate("CreateChatCompletionStreamResponse", chunk.model_dump(exclude_unset=True))
    assert all(chunk.usage is None and "usage" in chunk.model_fields_set for chunk in chunks[:-1])
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens == 1


def test_the_helper_that_accumulates_a_stream(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="demo", messages=MESSAGES) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.content == ANSWER


async def test_async(async_client: openai.AsyncOpenAI) -> None:
    answer = await async_client.chat.completions.create(model="demo", messages=MESSAGES)
    assert answer.choices[0].message.content == ANSWER
    stream = await async_client.chat.completions.create(model="demo", messages=MESSAGES, stream=True)
    assert text_of([chunk async for chunk in stream]) == ANSWER


def test_annotations(client: openai.OpenAI) -> None:
    message = client.chat.completions.create(model="demo/rich", messages=MESSAGES).choices[0].message
    assert message.annotations is not None
    citation = message.annotations[0].url_citation
    assert message.content is not None
    assert message.content[citation.start_index : citation.end_index + 1] == "[1](https://example.org/a)"


def test_models(client: openai.OpenAI) -> None:
    models = list(client.models.list())
    assert models[0].id == "demo"
    assert client.models.retrieve("demo/echo").owned_by == "demo"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("demo/nothing")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "kind", "code"),
    [
        ("nope", openai.NotFoundError, "model_not_found"),
        ("demo/limited", openai.RateLimitError, "rate_limit_exceeded"),
        ("demo/full", openai.RateLimitError, "queue_full"),
        ("demo/refused", openai.BadRequestError, "content_filter"),
        ("demo/early-failure", openai.InternalServerError, "login_needed"),
        ("demo/broken", openai.InternalServerError, "internal_error"),
        ("kimi", openai.InternalServerError, "no_account_available"),
    ],
)
def test_errors(client: openai.OpenAI, model: str, kind: type[openai.APIStatusError], code: str, stream: bool) -> None:
    with pytest.raises(kind) as caught:
        client.chat.completions.create(model=model, messages=MESSAGES, stream=stream)
    assert caught.value.code == code
    assert caught.value.request_id


@pytest.mark.parametrize(
    ("model", "code"),
    [("demo/cut", "answer_cut"), ("demo/endless", "answer_cut"), ("demo/retracted", "content_filter")],
)
def test_errors_in_the_middle_of_a_stream(client: openai.OpenAI, model: str, code: str) -> None:
    chunks: list[ChatCompletionChunk] = []
    with pytest.raises(openai.APIError) as caught:
        chunks.extend(client.chat.completions.create(model=model, messages=MESSAGES, stream=True))
    assert caught.value.code == code


def test_the_sdk_retries_only_what_may_help(relay: Served) -> None:
    with openai.OpenAI(base_url=f"{relay.url}/v1", api_key="none", max_retries=2) as client:
        before = len(relay.pool.chats)
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(model="demo/early-failure", messages=MESSAGES)
        assert len(relay.pool.chats) == before + 1


def test_closing_a_stream_cancels_the_chat(relay: Served, client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(model="demo/slow", messages=MESSAGES, stream=True)
    assert next(c for c in stream if c.choices[0].delta.content).choices[0].delta.content == "begun"
    stream.close()
    assert relay.pool.last.cancelled.wait(10)
    assert relay.pool.last.ended.wait(10)
