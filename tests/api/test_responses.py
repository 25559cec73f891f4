"""`POST /v1/responses` by hand: bodies, events, what is taken and what is refused."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from relay.chat.events import Event, Finished, Reasoning, Text, ToolCall
from tests.api import pool as scripts
from tests.api.conftest import Served
from tests.api.pool import ANSWER, ScriptedChat
from tests.api.raw import body as chat_body
from tests.api.raw import error_of
from tests.api.responses import RESPONSES, ask, parse, spoken, text_of
from tests.api.test_bad_input import PNG
from tests.api.test_tools import fence, saying

STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
WEATHER = {
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


@STREAM
def test_an_answer(http: httpx.Client, stream: bool) -> None:
    response = ask(http, stream=stream)
    assert text_of(response) == ANSWER
    assert (response["status"], response["model"], response["conversation_id"]) == ("completed", "demo", "conv-1")
    assert response["id"].startswith("resp_")
    assert response["usage"]["output_tokens"] == -(-len(ANSWER.encode()) // 4)
    assert response["usage"]["total_tokens"] == response["usage"]["input_tokens"] + response["usage"]["output_tokens"]
    assert "user" not in response
    assert "conversation" not in response


def test_the_order_of_events(http: httpx.Client) -> None:
    answer = http.post(RESPONSES, json={"model": "demo/rich", "input": "hi", "stream": True})
    assert answer.headers["cache-control"] == "no-cache"
    assert parse(answer.text).types == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_text.delta",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.done",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.annotation.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


@STREAM
def test_reasoning_and_sources(http: httpx.Client, stream: bool) -> None:
    thought, said = ask(http, "demo/rich", stream=stream)["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "Searching: weather in Oslo\nLet me think."}]
    [part] = said["content"]
    [citation] = part["annotations"]
    assert (citation["type"], citation["url"], citation["title"]) == (
        "url_citation", "https://example.org/a", "A [page]",
    )  # fmt: skip
    cited = part["text"][citation["start_index"] : citation["end_index"] + 1]
    assert cited == "[1](https://example.org/a)"


def test_reasoning_between_the_words(http: httpx.Client, site: Any) -> None:
    site(Text("One "), Reasoning("hm"), Text("two"), Reasoning("so"), Finished())
    response = ask(http, stream=True)
    assert [item["type"] for item in response["output"]] == ["message", "reasoning", "reasoning"]
    assert text_of(response) == "One two", "one answer is one message"


@STREAM
@pytest.mark.parametrize(
    ("finish", "status", "details"),
    [
        ("length", "incomplete", {"reason": "max_output_tokens"}),
        ("content_filter", "incomplete", {"reason": "content_filter"}),
        ("stop", "completed", None),
    ],
)
def test_how_it_ended(http: httpx.Client, site: Any, stream: bool, finish: Any, status: str, details: Any) -> None:
    site(Text("So"), Finished(finish))
    response = ask(http, stream=stream)
    assert (response["status"], response["incomplete_details"]) == (status, details)
    assert response["output"][0]["status"] == status
    assert (response["completed_at"] is not None) == (status == "completed")


@STREAM
def test_the_token_limit(http: httpx.Client, stream: bool) -> None:
    response = ask(http, "demo/long", stream=stream, max_output_tokens=16)
    assert (response["status"], len(text_of(response)), response["max_output_tokens"]) == ("incomplete", 64, 16)


@STREAM
def test_an_empty_answer_is_an_answer(http: httpx.Client, site: Any, stream: bool) -> None:
    site(Finished())
    [item] = ask(http, stream=stream)["output"]
    assert (item["type"], item["content"][0]["text"]) == ("message", "")


@STREAM
def test_calls(http: httpx.Client, relay: Served, site: Any, stream: bool) -> None:
    oslo, paris = '{"city":"Oslo"}', '{"city":"Paris"}'
    site(Text("I look."), ToolCall("get_weather", oslo), ToolCall("get_weather", paris), Finished("tool_calls"))
    response = ask(http, stream=stream, tools=[WEATHER, {"type": "web_search"}], tool_choice="auto")
    assert response["status"] == "completed"
    assert [item["type"] for item in response["output"]] == ["message", "function_call", "function_call"]
    calls = response["output"][1:]
    assert [(call["name"], call["arguments"]) for call in calls] == [("get_weather", oslo), ("get_weather", paris)]
    assert [call["call_id"] for call in calls] == [call.id for call in relay.pool.last.calls]
    assert response["tools"] == [WEATHER]
    site(ToolCall("get_weather", oslo), Finished("tool_calls"))
    assert [item["type"] for item in ask(http, stream=stream, tools=[WEATHER])["output"]] == ["function_call"]


@pytest.mark.parametrize(
    ("asked", "echoed"),
    [
        (None, "auto"),
        ("required", "required"),
        ("none", "none"),
        ({"type": "function", "name": "get_weather"}, {"type": "function", "name": "get_weather"}),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "get_weather"}]},
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "get_weather"}]},
        ),
    ],
)
def test_the_choice_is_repeated(http: httpx.Client, site: Any, asked: Any, echoed: Any) -> None:
    site(ToolCall("get_weather", '{"city":"Oslo"}'), Finished("tool_calls"))
    assert ask(http, tools=[WEATHER], tool_choice=asked)["tool_choice"] == echoed


def test_what_a_response_repeats(http: httpx.Client, relay: Served, site: Any) -> None:
    site(Text('{"age": 54}'), Finished())
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    form = {"type": "json_schema", "name": "person", "schema": schema, "strict": True}
    response = ask(
        http,
        instructions="Be short.",
        metadata={"a": "b"},
        text={"format": form, "verbosity": "low"},
        reasoning={"effort": "high", "summary": "auto"},
        user="me",
        safety_identifier="s",
        prompt_cache_key="k",
        parallel_tool_calls=False,
        temperature=0.2,
        top_p=0.5,
        truncation="auto",
        include=["reasoning.encrypted_content"],
        client_metadata={"x": "y"},
        nonsense={"deep": [1]},
    )
    assert response["instructions"] == "Be short."
    assert (response["metadata"], response["user"], response["prompt_cache_key"]) == ({"a": "b"}, "me", "k")
    assert response["text"] == {"format": form, "verbosity": "low"}
    assert response["reasoning"] == {"effort": "high", "summary": "auto"}
    assert (response["temperature"], response["top_p"], response["parallel_tool_calls"]) == (1, 1, False)
    request = relay.pool.last.request
    assert [message.role for message in request.messages] == ["system", "user"]
    assert request.form is not None and request.form.schema == schema
    assert request.choice.thinking


def test_what_has_no_effect_is_named(http: httpx.Client) -> None:
    fields = {"temperature": 0, "background": True, "text": {"verbosity": "high"}, "tools": [{"type": "namespace"}]}
    answer = http.post(RESPONSES, json={"model": "demo", "input": "hi", **fields, "top_p": None})
    assert answer.json()["background"] is False
    ignored = answer.headers["x-relay-ignored"]
    assert ignored == "temperature, background, text.verbosity, tools[namespace]"


def test_all_forms_of_input(http: httpx.Client) -> None:
    png = "data:image/png;base64," + base64.b64encode(PNG).decode()
    pdf = base64.b64encode(b"%PDF-1.7 x").decode()
    items = [
        {"role": "system", "content": "S"},
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "D"}]},
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "U"},
                {"type": "input_image", "image_url": png, "detail": "auto"},
                {"type": "input_file", "filename": "a.pdf", "file_data": pdf},
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "R"}]},
        {"type": "item_reference", "id": "rs_1"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}},
        {
            "type": "message",
            "role": "assistant",
            "id": "msg_1",
            "status": "completed",
            "phase": "commentary",
            "content": [
                {"type": "output_text", "text": "A", "annotations": [], "logprobs": []},
                {"type": "refusal", "refusal": "B"},
            ],
        },
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": '{"x":1}'},
        {"type": "function_call", "call_id": "c2", "name": "g", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "two"}]},
        {"role": "user", "content": "more"},
    ]
    said = text_of(ask(http, "demo/echo", input=items)).splitlines()
    assert said == [
        "system: S",
        "system: D",
        f"user: U<image image/png file.png {len(PNG)}><file application/pdf a.pdf 10>",
        "assistant: A",
        'B<f {"x":1} c1><g {} c2>',
        "tool(f c1): one",
        "tool(g c2): two",
        "user: more",
    ]


def codex_body() -> dict[str, Any]:
    """What Codex CLI sends on its second turn, in size and kind."""

    def tool(number: int) -> dict[str, Any]:
        properties = {f"field_{one}": {"type": "string", "description": "A field. " * 12} for one in range(6)}
        parameters = {"type": "object", "properties": properties, "additionalProperties": False}
        name = f"tool_{number}"
        return {"type": "function", "name": name, "description": name * 9, "strict": False, "parameters": parameters}

    def said(role: str, kind: str, text: str) -> dict[str, Any]:
        return {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}

    shell = {**tool(0), "name": "exec_command"}
    return {
        "model": "demo/echo",
        "input": [
            said("developer", "input_text", "You are a coding agent. " * 900),
            said("user", "input_text", "<environment_context>\n  <cwd>/work</cwd>\n</environment_context>"),
            said("user", "input_text", "List the files."),
            {"type": "reasoning", "summary": [], "content": None, "encrypted_content": None},
            {"type": "function_call", "name": "exec_command", "arguments": '{"cmd":"ls"}', "call_id": "call_1"},
            {"type": "function_call_output", "call_id": "call_1", "output": "Exit code: 0\nOutput:\na.txt\n"},
        ],
        "tools": [
            shell,
            *(tool(number) for number in range(1, 16)),
            {"type": "namespace", "name": "agents", "description": "…", "tools": [tool(99)]},
            {"type": "web_search", "external_web_access": False},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "stream": True,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "0199-…",
        "client_metadata": {"x-codex-installation-id": "…"},
    }


def test_what_codex_sends(http: httpx.Client, relay: Served) -> None:
    body = codex_body()
    assert len(json.dumps(body)) > 40_000
    answer = http.post(RESPONSES, json=body)
    assert answer.status_code == 200, answer.text
    response = parse(answer.text).last
    assert (response["status"], response["store"]) == ("completed", False)
    assert len(response["tools"]) == 16
    assert "tools[namespace], tools[web_search]" in answer.headers["x-relay-ignored"]
    request = relay.pool.last.request
    assert [message.role for message in request.messages] == ["system", "user", "user", "assistant", "tool"]
    assert request.messages[-1].name == "exec_command"
    assert http.get(f"{RESPONSES}/{response['id']}").status_code == 404, "store: false"


@STREAM
@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("nope", 404, "model_not_found"),
        ("demo/limited", 429, "rate_limit_exceeded"),
        ("demo/full", 429, "queue_full"),
        ("demo/refused", 400, "content_filter"),
        ("demo/early-failure", 503, "login_needed"),
        ("demo/broken", 500, "internal_error"),
        ("kimi", 503, "no_account_available"),
    ],
)
def test_early_errors_have_their_status(http: httpx.Client, model: str, status: int, code: str, stream: bool) -> None:
    answer = http.post(RESPONSES, json={"model": model, "input": "hi", "stream": stream})
    error_of(answer, status, code)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("model", "code", "relay_code", "said"),
    [
        ("demo/cut", "server_error", "answer_cut", "half an ans"),
        ("demo/endless", "server_error", "answer_cut", "no end mark"),
        ("demo/retracted", "invalid_prompt", "content_filter", "Something forbidden"),
        ("demo/late-failure", "server_error", "site_unavailable", ""),
    ],
)
def test_late_errors_end_the_stream(http: httpx.Client, model: str, code: str, relay_code: str, said: str) -> None:
    response = ask(http, model, stream=True)
    assert response["status"] == "failed"
    assert (response["error"]["code"], response["error"]["relay_code"]) == (code, relay_code)
    assert text_of(response) == said
    assert http.get(f"{RESPONSES}/{response['id']}").status_code == 404, "what failed is not kept"


def test_waiting_is_seen(http: httpx.Client) -> None:
    answer = http.post(RESPONSES, json={"model": "demo/late", "input": "hi", "stream": True})
    stream = parse(answer.text)
    assert stream.comments
    assert text_of(stream.last) == "late"


def test_a_stream_ends_as_the_whole_answer_is(http: httpx.Client) -> None:
    for model in ("demo", "demo/rich", "demo/long"):
        assert spoken(ask(http, model)) == spoken(ask(http, model, stream=True))


def test_chats_take_the_same_items(http: httpx.Client) -> None:
    """A Responses-shaped body on the older route: what says nothing is skipped there too."""
    items = [
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "R"}]},
        {"role": "user", "content": "more"},
    ]
    asked = {**chat_body("demo/echo"), "messages": None, "input": items}
    answer = http.post("/v1/chat/completions", json=asked).json()
    assert answer["choices"][0]["message"]["content"] == "user: hi\nuser: more\n"


@STREAM
def test_calls_and_json_are_read_out_of_the_text(
    http: httpx.Client, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    oslo = {"name": "get_weather", "arguments": {"city": "Oslo"}}
    monkeypatch.setitem(scripts.SCRIPTS, "demo", saying(lambda chat: "I look.\n\n" + fence(chat, oslo), '{"a": 1}'))
    said, call = ask(http, stream=stream, tools=[WEATHER])["output"]
    assert said["content"][0]["text"] == "I look."
    assert json.loads(call["arguments"]) == {"city": "Oslo"}
    response = ask(http, stream=stream, text={"format": {"type": "json_object"}})
    assert json.loads(text_of(response)) == {"a": 1}
    assert response["text"]["format"] == {"type": "json_object"}
