"""The judge of what clients got: it finds every answer on a connection, and each of the faults it is there for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.clients.exchange import Exchange, exchanges

ASK = b"POST /v1/chat/completions?x=1 HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}"
LIST = b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n"
SSE = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
MODELS = {"object": "list", "data": [{"id": "demo", "object": "model", "created": 1, "owned_by": "demo"}]}


def whole(value: Any, status: int = 200) -> bytes:
    """An answer in one body."""
    body = json.dumps(value).encode()
    return b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(body)) + body


def chunk(delta: Any, finish: str | None = None, **changes: Any) -> bytes:
    """A chunk of a stream, as an event."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "demo"}
    return b"data: %s\n\n" % json.dumps({**head, "choices": [choice], **changes}).encode()


def http(*events: bytes, end: bool = True) -> bytes:
    """A streamed answer, each event a part of the transfer."""
    return SSE + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in events) + (b"0\r\n\r\n" if end else b"")


TEXT, FINISH, DONE = chunk({"content": "hi"}), chunk({}, "stop"), b"data: [DONE]\n\n"


def one(answer: bytes, request: bytes = ASK) -> Exchange:
    """The only exchange."""
    [found] = exchanges(request, answer)
    return found


def test_every_answer_of_a_connection_is_found() -> None:
    found = list(exchanges(LIST + ASK + LIST + LIST, whole(MODELS) + http(TEXT, FINISH, DONE) + whole(MODELS)))
    assert [(each.method, each.path, each.status) for each in found] == [
        ("GET", "/v1/models", 200),
        ("POST", "/v1/chat/completions", 200),
        ("GET", "/v1/models", 200),
    ]
    assert found[1].request == {}
    for each in found:
        each.check()


@pytest.mark.parametrize(
    "answer",
    [
        http(chunk({"content": 1}), FINISH, DONE),
        http(TEXT, FINISH),
        http(TEXT, DONE),
        http(TEXT, FINISH, FINISH, DONE),
        http(TEXT, chunk({}, "stop", created=2), DONE),
        http(TEXT, b'data: {"error": {"message": "no"}}\n\n'),
        whole({"object": "chat.completion"}),
        whole({"detail": "no"}, 422),
        whole(MODELS)[:-1],
        http(TEXT, FINISH, DONE, end=False),
    ],
    ids=["type", "no end", "no finish", "two", "created", "error", "whole", "refusal", "cut", "left"],
)
def test_faults_are_found(answer: bytes) -> None:
    with pytest.raises(AssertionError):
        one(answer).check()


def test_an_unknown_route_is_no_pass() -> None:
    with pytest.raises(AssertionError, match="no schema is known"):
        one(whole({}), b"GET /v1/nothing HTTP/1.1\r\nhost: a\r\n\r\n").check()
