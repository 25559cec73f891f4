"""Requests as users of the older relays for Kimi write them: every shape that their documentation shows, as it stands.

The whole relay, a real browser, and the replica of the site.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.relay_server import RelayServer
from tests.e2e.world import World
from tests.replicas import Answer, Piece, Replicas, Scenario
from tests.replicas.kimi import login

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
TEXT = "Zaubertürme und 魔塔\n".encode()


@pytest.fixture(scope="module")
def world(replicas: Replicas) -> Iterator[World]:
    with World(replicas) as made:
        yield made


@pytest.fixture(scope="module")
def relay(world: World) -> Iterator[RelayServer]:
    with world.server("fetch", "demo kimi", RELAY_FETCH_URLS="any") as server:
        yield server


@pytest.fixture
async def client(world: World, relay: RelayServer) -> AsyncIterator[httpx.AsyncClient]:
    """Of a site that repeats what it was told."""
    await world.kimi(relay).set(Scenario(answer=Answer(echo=True, recall=True)))
    await world.replicas.forget(account=relay.home.name)
    async with httpx.AsyncClient(base_url=relay.url, trust_env=False, timeout=60) as made:
        yield made


async def chat(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    """The answer, in the documentation's own shape."""
    answer = await client.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    assert said["object"] == "chat.completion"
    assert said["model"] == body["model"]
    assert isinstance(said["created"], int)
    [choice] = said["choices"]
    assert (choice["index"], choice["message"]["role"], choice["finish_reason"]) == (0, "assistant", "stop")
    assert {"prompt_tokens", "completion_tokens", "total_tokens"} <= said["usage"].keys()
    return said


async def asked(world: World, relay: RelayServer) -> Any:
    """The body of the one chat that the site was asked."""
    [record] = await world.replicas.records(account=relay.home.name, operation="chat", count=1)
    return record.body


def user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


async def test_a_bearer_with_nothing_behind_it(world: World, relay: RelayServer, client: httpx.AsyncClient) -> None:
    def post() -> Any:  # httpx would not send such a header
        body = json.dumps({"model": "kimi", "messages": user("你好")}).encode()
        headers = {"Authorization": "Bearer ", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{relay.url}/v1/chat/completions", body, headers)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return json.load(answer)

    assert (await asyncio.to_thread(post))["choices"][0]["message"]["content"] == "你好"


async def test_native_turns(world: World, relay: RelayServer, client: httpx.AsyncClient) -> None:
    first = await chat(client, model="kimi", conversation_id="none", messages=user("你好"), stream=False)
    second = await chat(client, model="kimi", conversation_id=first["id"], messages=user("再来"), stream=False)
    assert "你好" in second["choices"][0]["message"]["content"], "the site repeats the whole conversation"
    again = await chat(client, model="kimi", conversation_id=second["conversation_id"], messages=user("最后"))
    assert "再来" in again["choices"][0]["message"]["content"]
    bodies = [one.body for one in await world.replicas.records(account=relay.home.name, operation="chat", count=3)]
    assert len({body["chat_id"] for body in bodies[1:]}) == 1
    assert [body["message"]["blocks"][0]["text"]["content"] for body in bodies] == ["你好", "再来", "最后"]


async def test_use_search(world: World, relay: RelayServer, client: httpx.AsyncClient) -> None:
    await chat(client, model="kimi", messages=user("今天的新闻"), use_search=True, stream=False)
    assert (await asked(world, relay))["tools"] == [{"type": "TOOL_TYPE_SEARCH", "search": {}}]


@pytest.mark.parametrize("name", ["{}-silent_search", "{}_silent_search", "silent_search-{}", "{}-search-silent"])
async def test_silent_search(world: World, relay: RelayServer, client: httpx.AsyncClient, name: str) -> None:
    loud = await chat(client, model="demo", messages=user("news"), use_search=True)
    assert "Searching" in loud["choices"][0]["message"]["reasoning_content"]
    silent = await chat(client, model=name.format("demo"), messages=user("news"), use_search=True)
    assert "reasoning_content" not in silent["choices"][0]["message"], "no search progress at all"
    assert silent["choices"][0]["message"]["annotations"]
    await chat(client, model=name.format("kimi"), messages=user("news"), use_search=True)
    assert (await asked(world, relay))["tools"] == [{"type": "TOOL_TYPE_SEARCH", "search": {}}]


def url_of(data: bytes, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("part", "data"),
    [
        ({"type": "file", "file_url": {"url": url_of(TEXT, "text/plain")}}, TEXT),
        ({"type": "image_url", "image_url": {"url": url_of(PNG, "image/png")}}, PNG),
    ],
    ids=["file", "image"],
)
async def test_files_in_the_message(
    world: World, relay: RelayServer, client: httpx.AsyncClient, part: dict[str, Any], data: bytes
) -> None:
    await chat(client, model="kimi", messages=user([part, {"type": "text", "text": "文档里说了什么？"}]))
    [upload] = await world.replicas.records(account=relay.home.name, operation="upload", count=1)
    assert [one.sha256 for one in upload.uploads] == [hashlib.sha256(data).hexdigest()]


@pytest.mark.parametrize(("kind", "data"), [("file", TEXT), ("image_url", PNG)], ids=["file", "image"])
async def test_files_by_address(
    world: World, relay: RelayServer, client: httpx.AsyncClient, kind: str, data: bytes
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + data)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/test"
        part = {"type": kind, ("file_url" if kind == "file" else kind): {"url": url}}
        await chat(client, model="kimi", messages=user([part, {"type": "text", "text": "what is it?"}]))
    [upload] = await world.replicas.records(account=relay.home.name, operation="upload", count=1)
    assert [one.sha256 for one in upload.uploads] == [hashlib.sha256(data).hexdigest()]


@pytest.mark.parametrize("model", ["cnndivilnl96vah411dg", "kimi/cnndivilnl96vah411dg"])
async def test_an_agent_is_a_model(world: World, relay: RelayServer, client: httpx.AsyncClient, model: str) -> None:
    await client.post("/v1/chat/completions", json={"model": model, "messages": user("hi")})
    body = await asked(world, relay)  # whether the site still knows such agents is the site's to say
    assert body["kimiplusId"] == "cnndivilnl96vah411dg"


async def test_tokens(world: World, relay: RelayServer, client: httpx.AsyncClient) -> None:
    one, two = login("old-ann"), login("old-bob")
    for name in ("old-ann", "old-bob"):
        await world.replicas.play("kimi", name, Scenario(answer=Answer(pieces=[Piece(text=f"I am {name}'s")])))
    both = {"Authorization": f"Bearer {one.refresh},{two.refresh}"}
    answer = await client.post("/v1/chat/completions", json={"model": "kimi", "messages": user("who?")}, headers=both)
    assert answer.json()["choices"][0]["message"]["content"] in ("I am old-ann's", "I am old-bob's")
    array = one.access.split(".")  # tokens that the site once kept as an array of parts
    joined = {"Authorization": f"Bearer {'.'.join(array)}"}
    answer = await client.post("/v1/chat/completions", json={"model": "kimi", "messages": user("who?")}, headers=joined)
    assert answer.json()["choices"][0]["message"]["content"] == "I am old-ann's"
    assert (await client.post("/token/check", json={"token": one.refresh})).json() == {"live": True}
    dead = login("old-cid", access_ttl_s=-5, refresh_ttl_s=-5)
    assert (await client.post("/token/check", json={"token": dead.access})).json() == {"live": False}
