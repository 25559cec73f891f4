"""Every model over real HTTP: what it streams, or how it fails."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

import httpx
import pytest

from relay.demo.app import MAX_PROMPT_CHARS
from tests.demo.streams import Chat, events_of, text_of


async def test_the_default_model_answers_in_markdown(chat: Chat) -> None:
    events = await chat("demo", "How do *streams* work?")
    assert events[0]["type"] == "start"
    assert events[-1] == {"type": "end", "reason": "stop"}
    text = text_of(events)
    for part in (
        "# About",
        "> How do *streams* work?",
        "1. ",
        "```python",
        "|---|",
        "$$",
        "[an example page](https://",
    ):
        assert part in text
    assert {event["type"] for event in events} == {"start", "text", "end"}


async def test_a_chinese_prompt_gets_a_chinese_answer(chat: Chat) -> None:
    text = text_of(await chat("demo", "什么是流式输出？"))
    assert "> 什么是流式输出？" in text
    assert "演示模型" in text


async def test_options_and_drawing(chat: Chat) -> None:
    events = await chat("demo", "Draw a hill", thinking=True, search=True)
    order = list(dict.fromkeys(event["type"] for event in events))
    assert order == ["start", "reasoning", "search", "sources", "text", "media", "end"]


async def test_thinker_reasons_first(chat: Chat) -> None:
    events = await chat("thinker", "Why?")
    order = list(dict.fromkeys(event["type"] for event in events))
    assert order == ["start", "reasoning", "text", "end"]
    assert "Why?" in text_of(events, "reasoning")


async def test_searcher_cites_its_sources(chat: Chat) -> None:
    events = await chat("searcher", "Why?")
    (sources,) = (event["items"] for event in events if event["type"] == "sources")
    assert [item["index"] for item in sources] == [1, 2, 3]
    assert all(item["url"].startswith("https://") and item["title"] and item["snippet"] for item in sources)
    assert all(f"[{item['index']}]" in text_of(events) for item in sources)


@pytest.mark.parametrize(
    "prompt",
    [
        " \t leading and trailing \r\n\n ",
        '# Markdown **and** <b>HTML</b> & "quotes" \\ \u2028 \x00 \x7f',
        "流式输出 👩‍👩‍👧 e\u0301",
        "line\n" * 20_000,
    ],
)
async def test_echo_is_exact(chat: Chat, prompt: str) -> None:
    events = await chat("echo", prompt)
    assert text_of(events).encode() == prompt.encode()
    assert events[-1]["type"] == "end"


async def test_slow_answers_in_the_end(chat: Chat) -> None:
    events = await chat("slow", "Well?")
    assert "Well?" in text_of(events)
    assert events[-1]["type"] == "end"


async def test_refuses_sends_nothing_but_an_error(chat: Chat) -> None:
    (event,) = await chat("refuses", "Well?")
    assert (event["type"], event["code"]) == ("error", "content_refused")


async def test_cut_has_no_end(chat: Chat, client: httpx.AsyncClient) -> None:
    events = await chat("cut", "Well?")
    assert text_of(events)
    assert events[-1]["type"] == "text"
    assert (await client.get("/api/stats")).json()["active"] == 0


async def test_models_that_fail_without_a_stream(client: httpx.AsyncClient) -> None:
    async def ask(model: str) -> httpx.Response:
        return await client.post("/api/chat", json={"model": model, "prompt": "Well?"})

    limited = await ask("rate-limited")
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "30")
    assert limited.json()["error"]["code"] == "rate_limited"
    dead = await ask("login-dead")
    assert (dead.status_code, dead.json()["error"]["code"]) == (401, "not_logged_in")
    error = await ask("error")
    assert (error.status_code, error.headers["content-type"]) == (200, "application/json")
    assert error.json()["error"]["code"] == "internal"
    challenge = await ask("challenge")
    assert (challenge.status_code, challenge.headers["content-type"]) == (403, "text/html; charset=utf-8")
    assert 'id="challenge"' in challenge.text
    assert (await client.get("/api/me")).status_code == 200
    assert (await client.get("/api/stats")).json()["conversations"] == 0


async def lines_until(response: httpx.Response, wanted: str, count: int = 1) -> list[dict[str, Any]]:
    """Events up to the `count`th of that type; the stream stays open."""
    seen: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        async for line in response.aiter_lines():
            if line:
                seen.append(json.loads(line.removeprefix("data: ")))
                if sum(event["type"] == wanted for event in seen) == count:
                    return seen
    raise AssertionError(f"the stream ended after {seen}")


async def settled(client: httpx.AsyncClient) -> dict[str, int]:
    """The counters once no answer is under way."""
    async with asyncio.timeout(20):
        while True:
            stats: dict[str, int] = (await client.get("/api/stats")).json()
            if stats["active"] == 0:
                return stats
            await asyncio.sleep(0.02)


async def test_stall_keeps_the_line_alive_and_leaving_aborts_it(client: httpx.AsyncClient) -> None:
    async with client.stream("POST", "/api/chat", json={"model": "stall", "prompt": "Well?"}) as response:
        events = await lines_until(response, "ping", 3)
        assert events[0]["type"] == "start"
        assert text_of(events)
        assert (await client.get("/api/stats")).json()["active"] == 1
    stats = await settled(client)
    assert (stats["started"], stats["aborted"], stats["finished"], stats["stopped"]) == (1, 1, 0, 0)


async def test_stop(client: httpx.AsyncClient) -> None:
    async with client.stream("POST", "/api/chat", json={"model": "stall", "prompt": "Well?"}) as response:
        lines = response.aiter_lines()
        start = json.loads((await anext(lines)).removeprefix("data: "))
        stop = await client.post("/api/stop", json={"message": start["message"]})
        assert stop.json() == {"stopped": True}
        rest = [json.loads(line.removeprefix("data: ")) async for line in lines if line]
    assert rest[-1] == {"type": "end", "reason": "stop", "stopped": True}
    assert (await settled(client))["stopped"] == 1
    again = await client.post("/api/stop", json={"message": start["message"]})
    assert again.json() == {"stopped": False}


async def test_a_conversation_goes_on(chat: Chat, client: httpx.AsyncClient) -> None:
    first = (await chat("demo", "My first question"))[0]
    place = {"conversation_id": first["conversation"], "parent_id": first["message"]}
    second = await chat("demo", "My second question", **place)
    assert second[0]["conversation"] == first["conversation"]
    assert second[0]["message"] != first["message"]
    assert "turn 2" in text_of(second)
    assert "“My first question”" in text_of(second)

    async def status(**wrong: Any) -> tuple[int, str]:
        reply = await client.post("/api/chat", json={"prompt": "x", **place, **wrong})
        return reply.status_code, reply.json()["error"]["code"]

    assert await status() == (409, "wrong_parent")
    assert await status(parent_id=None) == (409, "wrong_parent")
    assert await status(conversation_id=None) == (409, "wrong_parent")
    assert await status(conversation_id="conv-0") == (404, "conversation_not_found")


async def test_a_refused_turn_does_not_move_the_conversation(chat: Chat) -> None:
    first = (await chat("echo", "one"))[0]
    place = {"conversation_id": first["conversation"], "parent_id": first["message"]}
    await chat("refuses", "two", **place)
    assert text_of(await chat("echo", "three", **place)) == "three"


async def test_a_conversation_is_busy_while_it_answers(client: httpx.AsyncClient) -> None:
    async with client.stream("POST", "/api/chat", json={"model": "stall", "prompt": "Well?"}) as response:
        (start,) = await lines_until(response, "start")
        place = {"conversation_id": start["conversation"], "parent_id": start["message"]}
        reply = await client.post("/api/chat", json={"prompt": "x", **place})
        assert (reply.status_code, reply.json()["error"]["code"]) == (409, "conversation_busy")


async def test_deleting_a_conversation(chat: Chat, client: httpx.AsyncClient) -> None:
    start = (await chat("echo", "one"))[0]
    path = f"/api/conversations/{start['conversation']}"
    assert (await client.delete(path)).status_code == 204
    gone = await client.delete(path)
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "conversation_not_found")
    place = {"conversation_id": start["conversation"], "parent_id": start["message"]}
    assert (await client.post("/api/chat", json={"prompt": "x", **place})).status_code == 404


async def test_attachments_are_echoed(chat: Chat, client: httpx.AsyncClient) -> None:
    text = "\n第一行\nsecond\n".encode()
    binary = bytes(range(256)) * 100
    kept = []
    for name, content, mime in (("笔记.txt", text, "text/plain"), ("picture.png", binary, "image/png")):
        reply = await client.post("/api/files", files={"file": (name, content, mime)})
        kept.append(reply.json())
        assert kept[-1]["sha256"] == hashlib.sha256(content).hexdigest()
        assert (kept[-1]["name"], kept[-1]["size"], kept[-1]["mime"]) == (name, len(content), mime)
    answer = text_of(await chat("demo", "Look at these", files=[each["id"] for each in kept]))
    for each in kept:
        assert f"`{each['name']}`: {each['size']} bytes, sha256 `{each['sha256']}`" in answer
    assert "first line: `第一行`" in answer
    unknown = await client.post("/api/chat", json={"prompt": "x", "files": ["file-0"]})
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "file_not_found")


async def test_scripts_replay_exactly(client: httpx.AsyncClient, chat: Chat) -> None:
    timed = [[0, "  a\r\n"], [1, "流式"], [0, ""], [2, "👩‍👧\n\n"], [0, "end "]]
    stored = (await client.post("/api/script", json={"pieces": timed, "seed": 7, "reason": "length"})).json()
    events = await chat("script", f"script:{stored['id']}")
    assert [event["text"] for event in events if event["type"] == "text"] == [text for _, text in timed]
    assert events[-1] == {"type": "end", "reason": "length"}
    shown = (await client.get(f"/api/script/{stored['id']}")).json()
    assert len(shown["started_at"]) == 1


async def test_a_long_script(client: httpx.AsyncClient) -> None:
    text = "流式输出 and English\n" * 60_000
    stored = (await client.post("/api/script", json={"text": text, "pieces": 2000, "seed": 3})).json()
    reply = await client.post("/api/chat", json={"model": "script", "prompt": f"script:{stored['id']}"})
    events = events_of(reply.content)
    assert len(text.encode()) > 1_000_000
    assert text_of(events) == text
    assert sum(event["type"] == "text" for event in events) == 2000


async def test_a_prompt_may_be_long_but_not_longer(client: httpx.AsyncClient) -> None:
    for length, status in ((MAX_PROMPT_CHARS, 200), (MAX_PROMPT_CHARS + 1, 413)):
        answer = await client.post("/api/chat", json={"model": "echo", "prompt": "天" * length})
        assert answer.status_code == status
    assert answer.json()["error"]["code"] == "prompt_too_long"
