"""The unmodified `openai` SDK with strict validation, and a tape of the raw bytes, checked against OpenAI's schemas."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai
import pytest

from tests.e2e.relay_server import RelayServer
from tests.spec import validate


@dataclass
class Heard:
    """One HTTP answer, as it came."""

    status: int
    headers: httpx2.Headers
    body: bytearray = field(default_factory=bytearray)

    def records(self) -> list[dict[str, Any]]:
        """The JSON body, or those of the stream's events; `[DONE]` and comments left out."""
        if not self.headers["content-type"].startswith("text/event-stream"):
            return [json.loads(self.body)]
        frames = bytes(self.body).decode("utf-8").split("\n\n")
        data = [frame.removeprefix("data: ") for frame in frames if frame.startswith("data: ")]
        return [json.loads(text) for text in data if text != "[DONE]"]

    def check(self) -> None:
        """Every record is what OpenAI's API description says, or an error and then the last one."""
        schema = "CreateChatCompletionResponse"
        if self.headers["content-type"].startswith("text/event-stream"):
            schema = "CreateChatCompletionStreamResponse"
        records = self.records()
        for number, record in enumerate(records):
            if "error" in record:
                assert set(record["error"]) == {"message", "type", "param", "code"}
                assert number == len(records) - 1
            else:
                validate(schema, record)


class _Copied(httpx2.AsyncByteStream):
    def __init__(self, stream: Any, heard: Heard) -> None:
        self._stream, self._heard = stream, heard

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._heard.body += chunk
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


class Tape(httpx2.AsyncBaseTransport):
    """Passes requests on, and keeps what comes back."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self._inner = httpx2.AsyncHTTPTransport(verify=False)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._inner.handle_async_request(request)
        self.heard.append(Heard(answer.status_code, answer.headers))
        stream = _Copied(answer.stream, self.heard[-1])
        return httpx2.Response(answer.status_code, headers=answer.headers, stream=stream, extensions=answer.extensions)

    async def aclose(self) -> None:
        await self._inner.aclose()


@dataclass
class Got:
    """An answer, put together from what the SDK gave."""

    text: str = ""
    reasoning: str = ""
    finish: str | None = None
    annotations: list[Any] = field(default_factory=list)
    chunks: int = 0
    heard: Heard | None = None

    @property
    def headers(self) -> httpx2.Headers:
        """Of the HTTP answer."""
        assert self.heard is not None
        return self.heard.headers

    @property
    def sources(self) -> list[str]:
        """Addresses of the cited pages."""
        return [item["url_citation"]["url"] for item in self.annotations]


@dataclass
class Refusal:
    """How a request failed; `status` is None where the stream had begun, and `text` what it had shown."""

    status: int | None
    code: str
    type: str
    message: str
    text: str
    heard: Heard


@asynccontextmanager
async def sdk(
    server: RelayServer, *, max_retries: int = 0, bearer: str = "none"
) -> AsyncIterator[tuple[openai.AsyncOpenAI, Tape]]:
    """A client of the server, and its tape."""
    tape = Tape()
    async with (
        httpx2.AsyncClient(transport=tape, timeout=600) as http,
        openai.AsyncOpenAI(
            base_url=f"{server.url}/v1",
            api_key=bearer,
            max_retries=max_retries,
            http_client=http,
            _strict_response_validation=True,
        ) as client,
    ):
        yield client, tape


async def ask(
    server: RelayServer,
    model: str,
    prompt: Any,
    *,
    earlier: Sequence[Any] = (),
    stream: bool = True,
    max_retries: int = 0,
    bearer: str = "none",
    **extra: Any,
) -> Got:
    """One chat, after `earlier` messages; `extra` goes into the body. Raises what the SDK raises; every raw byte is
    checked."""
    got = Got()
    messages = [*earlier, {"role": "user", "content": prompt}]
    async with sdk(server, max_retries=max_retries, bearer=bearer) as (client, tape):
        try:
            await _ask(client, got, model, messages, stream=stream, extra=extra)
        except openai.APIError as error:
            tape.heard[-1].check()
            error.__dict__["seen"] = (got, tape.heard[-1])
            raise
        got.heard = tape.heard[-1]
        got.heard.check()
    return got


async def _ask(
    client: openai.AsyncOpenAI, got: Got, model: str, messages: Any, *, stream: bool, extra: dict[str, Any]
) -> None:
    if not stream:
        answer = await client.chat.completions.create(model=model, messages=messages, extra_body=extra)
        message = answer.choices[0].message
        got.text, got.finish = message.content or "", answer.choices[0].finish_reason
        got.reasoning = getattr(message, "reasoning_content", "")
        got.annotations = [item.model_dump() for item in message.annotations or ()]
        return
    async for chunk in await client.chat.completions.create(
        model=model, messages=messages, stream=True, extra_body=extra
    ):
        got.chunks += 1
        for choice in chunk.choices:
            got.text += choice.delta.content or ""
            got.reasoning += getattr(choice.delta, "reasoning_content", "")
            got.annotations += getattr(choice.delta, "annotations", [])
            got.finish = choice.finish_reason or got.finish


async def refusal(server: RelayServer, model: str, prompt: Any, *, stream: bool = True, **extra: Any) -> Refusal:
    """A chat that must fail, with an error in the one form that all errors have."""
    with pytest.raises(openai.APIError) as caught:
        await ask(server, model, prompt, stream=stream, **extra)
    error = caught.value
    got, heard = error.__dict__["seen"]
    said = heard.records()[-1]["error"]
    assert got.finish is None, "a failed answer has no finish_reason"
    assert error.code == said["code"]
    status = error.status_code if isinstance(error, openai.APIStatusError) else None
    return Refusal(status, said["code"], said["type"], said["message"], got.text, heard)
