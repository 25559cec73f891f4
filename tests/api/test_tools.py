"""Tools and JSON answers through the chat route: what the site is asked, and what of its answer reaches the client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from loguru import logger

from relay.api.tooled import ToolChat
from relay.chat.events import Event, Finished, Started, Text
from relay.chat.prompt import prompt_of
from relay.chat.request import ChatRequest, Message, ModelChoice
from relay.chat.tools import Tool, ToolUse
from tests.api import pool as scripts
from tests.api.conftest import Served
from tests.api.pool import ScriptedChat
from tests.api.raw import CHAT, parse
from tests.spec import validate

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city"],
        },
    },
}
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
FORM = {"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}}


def fence(chat: ScriptedChat, *calls: dict[str, Any]) -> str:
    assert chat.request.tools is not None
    lines = "\n".join(json.dumps(call) for call in calls)
    return f"```call-{chat.request.tools.nonce}\n{lines}\n```\n"


def saying(*answers: Any) -> scripts.Script:
    """A site that gives these answers in turn, each a text or made from its chat; in pieces of 7 characters."""
    left = list(answers)

    async def script(chat: ScriptedChat) -> AsyncIterator[Event]:
        answer = left.pop(0)
        text = answer if isinstance(answer, str) else answer(chat)
        yield Started("conv-9")
        for at in range(0, len(text), 7):
            yield Text(text[at : at + 7])
        yield Finished("stop")

    return script


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`site(answer, …)` makes `demo/said` answer so."""

    def says(*answers: Any) -> None:
        monkeypatch.setitem(scripts.SCRIPTS, "demo", saying(*answers))

    return says


def ask(http: httpx.Client, *, stream: bool, **fields: Any) -> tuple[dict[str, Any], str]:
    """The message as a client puts it together, and the finish reason; every byte validated."""
    body = {"model": "demo", "messages": [{"role": "user", "content": "How is Oslo?"}], "stream": stream, **fields}
    answer = http.post(CHAT, json=body)
    assert answer.status_code == 200, answer.text
    if not stream:
        whole = answer.json()
        validate("CreateChatCompletionResponse", whole)
        [choice] = whole["choices"]
        return choice["message"], choice["finish_reason"]
    message: dict[str, Any] = {"content": "", "tool_calls": []}
    reason = ""
    for chunk in parse(answer.text).chunks:
        for choice in chunk["choices"]:
            delta = choice["delta"]
            message["content"] += delta.get("content") or ""
            for call in delta.get("tool_calls", ()):
                if call["index"] == len(message["tool_calls"]):
                    assert call["id"]
                    assert call["function"]["name"], "the first chunk of a call names it"
                    message["tool_calls"].append({"id": call["id"], "function": dict(call["function"])})
                else:
                    message["tool_calls"][call["index"]]["function"]["arguments"] += call["function"]["arguments"]
            if "function_call" in delta:
                message["function_call"] = delta["function_call"]
            reason = choice["finish_reason"] or reason
    return message, reason


def called(message: dict[str, Any]) -> list[tuple[str, Any]]:
    return [(one["function"]["name"], json.loads(one["function"]["arguments"])) for one in message["tool_calls"]]


OSLO = {"name": "get_weather", "arguments": {"city": "Oslo"}}
PARIS = {"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}
STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


@STREAM
def test_calls_are_read_out_of_the_answer(http: httpx.Client, relay: Served, site: Any, stream: bool) -> None:
    site(lambda chat: "I look it up.\n\n" + fence(chat, OSLO, PARIS))
    message, reason = ask(http, stream=stream, tools=[WEATHER])
    assert message["content"] == "I look it up."
    assert called(message) == [("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Paris", "days": 2})]
    assert len({one["id"] for one in message["tool_calls"]}) == 2
    assert reason == "tool_calls"
    last = relay.pool.last
    assert last.given == "I look it up."
    assert [call.name for call in last.calls] == ["get_weather", "get_weather"]


@STREAM
def test_text_stays_text(http: httpx.Client, relay: Served, site: Any, stream: bool) -> None:
    text = 'It rains. In code:\n\n```json\n{"name": "no_tool", "arguments": {}}\n```\nand `<tool_call>` is a tag.'
    site(text)
    message, reason = ask(http, stream=stream, tools=[WEATHER])
    assert (message["content"], reason) == (text, "stop")
    assert not message.get("tool_calls")


@STREAM
def test_a_wrong_call_is_asked_for_again(http: httpx.Client, relay: Served, site: Any, stream: bool) -> None:
    wrong = {"name": "get_weather", "arguments": {"days": "soon"}}
    site(lambda chat: "I look.\n" + fence(chat, wrong), lambda chat: "Once more:\n" + fence(chat, OSLO))
    message, reason = ask(http, stream=stream, tools=[WEATHER])
    assert (called(message), reason) == ([("get_weather", {"city": "Oslo"})], "tool_calls")
    if stream:
        assert message["content"] == "I look.", "what was shown is shown"
    first, second = relay.pool.chats[-2:]
    assert "get_weather" in (first.given or "")
    assert second.request.conversation_id is None, "it is found by its history"
    assert second.request.heard == "key of the history"
    assert [one.role for one in second.request.messages] == ["user", "assistant", "user"]
    assert "days" in second.request.messages[-1].text, "it is told what was wrong"


@STREAM
def test_twice_wrong(http: httpx.Client, site: Any, stream: bool) -> None:
    wrong = {"name": "get_weather", "arguments": {"days": 1}}
    site(*[lambda chat: fence(chat, wrong)] * 2)
    message, reason = ask(http, stream=stream, tools=[WEATHER])
    assert (reason, message.get("tool_calls") or []) == ("stop", [])
    site(*[lambda chat: fence(chat, wrong)] * 2)
    body = {"model": "demo", "messages": [{"role": "user", "content": "x"}], "tools": [WEATHER]}
    answer = http.post(CHAT, json={**body, "tool_choice": "required", "stream": stream})
    assert "tool_call_failed" in answer.text
    assert answer.status_code == 502


def test_a_named_conversation_is_named_again(http: httpx.Client, relay: Served, site: Any) -> None:
    site("No.", lambda chat: fence(chat, OSLO))
    ask(http, stream=False, tools=[WEATHER], tool_choice="required", conversation_id="conv-1")
    assert relay.pool.last.request.conversation_id == "conv-9", "of which the client may know a part only"


def test_a_required_call_that_is_missing_is_asked_for(http: httpx.Client, relay: Served, site: Any) -> None:
    site("I would rather not.", lambda chat: fence(chat, OSLO))
    choice = {"type": "function", "function": {"name": "get_weather"}}
    message, _ = ask(http, stream=False, tools=[WEATHER], tool_choice=choice)
    assert called(message) == [("get_weather", {"city": "Oslo"})]


@pytest.mark.parametrize("fields", [{"tools": [WEATHER], "tool_choice": "none"}, {"tools": []}, {"tools": None}])
def test_without_tools_the_prompt_is_as_it_was(
    http: httpx.Client, relay: Served, site: Any, fields: dict[str, Any]
) -> None:
    text = '{"name": "get_weather", "arguments": {"city": "Oslo"}}'
    site(text)
    message, reason = ask(http, stream=False, **fields)
    assert (message["content"], reason) == (text, "stop"), "and so is the answer"
    asked = relay.pool.last.request
    assert "tools" not in prompt_of(asked, asked.messages)
    assert fields["tools"] or prompt_of(asked, asked.messages) == "How is Oslo?"


def test_functions_of_old(http: httpx.Client, site: Any) -> None:
    for stream in (False, True):
        site(lambda chat: fence(chat, OSLO, PARIS))
        message, reason = ask(http, stream=stream, functions=[WEATHER["function"]])
        assert reason == "function_call"
        assert json.loads(message["function_call"]["arguments"]) == {"city": "Oslo"}, "one call, as it was then"


def test_a_history_with_calls(http: httpx.Client, relay: Served, site: Any) -> None:
    site("It rains.")
    call = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Oslo"}'}}
    history = [
        {"role": "user", "content": "How is Oslo?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
    ]
    message, _ = ask(http, stream=False, tools=[WEATHER], messages=history)
    assert message["content"] == "It rains."
    request = relay.pool.last.request
    assert request.tools is not None
    prompt = prompt_of(request, request.messages)
    assert f"```call-{request.tools.nonce}" in prompt
    assert f"```result-{request.tools.nonce}" in prompt
    assert '"content":"rain"' in prompt.replace(": ", ":")


@STREAM
def test_json_that_fits(http: httpx.Client, site: Any, stream: bool) -> None:
    site('Here it is:\n```json\n{"age": 54}\n```\n')
    message, reason = ask(http, stream=stream, response_format=FORM)
    assert (json.loads(message["content"]), reason) == ({"age": 54}, "stop")
    site("It is fifty-four.", '```json\n{"age": "54 years"}\n```')
    body = {"model": "demo", "messages": [{"role": "user", "content": "x"}], "response_format": FORM, "stream": stream}
    answer = http.post(CHAT, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "tool_call_failed")
    site("No.", '```json\n{"age": 54}\n```')
    message, _ = ask(http, stream=stream, response_format=FORM)
    assert json.loads(message["content"]) == {"age": 54}
    site('{"any": [1]}')
    message, _ = ask(http, stream=stream, response_format={"type": "json_object"})
    assert json.loads(message["content"]) == {"any": [1]}


def test_what_the_model_wrote_is_told_but_not_logged(http: httpx.Client, site: Any) -> None:
    secret = {"name": "get_weather", "arguments": {"city": "Oslo", "days": "hunter2 wrote this"}}
    site(*[lambda chat: fence(chat, secret)] * 2)
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="DEBUG")
    try:
        body = {"model": "demo", "messages": [{"role": "user", "content": "x"}], "tools": [WEATHER]}
        answer = http.post(CHAT, json={**body, "tool_choice": "required"})
    finally:
        logger.remove(sink)
    assert "hunter2" in answer.json()["error"]["message"]
    logged = "".join(lines)
    assert "asked for again" in logged
    assert "tool_call_failed" in logged
    assert "hunter2" not in logged


async def test_who_left_is_not_asked_for_again() -> None:
    asked: list[ChatRequest] = []

    def submit(request: ChatRequest) -> ScriptedChat:
        asked.append(request)
        return ScriptedChat(request, saying("No calls here."))

    use = ToolUse((Tool("f"),), "7f3a", choice="required")
    choice = ModelChoice("demo", "demo", "demo")
    chat = ToolChat(submit, ChatRequest("r", choice, (Message("user", "hi"),), tools=use))
    async for event in chat:
        if isinstance(event, Text | Started):
            await chat.cancel()  # the end mark is on its way already
    assert len(asked) == 1
