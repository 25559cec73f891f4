"""Bodies that `POST /v1/responses` refuses, and odd ones that it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from relay.api.openai.response_schema import ResponseBody
from relay.chat.events import Event, Finished, Text, ToolCall
from tests.api import pool as scripts
from tests.api.pool import ANSWER, ScriptedChat
from tests.api.raw import error_of
from tests.api.responses import RESPONSES, ask, text_of
from tests.api.test_responses import WEATHER


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`site(event, …)` makes `demo` answer so."""

    def says(*events: Event) -> None:
        async def script(chat: ScriptedChat) -> AsyncIterator[Event]:
            for event in events:
                yield event
                await asyncio.sleep(0)

        monkeypatch.setitem(scripts.SCRIPTS, "demo", script)

    return says


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff{}", b"[" * 100_000, b'{"model":"demo","input":'])
def test_not_json(http: httpx.Client, raw: bytes) -> None:
    error_of(http.post(RESPONSES, content=raw), 400, "invalid_request")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": ""}, "input"),
        ({"input": 7}, "input"),
        ({"input": [7]}, "input[0]"),
        ({"input": [{"type": "reasoning"}]}, "input"),
        ({"input": [{"type": ["list"]}]}, "input[0].type"),
        ({"input": [{"type": "reasoning", "id": {}}, {"content": "x"}]}, "input[1].role"),
        ({"input": [{"role": "king", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "poem"}]}]}, "input[0].content[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"type": "item_reference", "id": "msg_unknown"}]}, "input[0].id"),
        ({"input": [{"type": "item_reference"}]}, "input[0].id"),
        ({"input": [{"type": "item_reference", "id": f"msg_{'0' * 32}99999999"}]}, "input[0].id"),
        ({"instructions": ["x"]}, "instructions"),
        ({"stream": "perhaps"}, "stream"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": "x"}, "metadata"),
        ({"text": "json"}, "text"),
        ({"text": {"format": "json"}}, "text.format.type"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"reasoning": "high"}, "reasoning"),
        ({"tools": [7]}, "tools[0]"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "x", "name": []}, {"type": "function", "name": []}]}, "tools[1].name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "f"}}, "tool_choice"),
        ({"conversation": 7}, "conversation"),
        ({"conversation": {"id": 7}}, "conversation"),
        ({"previous_response_id": 7}, "previous_response_id"),
        ({"previous_response_id": "resp_1", "conversation": "conv_1"}, "previous_response_id"),
    ],
)
def test_wrong_values_are_named(http: httpx.Client, change: dict[str, Any], param: str) -> None:
    answer = http.post(RESPONSES, json={"model": "demo", "input": "hi", **change})
    error = error_of(answer, 400, "invalid_request")
    assert error["param"] == param


def test_null_is_absent(http: httpx.Client) -> None:
    names = {*ResponseBody.model_fields, "include", "truncation", "service_tier", "stream_options"}
    fields: dict[str, Any] = dict.fromkeys(names - {"model", "input", "stream"})
    assert text_of(ask(http, **fields)) == ANSWER


def test_lone_surrogates_and_odd_names(http: httpx.Client, site: Any) -> None:
    site(Text("\ud800x"), ToolCall("f\ud800", "{}"), Finished("tool_calls"))
    for stream in (False, True):
        response = ask(http, stream=stream, tools=[WEATHER], metadata={"κλειδί": "\x00"})
        assert text_of(response) == "?x"
    assert http.get(f"{RESPONSES}/{response['id']}").status_code == 200


def test_a_body_that_is_too_large(http: httpx.Client) -> None:
    error_of(http.post(RESPONSES, json={"model": "demo", "input": "x" * 50_000_000}), 413, "request_too_large")
