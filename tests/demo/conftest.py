"""A real server on a free port, and clients of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from relay.demo import DemoServer, create_app
from tests.demo.streams import FAST, SECRET, Chat, events_of


@pytest.fixture
async def server() -> AsyncIterator[DemoServer]:
    app = create_app(secret=SECRET, pace=FAST, heartbeat_s=0.02, scripts=True)
    async with DemoServer(app) as running:
        yield running


@pytest.fixture
async def stranger(server: DemoServer) -> AsyncIterator[httpx.AsyncClient]:
    """A client that is not logged in."""
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture
async def client(server: DemoServer) -> AsyncIterator[httpx.AsyncClient]:
    """A client that is logged in as demo."""
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        reply = await client.post("/api/login", json={"user": "demo", "password": "demo"})
        assert reply.status_code == 200
        yield client


@pytest.fixture
def chat(client: httpx.AsyncClient) -> Chat:
    """Send a prompt and collect the events."""

    async def send(model: str, prompt: str, **more: Any) -> list[dict[str, Any]]:
        reply = await client.post("/api/chat", json={"model": model, "prompt": prompt, **more})
        assert reply.status_code == 200, reply.text
        assert reply.headers["content-type"].startswith("text/event-stream")
        return events_of(reply.content)

    return send
