"""`/v1/messages`: answers, streamed and whole, errors and counts, byte by byte."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from relay.chat.events import Event, Finished, FinishReason, Reasoning, Source, Sources, Text, ToolCall
from tests.api import pool as scripts
from tests.api.anthropic_events import COUNT, MESSAGES, ask, body, error_of, parse, text_of
from tests.api.conftest import Served
from tests.api.pool import ANSWER, ScriptedChat
from tests.api.raw import CHAT
from tests.api.test_leaving import send
from tests.spec import ANTHROPIC, validate

STREAM = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
Says = Callable[..., None]
TOOL = {"name": "look", "description": "Look it up.", "input_schema": {"type": "object", "properties": {}}}


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Says:
    """`says(event, …)` makes `demo` answer so."""

    def set_up(*events: Event) -> None:
        async def script(chat: ScriptedChat) -> AsyncIterator[Event]:
            for event in events:
                yield event

        monkeypatch.setitem(scripts.SCRIPTS, "demo", script)

    return set_up


@STREAM
def test_text(http: httpx.Client, relay: Served, stream: bool) -> None:
    message = ask(http, stream=stream)
    assert message["content"] == [{"type": "text", "text": ANSWER}]
    assert (message["stop_reason"], message["stop_sequence"]) == ("end_turn", None)
    assert message["model"] == "demo"
    assert message["id"].startswith("msg_")
    assert message["id"] == relay.pool.last.request.answer_id, "a conversation can be continued by it"
    assert message["conversation_id"] == "conv-1"
    assert message["usage"]["input_tokens"] == 1
    assert message["usage"]["output_tokens"] == -(-len(ANSWER.encode()) // 4)
    assert relay.pool.last.given == ANSWER


def test_the_order_of_events(http: httpx.Client) -> None:
    answer = http.post(MESSAGES, json=body("demo/rich", stream=True))
    assert answer.headers["cache-control"] == "no-cache"
    block = ["content_block_start", "content_block_delta", "content_block_stop"]
    assert parse(answer.text).types == ["message_start", *block, *block, "message_delta", "message_stop"]


def test_a_stream_tells_the_same_as_the_whole(http: httpx.Client) -> None:
    whole, streamed = (ask(http, "demo/rich", stream=stream) for stream in (False, True))
    assert whole.pop("id") != streamed.pop("id")
    assert whole == streamed


@STREAM
def test_thinking_and_sources(http: httpx.Client, stream: bool) -> None:
    thinking, text = ask(http, "demo/rich", stream=stream)["content"]
    assert thinking["thinking"] == "Searching: weather in Oslo\nLet me think."
    assert thinking["signature"], "clients drop blocks that have none"
    [citation] = text["citations"]
    assert (citation["url"], citation["title"]) == ("https://example.org/a", "A [page]")


@STREAM
@pytest.mark.parametrize("thinking", [{"type": "disabled"}, {"type": "adaptive", "display": "omitted"}])
def test_thinking_that_nobody_wants_to_see(http: httpx.Client, stream: bool, thinking: dict[str, str]) -> None:
    message = ask(http, "demo/rich", stream=stream, thinking=thinking)
    assert [block["type"] for block in message["content"]] == ["text"]
    assert message["usage"]["output_tokens_details"]["thinking_tokens"] > 0, "it cost tokens all the same"


def test_thinking_between_texts(http: httpx.Client, says: Says, relay: Served) -> None:
    says(Text("One."), Reasoning("Hm."), Text("Two."), Finished("stop"))
    message = ask(http, stream=True)
    assert [block["type"] for block in message["content"]] == ["text", "thinking", "text"]
    history = [{"role": "assistant", "content": message["content"]}, {"role": "user", "content": "go on"}]
    ask(http, messages=history)
    assert relay.pool.last.request.messages[0].text == relay.pool.chats[-2].given, "it is known again"


@STREAM
def test_sources_of_an_answer_that_ends_in_thought(http: httpx.Client, says: Says, stream: bool) -> None:
    pages = [Source("https://example.org/a", snippet="x" * 1000), Source("https://example.org/b")]
    says(Text("It rains."), Sources(tuple(pages)), Reasoning("Done."), Finished("stop"))
    message = ask(http, stream=stream)
    cited = [citation for block in message["content"] for citation in block.get("citations") or ()]
    assert [(one["url"], one["title"], len(one["cited_text"])) for one in cited] == [
        ("https://example.org/a", None, 150),
        ("https://example.org/b", None, 0),
    ]
    assert text_of(message) == "It rains."


@STREAM
def test_calls(http: httpx.Client, says: Says, relay: Served, stream: bool) -> None:
    calls = (ToolCall("look", '{"at": "Oslo \\u2603"}'), ToolCall("look", "{}"))
    says(Text("I look."), *calls, Finished("tool_calls"))
    message = ask(http, stream=stream)
    text, first, second = message["content"]
    assert text == {"type": "text", "text": "I look."}
    assert (first["name"], first["input"]) == ("look", {"at": "Oslo ☃"})
    assert (second["name"], second["input"]) == ("look", {})
    assert first["id"] != second["id"]
    assert message["stop_reason"] == "tool_use"
    assert [call.name for call in relay.pool.last.calls] == ["look", "look"]


@STREAM
def test_a_call_read_out_of_the_text(http: httpx.Client, relay: Served, says: Says, stream: bool) -> None:
    says(Text("I look.\n\n<tool_call>\n"), Text('{"name": "look", "arguments": {"at": 1}}\n</tool_call>'), Finished())
    message = ask(http, stream=stream, tools=[TOOL])
    assert [block["type"] for block in message["content"]] == ["text", "tool_use"]
    assert message["content"][1]["input"] == {"at": 1}
    assert message["stop_reason"] == "tool_use"
    again = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": message["content"]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": message["content"][1]["id"]}]},
    ]
    ask(http, stream=stream, tools=[TOOL], messages=again)
    said, brought = relay.pool.last.request.messages[1:]
    assert said.text == relay.pool.chats[-2].given
    assert [call.name for call in said.calls] == ["look"]
    assert (brought.role, brought.name, brought.call_id) == ("tool", "look", said.calls[0].id)


@STREAM
def test_stop_sequences(http: httpx.Client, stream: bool) -> None:
    message = ask(http, stream=stream, stop_sequences=["no such", "wör", "", ", w"])
    assert text_of(message) == "Hello"
    assert (message["stop_reason"], message["stop_sequence"]) == ("stop_sequence", ", w"), "the first that came"
    message = ask(http, stream=stream, stop_sequences=["END"])
    assert (message["stop_reason"], message["stop_sequence"]) == ("end_turn", None)


@STREAM
def test_a_token_limit(http: httpx.Client, stream: bool) -> None:
    message = ask(http, stream=stream, max_tokens=1, stop_sequences=["wör"])
    assert (text_of(message), message["stop_reason"], message["stop_sequence"]) == ("Hell", "max_tokens", None)


@STREAM
@pytest.mark.parametrize(("reason", "told"), [("length", "max_tokens"), ("content_filter", "refusal")])
def test_other_ends(http: httpx.Client, says: Says, stream: bool, reason: FinishReason, told: str) -> None:
    says(Finished(reason))
    message = ask(http, stream=stream)
    assert (message["content"], message["stop_reason"]) == ([], told)


def test_pings_keep_a_stream_alive(http: httpx.Client) -> None:
    stream = parse(http.post(MESSAGES, json=body("demo/late", stream=True)).text)
    assert stream.types[:2] == ["message_start", "ping"]
    assert text_of(stream.message) == "late"


@STREAM
def test_json_that_fits(http: httpx.Client, relay: Served, says: Says, stream: bool) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    form = {"type": "json_schema", "schema": schema}
    says(Text('Here:\n```json\n{"age": 54}\n```'), Finished())
    ways: list[dict[str, Any]] = [{"output_config": {"format": form, "effort": "high"}}, {"output_format": form}]
    for fields in ways:
        assert text_of(ask(http, stream=stream, **fields)).strip() == '{"age": 54}'
        asked = relay.pool.last.request.form
        assert asked is not None and asked.schema == schema


@STREAM
@pytest.mark.parametrize(
    ("model", "status", "kind", "code"),
    [
        ("nope", 404, "not_found_error", "model_not_found"),
        ("demo/refused", 400, "invalid_request_error", "content_filter"),
        ("demo/limited", 429, "rate_limit_error", "rate_limit_exceeded"),
        ("demo/full", 429, "rate_limit_error", "queue_full"),
        ("demo/early-failure", 503, "overloaded_error", "login_needed"),
        ("demo/broken", 500, "api_error", "internal_error"),
    ],
)
def test_errors(http: httpx.Client, stream: bool, model: str, status: int, kind: str, code: str) -> None:
    error_of(http.post(MESSAGES, json=body(model, stream=stream)), status, kind, code)


@pytest.mark.parametrize(
    ("model", "text", "kind", "code"),
    [
        ("demo/cut", "half an ans", "api_error", "answer_cut"),
        ("demo/late-failure", "", "api_error", "site_unavailable"),
        ("demo/retracted", "Something forbidden", "invalid_request_error", "content_filter"),
    ],
)
def test_errors_in_the_middle_of_a_stream(http: httpx.Client, model: str, text: str, kind: str, code: str) -> None:
    answer = http.post(MESSAGES, json=body(model, stream=True))
    stream = parse(answer.text)
    assert text_of(stream.message) == text
    assert stream.error is not None
    assert (stream.error["type"], stream.error["code"]) == (kind, code)
    assert answer.headers["request-id"] in answer.text


def test_refusals_of_the_framework_and_of_the_gate(http: httpx.Client) -> None:
    error_of(http.get(MESSAGES), 405, "invalid_request_error", "method_not_allowed")
    error_of(http.post(f"{MESSAGES}/batches", json={}), 404, "not_found_error", "unknown_url")
    foreign = http.post(MESSAGES, json=body(), headers={"host": "evil.example"})
    error_of(foreign, 403, "permission_error", "forbidden")
    large = http.post(MESSAGES, json=body(system="x" * 50_000_000))
    error_of(large, 413, "request_too_large", "request_too_large")
    assert "type" not in http.get("/v1/chat/completions").json(), "OpenAI's clients get OpenAI's shape"


def test_keys(serve: Callable[..., Served]) -> None:
    with serve(api_keys=["secret"]).client() as http:
        for headers in ({}, {"x-api-key": "wrong"}, {"authorization": "Bearer wrong"}):
            for path in (MESSAGES, COUNT):
                refused = http.post(path, json=body(), headers=headers)
                error_of(refused, 401, "authentication_error", "invalid_api_key")
        for headers in ({"x-api-key": "secret"}, {"authorization": "Bearer secret"}):
            assert http.post(MESSAGES, json=body(), headers=headers).status_code == 200
            assert http.post(COUNT, json=body(), headers=headers).status_code == 200
            assert http.post(CHAT, json=body(), headers=headers).status_code == 200
            assert http.get("/v1/models", headers=headers).status_code == 200
        tokens = {"x-api-key": "tok-abcd"}
        assert http.post(COUNT, json=body(), headers=tokens).status_code == 200, "a token of the model's site"
        error_of(http.post(COUNT, json=body("kimi"), headers=tokens), 401, "authentication_error", "invalid_api_key")


def test_head_of_the_root(http: httpx.Client) -> None:
    answer = http.head("/")
    assert (answer.status_code, answer.content) == (200, b"")


def test_beta_is_routed(http: httpx.Client) -> None:
    assert http.post(f"{MESSAGES}?beta=true", json=body(), headers={"anthropic-beta": "x"}).status_code == 200
    assert http.post(f"{COUNT}?beta=true", json=body()).status_code == 200


def test_counting(http: httpx.Client, relay: Served) -> None:
    before = len(relay.pool.chats)

    def count(**fields: object) -> int:
        answer = http.post(
            COUNT, json={"model": "demo", "messages": [{"role": "user", "content": "12345678"}], **fields}
        )
        assert answer.status_code == 200, answer.text
        validate("MessageTokensCount", answer.json(), ANTHROPIC)
        counted: int = answer.json()["input_tokens"]
        return counted

    assert count() == 2
    assert count(system="1234") == 3
    assert count(system=[{"type": "text", "text": "1234", "cache_control": {"type": "ephemeral"}}]) == 3
    with_tools = count(tools=[TOOL])
    assert with_tools > 10
    assert (
        with_tools
        == ask(http, tools=[TOOL], messages=[{"role": "user", "content": "12345678"}])["usage"]["input_tokens"]
    ), "as in an answer"
    assert count(tools=[TOOL], tool_choice={"type": "none"}) == 2, "the site is not told of them"
    assert count(model="demo+demo/echo") == 4, "two models are asked"
    assert len(relay.pool.chats) == before + 1, "counting begins no chat"
    error_of(http.post(COUNT, json={"model": "demo"}), 400, "invalid_request_error", "invalid_request")
    error_of(http.post(COUNT, json=body("nope")), 404, "not_found_error", "model_not_found")


@STREAM
def test_the_client_leaves(relay: Served, stream: bool) -> None:
    send(relay, "demo/silent", stream=stream, path=MESSAGES).close()
    assert relay.pool.last.cancelled.wait(10)
    assert relay.pool.last.ended.wait(10)


def test_the_client_leaves_in_the_middle_of_a_stream(relay: Served) -> None:
    connection = send(relay, "demo/slow", stream=True, path=MESSAGES)
    received = b""
    while b"begun" not in received:
        received += connection.recv(65536)
    assert not relay.pool.last.cancelled.is_set()
    connection.close()
    assert relay.pool.last.cancelled.wait(10)
