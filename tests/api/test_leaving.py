"""The client goes away: the chat is cancelled, wherever it is."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any
from urllib.parse import urlsplit

import pytest
from loguru import logger

from tests.api.conftest import Served
from tests.api.raw import CHAT, body


def bare(relay: Served, asked: dict[str, Any], path: str = CHAT) -> socket.socket:
    """A request over a bare socket, so that leaving is nothing but closing it."""
    address = urlsplit(relay.url)
    content = json.dumps(asked).encode()
    connection = socket.create_connection((address.hostname or "", address.port or 0), timeout=10)
    head = f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(content)}\r\n\r\n"
    connection.sendall(head.encode() + content)
    return connection


def send(relay: Served, model: str, *, stream: bool, path: str = CHAT, **fields: Any) -> socket.socket:
    """The same, once its chat has begun."""
    relay.pool.submitted.clear()
    connection = bare(relay, body(model, stream=stream, **fields), path)
    assert relay.pool.submitted.wait(10)
    assert relay.pool.last.started.wait(10)
    return connection


ROUTES: dict[str, dict[str, Any]] = {
    CHAT: {},
    "/v1/responses": {"input": "hi"},
    "/v1/messages": {"max_tokens": 100},
}
"""What each route needs beside what all of them take."""
ways = pytest.mark.parametrize(("path", "stream"), [(path, stream) for path in ROUTES for stream in (True, False)])


@ways
def test_while_waiting(relay: Served, path: str, stream: bool) -> None:
    send(relay, "demo/silent", stream=stream, path=path, **ROUTES[path]).close()
    assert relay.pool.last.cancelled.wait(10)
    assert relay.pool.last.ended.wait(10)


@pytest.mark.parametrize("path", ROUTES)
def test_in_the_middle_of_a_stream(relay: Served, path: str) -> None:
    connection = send(relay, "demo/slow", stream=True, path=path, **ROUTES[path])
    received = b""
    while b"begun" not in received:
        received += connection.recv(65536)
    assert not relay.pool.last.cancelled.is_set()
    connection.close()
    assert relay.pool.last.cancelled.wait(10)


@pytest.mark.parametrize("path", ROUTES)
def test_in_the_middle_of_a_whole_answer(relay: Served, path: str) -> None:
    send(relay, "demo/slow", stream=False, path=path, **ROUTES[path]).close()
    assert relay.pool.last.cancelled.wait(10)


@pytest.mark.parametrize("stream", [True, False])
def test_several_models_at_once(relay: Served, stream: bool) -> None:
    send(relay, "demo/silent+demo/slow", stream=stream).close()
    for chat in relay.pool.chats[-2:]:
        assert chat.cancelled.wait(10)
        assert chat.ended.wait(10)


def test_a_finished_chat_is_not_cancelled(relay: Served) -> None:
    with relay.client() as http:
        assert http.post(CHAT, json=body(stream=True)).status_code == 200
    assert relay.pool.last.ended.wait(10)
    assert not relay.pool.last.cancelled.is_set()


def test_the_next_request_works(relay: Served) -> None:
    send(relay, "demo/silent", stream=True).close()
    with relay.client() as http:
        assert http.post(CHAT, json=body()).status_code == 200


def test_before_the_request_is_whole(relay: Served) -> None:
    lines: list[str] = []
    answered = threading.Event()

    def note(line: str) -> None:
        lines.append(line)
        if " 499 " in line:
            answered.set()

    sink = logger.add(note, level="INFO", format="{level} {message}")
    try:
        address = urlsplit(relay.url)
        connection = socket.create_connection((address.hostname or "", address.port or 0), timeout=10)
        head = f"POST {CHAT} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: 1000\r\n\r\n"
        connection.sendall(head.encode() + b'{"model": ')
        connection.close()
        assert answered.wait(10), "logged as a client that left"
    finally:
        logger.remove(sink)
    assert not [line for line in lines if line.startswith("ERROR")]
