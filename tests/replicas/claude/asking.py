"""Asking the replica by plain HTTP, and reading its events: what its own tests share."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import httpx

from tests.replicas import Replicas
from tests.replicas.claude.calls import (
    completion_call,
    cookies,
    create_params,
)

HOST = "claude.ai"
Events = list[dict[str, Any]]


def events(data: bytes) -> Events:
    """An answer's events; fails when the bytes are no whole row of them, or when a name differs from its data's."""
    assert data.endswith(b"\n\n")
    found: Events = []
    for part in data.decode().removesuffix("\n\n").split("\n\n"):
        name, _, value = part.partition("\n")
        found.append(json.loads(value.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    return found


def deltas(found: Events, kind: str, field: str) -> list[Any]:
    """What the deltas of one kind carry."""
    return [event["delta"][field] for event in found if event.get("delta", {}).get("type") == kind]


def text(found: Events) -> str:
    """The answer."""
    return "".join(deltas(found, "text_delta", "text"))


def client(replicas: Replicas, account: str, **options: Any) -> httpx.AsyncClient:
    """A client with the account's login."""
    return replicas.client(HOST, **({"cookies": cookies(account)} | options))


async def post(replicas: Replicas, account: str, conversation: str, prompt: str, **fields: Any) -> httpx.Response:
    """The response to an otherwise right completion."""
    async with client(replicas, account) as caller:
        return await caller.post(**completion_call(account, conversation, prompt, **fields))


async def ask(replicas: Replicas, account: str, conversation: str, prompt: str, **fields: Any) -> Events:
    """The events of a completion that is answered."""
    answer = await post(replicas, account, conversation, prompt, **fields)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    return events(answer.content)


async def begin(replicas: Replicas, account: str, prompt: str = "hi", **fields: Any) -> tuple[str, Events]:
    """A new conversation, and the events of its first answer."""
    conversation = str(uuid4())
    return conversation, await ask(
        replicas, account, conversation, prompt, create_conversation_params=create_params(), **fields
    )


def answer_id(found: Events) -> str:
    """The uuid that the answer's head tells: the next parent."""
    [head] = [event["message"] for event in found if event["type"] == "message_start"]
    return str(head["uuid"])


def refusal(answer: httpx.Response) -> tuple[int, str]:
    """Status and kind of a refusal in the site's shape."""
    said = answer.json()
    assert said["type"] == "error", said
    return answer.status_code, said["error"]["type"]
