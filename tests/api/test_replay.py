"""`Idempotency-Key` and `Last-Event-ID`: one answer for one request, however often and from where on."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from relay.api.replay import Replays
from relay.chat.events import Event, Finished, Text
from tests.api import pool as scripts
from tests.api.conftest import Served
from tests.api.pool import ANSWER, ScriptedChat
from tests.api.raw import CHAT, Stream, body, error_of, parse


def keyed(key: str, after: int | str | None = None) -> dict[str, str]:
    return {"idempotency-key": key, **({} if after is None else {"last-event-id": str(after)})}


def without_ids(text: str) -> Stream:
    """The stream, checked line by line, and that its events are numbered one by one."""
    numbers = [int(found) for found in re.findall(r"^id: (\d+)$", text, re.MULTILINE)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    stream = parse(re.sub(r"^id: \d+\n", "", text, flags=re.MULTILINE))
    assert len(numbers) == len(stream.chunks) + stream.done + (stream.error is not None)
    return stream


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """`demo` says `begun`, and ` ended` once the gate is set."""
    opened = threading.Event()

    async def script(chat: ScriptedChat) -> AsyncIterator[Event]:
        yield Text("begun")
        while not (opened.is_set() or chat.cancelled.is_set()):
            await asyncio.to_thread(opened.wait, 0.05)
        yield Text(" ended")
        yield Finished("stop")

    monkeypatch.setitem(scripts.SCRIPTS, "demo", script)
    yield opened
    opened.set()


def read_until(lines: Iterator[str], word: str) -> list[str]:
    """Lines up to that with the word in it."""
    seen: list[str] = []
    for line in lines:
        seen.append(line)
        if word in line:
            return seen
    raise AssertionError(f"the stream ended without {word!r}: {seen}")


# The same again


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_request_gets_the_same_answer(relay: Served, http: httpx.Client, stream: bool) -> None:
    before = len(relay.pool.chats)
    first, second = (http.post(CHAT, json=body(stream=stream), headers=keyed(f"same-{stream}")) for _ in "12")
    assert first.status_code == second.status_code == 200
    assert first.content == second.content
    assert first.headers["content-type"] == second.headers["content-type"]
    assert first.headers["x-relay-site"] == second.headers["x-relay-site"] == "demo"
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert len(relay.pool.chats) == before + 1


def test_it_is_an_answer_like_any_other(http: httpx.Client) -> None:
    answer = http.post(CHAT, json=body(), headers=keyed("like any other"))
    assert answer.json()["choices"][0]["message"]["content"] == ANSWER
    stream = without_ids(http.post(CHAT, json=body(stream=True), headers=keyed("a stream like any other")).text)
    assert stream.content == ANSWER and stream.done


def test_without_a_key_each_request_is_its_own(relay: Served, http: httpx.Client) -> None:
    before = len(relay.pool.chats)
    answers = [http.post(CHAT, json=body(stream=True)) for _ in "12"]
    assert len(relay.pool.chats) == before + 2
    assert all("\nid:" not in answer.text and not answer.text.startswith("id:") for answer in answers)


def test_a_running_answer_is_followed(relay: Served, http: httpx.Client, gate: threading.Event) -> None:
    before = len(relay.pool.chats)
    request: dict[str, Any] = {"json": body(stream=True), "headers": keyed("running")}
    with http.stream("POST", CHAT, **request) as first, http.stream("POST", CHAT, **request) as second:
        one, two = first.iter_lines(), second.iter_lines()
        begun = [read_until(lines, "begun") for lines in (one, two)]
        gate.set()
        rest = [list(lines) for lines in (one, two)]
    assert begun[0] == begun[1] and rest[0] == rest[1]
    assert rest[0][-2:] == ["data: [DONE]", ""]
    assert len(relay.pool.chats) == before + 1


def test_a_running_whole_answer_is_followed(relay: Served, gate: threading.Event) -> None:
    before = len(relay.pool.chats)
    answers: list[bytes] = []

    def ask() -> None:
        with relay.client() as http:
            answers.append(http.post(CHAT, json=body(), headers=keyed("running whole")).content)

    askers = [threading.Thread(target=ask) for _ in range(3)]
    for asker in askers:
        asker.start()
    gate.set()
    for asker in askers:
        asker.join(20)
    assert len(answers) == 3 and len(set(answers)) == 1
    assert len(relay.pool.chats) == before + 1


def test_another_body_under_the_key(http: httpx.Client) -> None:
    http.post(CHAT, json=body(), headers=keyed("taken"))
    refused = http.post(CHAT, json=body(temperature=1), headers=keyed("taken"))
    error_of(refused, 409, "idempotency_key_reused")
    assert refused.headers["x-should-retry"] == "false"


def test_callers_do_not_share_keys(serve: Callable[..., Served]) -> None:
    relay = serve(api_keys=["a", "b"])
    with relay.client() as http:
        answers = [
            http.post(CHAT, json=body(), headers={"authorization": f"Bearer {key}", **keyed("k")}).json()["id"]
            for key in "aab"
        ]
    assert answers[0] == answers[1] != answers[2]


@pytest.mark.parametrize("key", [b"", b"x" * 256, b"tab\there", "é".encode()])
def test_what_cannot_be_a_key(http: httpx.Client, key: bytes) -> None:
    answer = http.post(CHAT, json=body(), headers={b"idempotency-key": key})
    error_of(answer, 400, "invalid_request")


def test_the_longest_key(http: httpx.Client) -> None:
    assert http.post(CHAT, json=body(), headers=keyed("x" * 255)).status_code == 200


@pytest.mark.parametrize("model", ["demo/early-failure", "demo/limited", "demo/full"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_failure_is_not_kept(http: httpx.Client, model: str, stream: bool) -> None:
    """The key is free afterwards, for any body."""
    failed = http.post(CHAT, json=body(model, stream=stream), headers=keyed(f"{model} {stream}"))
    assert failed.status_code in (429, 503)
    assert http.post(CHAT, json=body(), headers=keyed(f"{model} {stream}")).status_code == 200


def test_a_stream_that_failed_is_run_again(relay: Served, http: httpx.Client) -> None:
    before = len(relay.pool.chats)
    request: dict[str, Any] = {"json": body("demo/cut", stream=True), "headers": keyed("cut")}
    first = without_ids(http.post(CHAT, **request).text)
    assert first.error and first.error["code"] == "answer_cut"
    assert without_ids(http.post(CHAT, **request).text).error
    assert len(relay.pool.chats) == before + 2


# From an event on


def test_any_event_can_be_gone_on_from(relay: Served, http: httpx.Client) -> None:
    request: dict[str, Any] = {"json": body(stream=True)}
    text = http.post(CHAT, **request, headers=keyed("resumed")).text
    events = text[:-2].split("\n\n")
    for last in range(1, len(events) + 1):
        before = len(relay.pool.chats)
        rest = http.post(CHAT, **request, headers=keyed("resumed", last))
        assert rest.status_code == 200
        assert rest.text == "".join(f"{event}\n\n" for event in events[last:])
        assert len(relay.pool.chats) == before


def test_events_with_names(relay: Served, http: httpx.Client) -> None:
    """`/v1/responses` has an `event:` line in each; the number stands beside it."""
    request: dict[str, Any] = {"json": {"model": "demo", "input": "hi", "stream": True}}
    before = len(relay.pool.chats)
    text = http.post("/v1/responses", **request, headers=keyed("named")).text
    events = text[:-2].split("\n\n")
    assert all(re.fullmatch(rf"id: {n}\nevent: \S+\ndata: .*", event) for n, event in enumerate(events, 1))
    assert "response.completed" in events[-1]
    rest = http.post("/v1/responses", **request, headers=keyed("named", 3)).text
    assert rest == "".join(f"{event}\n\n" for event in events[3:])
    assert len(relay.pool.chats) == before + 1
    other_route = http.post(CHAT, json=body(stream=True), headers=keyed("named"))
    error_of(other_route, 409, "idempotency_key_reused")


@pytest.mark.parametrize("last", ["0", "-1", "1000", "x", "", "1.0", "²", "9" * 5000])
def test_an_event_that_there_is_not(http: httpx.Client, last: str) -> None:
    request: dict[str, Any] = {"json": body(stream=True)}
    http.post(CHAT, **request, headers=keyed("short"))
    headers = {b"idempotency-key": b"short", b"last-event-id": last.encode()}
    error_of(http.post(CHAT, **request, headers=headers), 400, "invalid_request")


def test_nothing_to_go_on_from(relay: Served, http: httpx.Client) -> None:
    before = len(relay.pool.chats)
    error_of(http.post(CHAT, json=body(stream=True), headers=keyed("never used", 1)), 400, "invalid_request")
    assert len(relay.pool.chats) == before


def test_a_whole_answer_has_no_events(http: httpx.Client) -> None:
    http.post(CHAT, json=body(), headers=keyed("whole"))
    error_of(http.post(CHAT, json=body(), headers=keyed("whole", 1)), 400, "invalid_request")


def test_the_end_of_a_failed_stream_can_be_read(http: httpx.Client) -> None:
    request: dict[str, Any] = {"json": body("demo/cut", stream=True)}
    http.post(CHAT, **request, headers=keyed("cut later"))
    rest = without_ids(http.post(CHAT, **request, headers=keyed("cut later", 1)).text)
    assert rest.error and rest.error["code"] == "answer_cut"


def test_keep_alive_comments_have_no_number(http: httpx.Client) -> None:
    text = http.post(CHAT, json=body("demo/late", stream=True), headers=keyed("late")).text
    stream = without_ids(text)
    assert stream.comments and stream.content == "late"


# The client leaves


def leave(relay: Served, key: str, *, stream: bool) -> int:
    """Ask, hang up in the middle; the number of the last event that came."""
    relay.pool.submitted.clear()
    with relay.client() as http, http.stream("POST", CHAT, json=body(stream=True), headers=keyed(key)) as answer:
        read = read_until(answer.iter_lines(), "begun")
        return int(next(line for line in reversed(read) if line.startswith("id: "))[4:])


def test_a_stream_goes_on_without_its_client(relay: Served, http: httpx.Client, gate: threading.Event) -> None:
    last = leave(relay, "left", stream=True)
    chat = relay.pool.last
    gate.set()
    assert chat.ended.wait(10)
    assert not chat.cancelled.is_set()
    rest = without_ids(http.post(CHAT, json=body(stream=True), headers=keyed("left", last)).text)
    assert (rest.content, rest.finish, rest.done) == (" ended", ["stop"], True)
    assert relay.pool.last is chat


def test_coming_back_while_it_runs(relay: Served, http: httpx.Client, gate: threading.Event) -> None:
    last = leave(relay, "back", stream=True)
    chat = relay.pool.last
    with http.stream("POST", CHAT, json=body(stream=True), headers=keyed("back", last)) as answer:
        gate.set()
        rest = without_ids("".join(answer.iter_text()))
    assert (rest.content, rest.done) == (" ended", True)
    assert relay.pool.last is chat and not chat.cancelled.is_set()


def test_a_whole_answer_waits_for_its_client(relay: Served, http: httpx.Client, gate: threading.Event) -> None:
    relay.pool.submitted.clear()
    with relay.client() as leaving, pytest.raises(httpx.ReadTimeout):
        leaving.post(CHAT, json=body(), headers=keyed("left whole"), timeout=0.3)
    assert relay.pool.submitted.wait(10)
    chat = relay.pool.last
    gate.set()
    answer = http.post(CHAT, json=body(), headers=keyed("left whole")).json()
    assert answer["choices"][0]["message"]["content"] == "begun ended"
    assert relay.pool.last is chat


def test_nobody_comes_back(serve: Callable[..., Served], gate: threading.Event) -> None:
    relay = serve(replay={"linger_s": 0})
    last = leave(relay, "gone", stream=True)
    chat = relay.pool.last
    assert chat.cancelled.wait(10) and chat.ended.wait(10)
    with relay.client() as http:
        request: dict[str, Any] = {"json": body(stream=True)}
        error_of(http.post(CHAT, **request, headers=keyed("gone", last)), 400, "invalid_request")
        gate.set()
        assert without_ids(http.post(CHAT, **request, headers=keyed("gone")).text).content == "begun ended"
    assert relay.pool.last is not chat


# What is kept


def ids(http: httpx.Client, *keys: str) -> list[str]:
    return [json.loads(http.post(CHAT, json=body(), headers=keyed(key)).content)["id"] for key in keys]


def test_answers_are_kept_for_a_time(serve: Callable[..., Served]) -> None:
    with serve(replay={"keep_s": 0}).client() as http:
        first, second = ids(http, "k", "k")
    assert first != second


def test_no_more_than_so_many(serve: Callable[..., Served]) -> None:
    relay = serve()
    relay.app.state.replays = Replays(relay.settings.replay, max_answers=2)
    with relay.client() as http:
        first = ids(http, "a", "b", "c")
        assert ids(http, "b", "c") == first[1:]
        assert ids(http, "a") != first[:1]


def test_no_more_than_so_much(serve: Callable[..., Served]) -> None:
    relay = serve()
    relay.app.state.replays = Replays(relay.settings.replay, max_bytes=1500)
    with relay.client() as http:
        first = ids(http, "a", "b", "c")
        assert ids(http, "c") == first[2:]
        assert ids(http, "a") != first[:1]
