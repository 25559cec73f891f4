"""`model: "a+b"`: several models asked at once, one answer with a section for each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from relay.api.keys import KeyFile
from relay.chat.events import Event, Finished, Reasoning, Search, Text
from tests.api import pool as scripts
from tests.api.conftest import Served
from tests.api.pool import ScriptedChat
from tests.api.raw import CHAT, Stream, body, error_of, parse
from tests.spec import validate

BOTH = "demo/one+demo/two"


def saying(*events: Event) -> scripts.Script:
    async def script(chat: ScriptedChat) -> AsyncIterator[Event]:
        for event in events:
            yield event
            await asyncio.sleep(0)

    return script


@pytest.fixture(autouse=True)
def site(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that say who they are."""
    for name in ("one", "two", "c+d"):
        monkeypatch.setitem(scripts.SCRIPTS, name, saying(Text("I am "), Text(f"{name}."), Finished("stop")))


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """`demo/one` says `begun`, and ` ended` once the gate is set; both models reason and search before they write."""
    opened = threading.Event()

    async def one(chat: ScriptedChat) -> AsyncIterator[Event]:
        yield Reasoning("one thinks")
        yield Text("begun")
        while not (opened.is_set() or chat.cancelled.is_set()):
            await asyncio.to_thread(opened.wait, 0.05)
        yield Text(" ended")
        yield Finished("stop")

    monkeypatch.setitem(scripts.SCRIPTS, "one", one)
    two = saying(Reasoning("two thinks"), Search("a thing"), Text("I am two."), Finished("stop"))
    monkeypatch.setitem(scripts.SCRIPTS, "two", two)
    yield opened
    opened.set()


def ask(http: httpx.Client, model: str, *, stream: bool, **fields: Any) -> str:
    """The answer's text; every byte validated."""
    answer = http.post(CHAT, json=body(model, stream=stream, **fields))
    assert answer.status_code == 200, answer.text
    if stream:
        read: Stream = parse(answer.text)
        assert read.done and read.finish == ["stop"]
        return read.content
    whole = answer.json()
    validate("CreateChatCompletionResponse", whole)
    [choice] = whole["choices"]
    assert choice["finish_reason"] == "stop" and whole["model"] == model
    content: str = choice["message"]["content"]
    return content


@pytest.mark.parametrize("stream", [True, False])
def test_a_section_for_each(relay: Served, http: httpx.Client, stream: bool) -> None:
    relay.pool.chats.clear()
    assert ask(http, BOTH, stream=stream) == "### demo/one\n\nI am one.\n\n### demo/two\n\nI am two."
    assert [chat.request.choice.model for chat in relay.pool.chats] == ["one", "two"]
    for chat in relay.pool.chats:
        assert chat.ended.wait(10) and not chat.cancelled.is_set()
        assert chat.given is None, "no site can go on from what the others said"
    assert len({chat.id for chat in relay.pool.chats}) == 2


def test_headers(http: httpx.Client) -> None:
    headers = http.post(CHAT, json=body(f"{BOTH}+demo")).headers
    assert (headers["x-relay-site"], headers["x-relay-driver"]) == ("demo+demo+demo", "fetch+fetch+fetch")
    assert headers["x-relay-queue-ms"] == "1"


def test_in_the_order_of_the_names(http: httpx.Client) -> None:
    text = ask(http, "demo/two + demo/one+gpt-demo + demo-think", stream=False)
    heads = [line for line in text.splitlines() if line.startswith("### ")]
    assert heads == ["### demo/two", "### demo/one", "### gpt-demo", "### demo-think"]


def test_the_first_passes_while_the_second_is_held(relay: Served, gate: threading.Event) -> None:
    relay.pool.chats.clear()
    with relay.client() as http, http.stream("POST", CHAT, json=body(BOTH, stream=True)) as answer:
        texts = answer.iter_text()
        received = ""
        while "begun" not in received:
            received += next(texts)
        assert relay.pool.chats[1].ended.wait(10)
        gate.set()
        received += "".join(texts)
    read = parse(received)
    assert read.content == "### demo/one\n\nbegun ended\n\n### demo/two\n\nI am two."
    assert read.joined("reasoning_content") == "one thinks", "of the live one only"


def test_who_comes_late_reasons_aloud(http: httpx.Client, gate: threading.Event) -> None:
    """`demo/one` is live once the other has ended; what it reasons then, passes."""
    gate.set()
    read = parse(http.post(CHAT, json=body("demo/late+demo/one", stream=True)).text)
    assert read.content == "### demo/late\n\nlate\n\n### demo/one\n\nbegun ended"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("failing", "said"),
    [
        ("demo/early-failure", "> Failed (login_needed): The login is dead."),
        ("demo/full", "> Failed (queue_full): 256 requests are waiting already."),
        ("demo/cut", "half an ans\n\n> Failed (answer_cut): The answer was cut."),
        ("demo/endless", "no end mark\n\n> Failed (answer_cut): The answer ended without its end mark."),
        ("demo/retracted", "Something forbidden\n\n> Failed (content_filter): The site took its answer back. policy"),
    ],
)
def test_one_that_fails(http: httpx.Client, stream: bool, failing: str, said: str) -> None:
    good = "### demo/one\n\nI am one."
    assert ask(http, f"{failing}+demo/one", stream=stream) == f"### {failing}\n\n{said}\n\n{good}"
    assert ask(http, f"demo/one+{failing}", stream=stream) == f"{good}\n\n### {failing}\n\n{said}"


def test_a_fault_of_ours_is_not_told(http: httpx.Client) -> None:
    text = ask(http, "demo/broken+demo/one", stream=False)
    assert "> Failed (internal_error)" in text and "hunter2" not in text and text.endswith("I am one.")


@pytest.mark.parametrize("stream", [True, False])
def test_all_fail(http: httpx.Client, stream: bool) -> None:
    """The first one's error, with its status."""
    for model, status, code in (
        ("demo/early-failure+demo/limited", 503, "login_needed"),
        ("demo/limited+demo/early-failure", 429, "rate_limit_exceeded"),
        ("demo/full+demo/full", 429, "queue_full"),
        ("kimi+demo/full", 503, "no_account_available"),
        ("demo/full+demo/limited", 429, "queue_full"),
    ):
        error_of(http.post(CHAT, json=body(model, stream=stream)), status, code)


def test_all_fail_after_words(http: httpx.Client) -> None:
    read = parse(http.post(CHAT, json=body("demo/cut+demo/cut", stream=True)).text)
    assert read.content.count("half an ans") == 2
    assert read.error and read.error["code"] == "answer_cut" and not read.finish


def test_leaving_cancels_all(relay: Served, gate: threading.Event) -> None:
    relay.pool.chats.clear()
    model = "demo/slow+demo/one+demo/silent"
    with relay.client() as http, http.stream("POST", CHAT, json=body(model, stream=True)) as answer:
        assert any("begun" in line for line in answer.iter_lines())
    assert len(relay.pool.chats) == 3
    for chat in relay.pool.chats:
        assert chat.cancelled.wait(10)
        assert chat.ended.wait(10)


def test_a_cut_by_max_tokens_cancels_the_rest(relay: Served, http: httpx.Client) -> None:
    relay.pool.chats.clear()
    answer = http.post(CHAT, json=body("demo/long+demo/silent", max_tokens=10)).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert relay.pool.chats[1].cancelled.wait(10) and relay.pool.chats[1].ended.wait(10)


def test_sources_and_media(http: httpx.Client) -> None:
    answer = http.post(CHAT, json=body("demo/rich+demo/rich")).json()
    message = answer["choices"][0]["message"]
    assert [one["url_citation"]["url"] for one in message["annotations"]] == ["https://example.org/a"]
    assert message["content"].count("![picture](") == 2


def test_usage_is_of_all(http: httpx.Client) -> None:
    one, both = (http.post(CHAT, json=body(model)).json()["usage"] for model in ("demo/one", BOTH))
    assert both["prompt_tokens"] == 2 * one["prompt_tokens"]


# Names


def test_exact_names_with_a_plus_win(relay: Served, http: httpx.Client) -> None:
    assert ask(http, "demo/c+d", stream=False) == "I am c+d."
    assert relay.pool.last.given == "I am c+d."


@pytest.mark.parametrize("model", ["demo+", "+demo", "+", "demo++demo", "demo+nothing", "nothing+demo"])
def test_names_that_are_none(relay: Served, http: httpx.Client, model: str) -> None:
    before = len(relay.pool.chats)
    error_of(http.post(CHAT, json=body(model)), 404, "model_not_found")
    assert len(relay.pool.chats) == before


def test_too_many(http: httpx.Client) -> None:
    assert error_of(http.post(CHAT, json=body("+".join(["demo"] * 5))), 400, "invalid_request")["param"] == "model"
    assert error_of(http.post(CHAT, json=body("+".join("x" * 200))), 400, "invalid_request")["param"] == "model"


TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": [TOOL]}, "model"),
        ({"tools": [TOOL], "tool_choice": "required"}, "model"),
        ({"response_format": {"type": "json_object"}}, "model"),
        ({"conversation_id": "conv-1"}, "conversation_id"),
    ],
)
def test_what_only_one_model_can_do(relay: Served, http: httpx.Client, fields: dict[str, Any], param: str) -> None:
    before = len(relay.pool.chats)
    assert error_of(http.post(CHAT, json=body(BOTH, **fields)), 400, "invalid_request")["param"] == param
    assert len(relay.pool.chats) == before


@pytest.mark.parametrize("fields", [{"conversation_id": "none"}, {"tools": [TOOL], "tool_choice": "none"}])
def test_what_asks_for_nothing(http: httpx.Client, fields: dict[str, Any]) -> None:
    assert "I am two." in ask(http, BOTH, stream=False, **fields)


# Keys


def test_each_model_counts(serve: Callable[..., Served]) -> None:
    served = serve()
    file = KeyFile(served.settings.home)
    key, stored = file.create(rpm=3, concurrency=2)
    single, _ = file.create(concurrency=1)
    slow, _ = file.create(rpm=1)
    with served.client() as http:

        def asked(key: str, model: str) -> httpx.Response:
            return http.post(CHAT, json=body(model), headers={"authorization": f"Bearer {key}"})

        assert asked(key, BOTH).status_code == 200
        error_of(asked(key, BOTH), 429, "rate_limit_exceeded")
        assert served.app.state.key_usage.counts[stored.id].chats == 2
        error_of(asked(single, BOTH), 400, "invalid_request")
        error_of(asked(slow, BOTH), 400, "invalid_request")
        assert asked(single, "demo/one").status_code == 200


def test_a_site_that_the_key_is_not_for(serve: Callable[..., Served]) -> None:
    served = serve()
    key, _ = KeyFile(served.settings.home).create(sites=["demo"])
    with served.client(headers={"authorization": f"Bearer {key}"}) as http:
        error_of(http.post(CHAT, json=body("demo+kimi")), 403, "site_not_allowed")
    assert served.pool.chats == []


def test_the_same_request_again(relay: Served, http: httpx.Client) -> None:
    before = len(relay.pool.chats)
    answers = {http.post(CHAT, json=body(BOTH), headers={"idempotency-key": "compared"}).content for _ in range(2)}
    assert len(answers) == 1 and len(relay.pool.chats) == before + 2
