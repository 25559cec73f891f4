"""What clients of Anthropic's API send arrives at the pool as they meant it; what is wrong in it is named."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

from relay.chat.prompt import prompt_of
from tests.api.anthropic_events import COUNT, MESSAGES, ask, body, error_of, text_of
from tests.api.conftest import Served
from tests.api.raw import CHAT
from tests.api.test_bad_input import PNG

IMAGE = base64.b64encode(PNG).decode()
PDF = base64.b64encode(b"%PDF-1.7").decode()
CACHE = {"type": "ephemeral"}


def echo(http: httpx.Client, messages: Any, **fields: Any) -> str:
    """What the pool was asked, written out."""
    return text_of(ask(http, "demo/echo", messages=messages, **fields))


def user(*blocks: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": list(blocks)}]


def test_roles_and_blocks(http: httpx.Client) -> None:
    said = echo(
        http,
        [
            {"role": "user", "content": "look"},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "hm", "signature": "x"},
                    {"type": "redacted_thinking", "data": "x"},
                    {"type": "text", "text": "I "},
                    {"type": "text", "text": "look.", "citations": None},
                    {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}},
                    {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
                    {"type": "tool_use", "id": "t1", "name": "look", "input": {"at": "Århus"}},
                    {"type": "tool_use", "id": "t2", "name": "hear", "input": None},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "t1", "content": "a\nb", "cache_control": CACHE},
                    {
                        "type": "tool_result",
                        "tool_use_id": "t2",
                        "is_error": True,
                        "content": [{"type": "text", "text": "no"}, {"type": "text", "text": "ears"}],
                    },
                    {"type": "tool_result", "tool_use_id": "t3"},
                    {"type": "of_times_to_come", "deep": [[]]},
                    {"type": "text", "text": "and", "cache_control": CACHE},
                    {"type": "text", "text": "now?"},
                ],
            },
            {"role": "system", "content": [{"type": "text", "text": "be quick"}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": ""}]},
            {"role": "user", "content": ""},
        ],
        system=[{"type": "text", "text": "be brief", "cache_control": CACHE}, {"type": "text", "text": "be kind"}],
    )
    assert said == (
        "system: be brief\n\nbe kind\n"
        "user: look\n"
        'assistant: I look.<look {"at": "Århus"} t1><hear {} t2>\n'
        "tool(look t1): a\nb\n"
        "tool(hear t2): Error: no\nears\n"
        "tool(t3): \n"
        "user: and\nnow?\n"
        "system: be quick\n"
    )


def test_what_is_billed_by_is_left_out(http: httpx.Client) -> None:
    billing = {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cch=ab12c;"}
    system = [billing, {"type": "text", "text": "Be brief."}]
    assert echo(http, [{"role": "user", "content": "hi"}], system=system) == "system: Be brief.\nuser: hi\n"


def test_files(http: httpx.Client) -> None:
    said = echo(
        http,
        user(
            {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": IMAGE}},
            {"type": "image", "source": {"type": "url", "url": f"data:image/png;base64,{IMAGE}"}},
            {
                "type": "document",
                "title": "a.pdf",
                "context": "Of 1999.",
                "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
            },
            {"type": "document", "title": "Notes", "source": {"type": "text", "media_type": "text/plain", "data": "n"}},
            {
                "type": "document",
                "source": {
                    "type": "content",
                    "content": [{"type": "text", "text": "c"}, {"type": "image", "source": {"data": IMAGE}}],
                },
            },
            {"type": "document", "source": {"type": "content", "content": "d"}},
            {
                "type": "search_result",
                "source": "https://example.org",
                "title": "Found",
                "content": [{"type": "text", "text": "f"}],
            },
            {"type": "text", "text": "what?"},
        ),
    )
    png = f"<image image/png file.png {len(PNG)}>"
    assert said == (
        "user: Of 1999.\nNotes\nn\nc\nd\nFound (https://example.org)\nf\nwhat?"
        f"{png}{png}<file application/pdf a.pdf 8>{png}\n"
    )


def test_files_that_a_tool_brought(http: httpx.Client) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}}
    said = echo(
        http,
        [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "shot", "input": {}}]},
            *user({"type": "tool_result", "tool_use_id": "t1", "content": [image, {"type": "text", "text": "there"}]}),
        ],
    )
    assert said == f"assistant: <shot {{}} t1>\ntool(shot t1): there<image image/png file.png {len(PNG)}>\n"


def test_stored_files(http: httpx.Client) -> None:
    for name, data, kind in (("p.png", PNG, "image"), ("a.txt", b"stored", "document")):
        stored = http.post("/v1/files", files={"file": (name, data)}, data={"purpose": "user_data"}).json()
        said = echo(http, user({"type": kind, "source": {"type": "file", "file_id": stored["id"]}}))
        assert f"{name} {len(data)}>" in said


def test_thinking_is_the_model_s_switch(http: httpx.Client, relay: Served) -> None:
    for kind, on in (("enabled", True), ("adaptive", True), ("disabled", False)):
        ask(http, thinking={"type": kind, "budget_tokens": 1024})
        assert relay.pool.last.request.choice.thinking is on
    answer = http.post(MESSAGES, json=body("demo/echo", thinking={"type": "adaptive"}))
    assert answer.headers["x-relay-ignored"] == "thinking"


def test_tools(http: httpx.Client, relay: Served) -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}
    look = {"type": "custom", "name": "look", "description": "Look.", "input_schema": {"type": "object"}}
    answer = http.post(MESSAGES, json=body(tools=[search, look, {"type": "bash_20250124", "name": "bash"}]))
    assert answer.headers["x-relay-ignored"] == "tools[bash_20250124]"
    request = relay.pool.last.request
    assert request.choice.search, "the site searches"
    assert request.tools is not None and [tool.name for tool in request.tools.tools] == ["look"]
    answer = http.post(
        MESSAGES, json=body("demo/echo", tools=[search], tool_choice={"type": "tool", "name": "web_search"})
    )
    assert answer.headers["x-relay-ignored"] == "tools[web_search_20250305]"
    assert relay.pool.last.request.tools is None


@pytest.mark.parametrize("path", [MESSAGES, CHAT])
@pytest.mark.parametrize("kind", ["x\r\nset-cookie: a=b", "web_search_\r\n\r\n", "é\0", "w" * 1000])
def test_a_type_that_no_header_could_hold(http: httpx.Client, path: str, kind: str) -> None:
    answer = http.post(path, json=body("demo/echo", tools=[{"type": kind}]))
    assert answer.status_code == 200, answer.text
    named = answer.headers["x-relay-ignored"]
    assert named.startswith("tools[") and len(named) < 50
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ("auto", (), True)),
        ({"type": "auto"}, ("auto", (), True)),
        ({"type": "auto", "disable_parallel_tool_use": True}, ("auto", (), False)),
        ({"type": "none"}, ("none", (), True)),
    ],
)
def test_tool_choices(http: httpx.Client, relay: Served, choice: Any, expected: Any) -> None:
    ask(http, tools=[{"name": "look"}], tool_choice=choice)
    use = relay.pool.last.request.tools
    assert use is not None
    assert (use.choice, use.names, use.parallel) == expected


@pytest.mark.parametrize(("choice", "names"), [({"type": "any"}, ()), ({"type": "tool", "name": "look"}, ("look",))])
def test_a_call_that_must_be_made(http: httpx.Client, relay: Served, choice: Any, names: Any) -> None:
    answer = http.post(MESSAGES, json=body(tools=[{"name": "look"}], tool_choice=choice))
    use = relay.pool.last.request.tools
    assert use is not None
    assert (use.choice, use.names) == ("required", names)
    error_of(answer, 502, "api_error", "tool_call_failed")  # the scripted site calls nothing


def test_what_has_no_effect_is_named(http: httpx.Client) -> None:
    sent: dict[str, Any] = {
        "temperature": 1,
        "top_p": None,
        "top_k": 5,
        "mcp_servers": [],
        "metadata": {"user_id": "x"},
        "speed": 1,
    }
    answer = http.post(MESSAGES, json=body(**sent))
    assert answer.headers["x-relay-ignored"] == "temperature, top_k, mcp_servers"


def test_a_conversation_by_its_name(http: httpx.Client, relay: Served) -> None:
    ask(http, conversation_id="conv-1")
    assert relay.pool.last.request.conversation_id == "conv-1"


def claude_code(*messages: dict[str, Any]) -> dict[str, Any]:
    """A body as Claude Code sends it: 24 tools, a system prompt in three blocks, a system message among the others."""
    tools = [
        {
            "name": f"Tool{number}",
            "description": f"Does things of the kind {number}. " + "Use it when there is something to do. " * 60,
            "input_schema": {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "type": "object",
                "properties": {"command": {"type": "string", "description": "What to do. " * 8}},
                "required": ["command"],
                "additionalProperties": False,
            },
        }
        for number in range(24)
    ]
    system = [{"type": "text", "text": "You are a tool for programmers. " * count} for count in (1, 2, 500)]
    return {
        "model": "demo",
        "max_tokens": 32000,
        "stream": True,
        "system": [
            system[0],
            *({**block, "cache_control": {"type": "ephemeral", "ttl": "1h"}} for block in system[1:]),
        ],
        "messages": [
            {"role": "system", "content": "<system-reminder>Today is Monday.</system-reminder>"},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "<system-reminder>Rules of the house.</system-reminder>"},
                    {"type": "text", "text": "List the files.", "cache_control": CACHE},
                ],
            },
            *messages,
        ],
        "tools": tools,
        "metadata": {"user_id": json.dumps({"device_id": "d" * 64})},
        "thinking": {"type": "adaptive"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "output_config": {"effort": "medium"},
        "diagnostics": {"previous_message_id": None},
    }


def test_a_body_of_claude_code(http: httpx.Client, relay: Served) -> None:
    """Two turns: a call, and what it brought."""
    headers = {"anthropic-version": "2023-06-01", "anthropic-beta": "a-2025-01-01,b-2025-01-01", "x-app": "cli"}
    first = claude_code()
    assert len(json.dumps(first)) > 78_000
    assert http.post(f"{MESSAGES}?beta=true", json=first, headers=headers).status_code == 200
    request = relay.pool.last.request
    assert request.choice.thinking
    assert [message.role for message in request.messages] == ["system", "system", "user"]
    assert request.tools is not None and len(request.tools.tools) == 24
    second = claude_code(
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "", "signature": "cmVsYXk="},
                {"type": "tool_use", "id": "toolu_1", "name": "Tool1", "input": {"command": "ls"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "a.py\nb.py", "is_error": False},
                {"type": "text", "text": "<system-reminder>Go on.</system-reminder>"},
            ],
        },
    )
    assert http.post(f"{MESSAGES}?beta=true", json=second, headers=headers).status_code == 200
    request = relay.pool.last.request
    assert [message.role for message in request.messages] == ["system", "system", "user", "assistant", "tool", "user"]
    prompt = prompt_of(request, request.messages)
    assert '"name":"Tool1","id":"toolu_1","content":"a.py\\nb.py"' in prompt
    counted = http.post(COUNT, json={key: value for key, value in second.items() if key != "max_tokens"})
    assert 15_000 < counted.json()["input_tokens"] < 30_000


# what is wrong


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"model":"demo","messages":[{"role":"user","content":"\\ud800"}]}',
        b'{"model":"demo","messages":' + b'[{"content":' * 50_000,
        b'{"model":"demo","messages":[{"role":"user","content":' + b'[{"type":"tool_result","content":' * 10_000,
    ],
)
def test_not_json(http: httpx.Client, raw: bytes) -> None:
    for path in (MESSAGES, COUNT):
        error_of(http.post(path, content=raw), 400, "invalid_request_error", "invalid_request")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [7]}, "messages[0]"),
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ""}], "system": "be brief"}, "messages"),
        ({"messages": user(None)}, "messages[0].content[0]"),
        ({"messages": user({})}, "messages[0].content[0]"),
        ({"messages": user({"type": 5})}, "messages[0].content[0]"),
        ({"messages": user({"type": "text"})}, "messages[0].content[0].text"),
        ({"messages": user({"type": "image"})}, "messages[0].content[0].source"),
        ({"messages": user({"type": "image", "source": {"type": "base64"}})}, "messages[0].content[0].source"),
        ({"messages": user({"type": "image", "source": {"data": "%%%"}})}, "messages[0].content[0].source"),
        (
            {"messages": user({"type": "image", "source": {"type": "url", "url": "http://127.0.0.1/a.png"}})},
            "messages[0].content[0].source",
        ),
        (
            {"messages": user({"type": "document", "source": {"type": "file", "file_id": "file-1"}})},
            "messages[0].content[0].source",
        ),
        (
            {"messages": user({"type": "tool_result", "content": [{"type": "image", "source": {"data": "*"}}]})},
            "messages[0].content[0].content[0].source",
        ),
        ({"messages": user({"type": "tool_result", "content": 5})}, "messages[0].content[0].content"),
        ({"system": 5}, "system"),
        ({"stream": "perhaps"}, "stream"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stop_sequences": ["x"] * 100}, "stop_sequences"),
        ({"thinking": 5}, "thinking"),
        ({"tools": [7]}, "tools[0]"),
        ({"tools": [{"input_schema": {}}]}, "tools[0]"),
        ({"tools": [{"name": "f", "input_schema": []}]}, "tools[0]: input_schema"),
        ({"tools": [{"name": "f"}], "tool_choice": {"type": "tool", "name": "g"}}, "tool_choice"),
        ({"tools": [{"name": "f"}], "tool_choice": "perhaps"}, "tool_choice"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format"),
        ({"output_format": 5}, "output_format"),
    ],
)
def test_wrong_values_are_named(http: httpx.Client, change: dict[str, Any], named: str) -> None:
    answer = http.post(MESSAGES, json={**body(), **change})
    assert error_of(answer, 400, "invalid_request_error", "invalid_request").startswith(named)
    assert http.post(MESSAGES, json=body()).status_code == 200, "the next request works"


def test_the_prompt_is_not_in_the_error(http: httpx.Client) -> None:
    answer = http.post(MESSAGES, json=body(messages=[{"role": "user", "content": [{"secret prompt": 1}]}]))
    assert answer.status_code == 400
    assert "secret" not in answer.text
