"""The ChatGPT replica's socket: an answer that goes on there, followed from any offset."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from tests.replicas import Fault, Replicas, Scenario
from tests.replicas.chatgpt import access_token
from tests.replicas.chatgpt.reading import Heard, hear
from tests.replicas.chatgpt.user import User

HOST = "chatgpt.com"


@pytest.fixture
async def client(replicas: Replicas) -> AsyncIterator[httpx.AsyncClient]:
    """A plain client of the site."""
    async with replicas.client(HOST) as client:
        yield client


@asynccontextmanager
async def opened(replicas: Replicas, url: str) -> AsyncIterator[ClientConnection]:
    """The site's socket."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with connect(url, host="127.0.0.1", port=replicas.port, ssl=context, proxy=None) as socket:
        yield socket


def commands(topic: str, offset: str = "0") -> str:
    """What a client says first."""
    presence = {"type": "presence", "state": "foreground"}
    return json.dumps(
        [
            {"id": 1, "command": {"type": "connect", "presence": presence}},
            {"id": 2, "command": {"type": "subscribe", "topic_id": topic, "offset": offset}},
        ]
    )


async def handed(
    replicas: Replicas, client: httpx.AsyncClient, name: str, scenario: Scenario
) -> tuple[Heard, str, str]:
    """A chat call whose answer goes on at the socket: what it held, the topic, and the socket's address."""
    scenario.options["handoff"] = "ws"
    await replicas.play("chatgpt", name, scenario)
    user = User(client, name)
    heard = await user.ask("hi")
    [option] = heard.one("stream_handoff")["options"]
    return heard, option["topic_id"], (await user.get("/celsius/ws/user"))["websocket_url"]


async def listen(socket: ClientConnection) -> list[dict[str, Any]]:
    """All messages up to the answer's end."""
    messages: list[dict[str, Any]] = []
    async for text in socket:
        messages.append(json.loads(text))
        if messages[-1].get("payload", {}).get("payload", {}).get("type") == "done":
            break
    return messages


def items(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The answer's messages, those of the subscription's reply too."""
    early = [item for message in messages for item in message.get("reply", {}).get("catchups", [])]
    return early + [message for message in messages if message.get("type") == "message"]


def told(messages: list[dict[str, Any]]) -> bytes:
    """The stream that the messages hold."""
    return "".join(item["payload"]["payload"].get("encoded_item", "") for item in items(messages)).encode()


async def test_an_answer_is_followed_from_any_offset(replicas: Replicas, client: httpx.AsyncClient) -> None:
    given, topic, url = await handed(replicas, client, "gpt-listener", Scenario())
    assert url.startswith("wss://ws.chatgpt.com/")
    async with opened(replicas, url) as socket:
        await socket.send(commands(topic))
        messages = await listen(socket)
    assert [message.get("id") for message in messages[:2]] == [1, 2]
    heard = hear(told(messages))
    assert (heard.text, heard.done) == ("Because short waves scatter more.", True)
    stream = [
        one["payload"]["payload"] for one in items(messages) if one["payload"]["payload"]["type"] == "stream-item"
    ]
    assert [one["parent_stream_item_id"] for one in stream[1:]] == [one["stream_item_id"] for one in stream[:-1]]
    assert {one["conversation_id"] for one in stream} == {given.conversation}
    async with opened(replicas, url) as socket:
        await socket.send(commands(topic, "4"))
        again = await listen(socket)
    assert told(messages).endswith(told(again))
    assert told(again).count(b"\n\n") == told(messages).count(b"\n\n") - 4
    [record, _] = await replicas.records(account="gpt-listener", operation="socket", count=2)
    assert (record.status, record.body[0][1]["command"]["topic_id"]) == (101, topic)


async def test_heartbeats_then_the_site_breaks_off(replicas: Replicas, client: httpx.AsyncClient) -> None:
    stall = Fault(kind="stall", after=2, heartbeat_ms=5, times=1)
    _, topic, url = await handed(replicas, client, "gpt-patient", Scenario(faults=[stall]))
    async with opened(replicas, url) as socket:
        await socket.send(commands(topic))
        beats = 0
        async for text in socket:
            beats += json.loads(text).get("payload", {}).get("payload", {}).get("type") == "heartbeat"
            if beats == 4:
                break
    cut = Fault(kind="cut", after=4, times=1)
    _, topic, url = await handed(replicas, client, "gpt-cut-off", Scenario(faults=[cut]))
    async with opened(replicas, url) as socket:
        await socket.send(commands(topic))
        with pytest.raises(ConnectionClosedError):
            await listen(socket)
    [record] = await replicas.records(account="gpt-cut-off", operation="socket", count=1)
    assert record.state == "torn"


async def test_what_the_socket_refuses(replicas: Replicas, client: httpx.AsyncClient) -> None:
    _, topic, url = await handed(replicas, client, "gpt-owner", Scenario())
    address = url.partition("?")[0]
    for wrong in (address, f"{address}?verify={access_token('gpt-owner')}", "wss://ws.chatgpt.com/elsewhere"):
        with pytest.raises(InvalidStatus):
            async with opened(replicas, wrong):
                pass
    stranger = (await User(client, "gpt-stranger").get("/celsius/ws/user"))["websocket_url"]
    for at, said in (
        (url, "hello"),
        (url, "[]"),
        (url, '{"id":1}'),
        (url, commands("conversation-turn-none")),
        (stranger, commands(topic)),
    ):
        async with opened(replicas, at) as socket:
            await socket.send(said)
            with pytest.raises(ConnectionClosedError) as closed:
                while True:
                    await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
    async with opened(replicas, url) as socket:
        await socket.send(commands("conversations"))
        assert json.loads(await socket.recv())["reply"] == {"type": "connect"}
    await replicas.play("chatgpt", "gpt-owner", Scenario(faults=[Fault(kind="status", on="socket", status=503)]))
    with pytest.raises(InvalidStatus):
        async with opened(replicas, url):
            pass
    *_, record = await replicas.records(account="gpt-owner", operation="socket")
    assert (record.status, record.refused) == (403, "scenario: status")
