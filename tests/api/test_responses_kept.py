"""Kept responses over HTTP: asked for again, forgotten, listed, continued; each by its own caller only."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from relay.chat.conversation import extend, history_key
from relay.chat.events import Event, Finished, Text, ToolCall
from relay.chat.request import Message
from tests.api import pool as scripts
from tests.api.conftest import Served
from tests.api.pool import ANSWER, ScriptedChat
from tests.api.raw import CHAT, error_of
from tests.api.responses import RESPONSES, ask, text_of
from tests.api.test_bad_input import PNG
from tests.api.test_responses import STREAM, WEATHER
from tests.spec import validate


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`site([event, …], …)` makes `demo` answer so, one list after the other."""

    def says(*answers: list[Event]) -> None:
        left = list(answers)

        async def script(chat: ScriptedChat) -> AsyncIterator[Event]:
            for event in left.pop(0):
                yield event

        monkeypatch.setitem(scripts.SCRIPTS, "demo", script)

    return says


@STREAM
def test_asked_for_again(http: httpx.Client, stream: bool) -> None:
    response = ask(http, "demo/rich", stream=stream)
    again = http.get(f"{RESPONSES}/{response['id']}")
    assert (again.status_code, again.json()) == (200, response)


def test_forgotten(http: httpx.Client) -> None:
    name = ask(http)["id"]
    gone = http.delete(f"{RESPONSES}/{name}")
    assert gone.json() == {"id": name, "object": "response", "deleted": True}
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/input_items")):
        error_of(http.request(method, f"{RESPONSES}/{name}{path}"), 404, "response_not_found")


def test_not_kept(http: httpx.Client) -> None:
    response = ask(http, store=False)
    assert response["store"] is False
    error_of(http.get(f"{RESPONSES}/{response['id']}"), 404, "response_not_found")
    answer = http.post(RESPONSES, json={"model": "demo", "input": "x", "previous_response_id": response["id"]})
    error = error_of(answer, 400, "previous_response_not_found")
    assert error["param"] == "previous_response_id"
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("name", ["resp_", "resp_%00", "%F0%28", "x" * 5000, "'; DROP TABLE responses; --"])
def test_names_that_are_none(http: httpx.Client, name: str) -> None:
    ask(http)
    error_of(http.get(f"{RESPONSES}/{name}"), 404, "response_not_found")
    error_of(http.delete(f"{RESPONSES}/{name}"), 404, "response_not_found")
    answer = http.post(RESPONSES, json={"model": "demo", "input": "x", "previous_response_id": name})
    error_of(answer, 400, "previous_response_not_found")


def test_a_kept_answer_is_not_streamed(http: httpx.Client) -> None:
    error_of(http.get(f"{RESPONSES}/{ask(http)['id']}?stream=true"), 400, "invalid_request")


def listed(http: httpx.Client, name: str, query: str = "") -> dict[str, Any]:
    answer = http.get(f"{RESPONSES}/{name}/input_items{query}")
    assert answer.status_code == 200, answer.text
    validate("ResponseItemList", answer.json())
    page: dict[str, Any] = answer.json()
    return page


def test_input_items(http: httpx.Client) -> None:
    png = "data:image/png;base64," + base64.b64encode(PNG).decode()
    items = [
        {"role": "developer", "content": "D"},
        {"role": "user", "content": [{"type": "input_text", "text": "U"}, {"type": "input_image", "image_url": png}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        {"role": "assistant", "content": "A"},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": {"x": 1}},
        {"type": "function_call_output", "call_id": "c1", "output": "one"},
        {"role": "user", "content": [{"type": "input_file", "filename": "a.txt", "file_data": "aGk="}]},
    ]
    name = ask(http, input=items)["id"]
    page = listed(http, name, "?order=asc")
    kinds = ["message", "message", "message", "function_call", "function_call_output", "message"]
    assert [item["type"] for item in page["data"]] == kinds
    assert page["data"][1]["content"][1]["image_url"] == png
    assert page["data"][3]["arguments"] == '{"x":1}'
    assert page["has_more"] is False
    assert listed(http, name)["data"] == page["data"][::-1], "the newest first, where nothing is said"


def test_pages(http: httpx.Client) -> None:
    name = ask(http, input=[{"role": "user", "content": str(number)} for number in range(5)])["id"]
    seen: list[str] = []
    after = ""
    for _ in range(3):
        page = listed(http, name, f"?limit=2&order=asc{after}")
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        seen += [item["content"][0]["text"] for item in page["data"]]
        after = f"&after={page['last_id']}"
    assert (seen, page["has_more"]) == (["0", "1", "2", "3", "4"], False)
    assert listed(http, name, f"?order=asc{after}")["data"] == []
    for query in ("limit=0", "limit=101", "limit=x", "order=up", "after=msg_x"):
        error_of(http.get(f"{RESPONSES}/{name}/input_items?{query}"), 400, "invalid_request")


def test_a_chain(http: httpx.Client) -> None:
    first = ask(http, instructions="Be short.")
    second = ask(http, "demo/echo", input="two", previous_response_id=first["id"], instructions="Be long.")
    assert second["previous_response_id"] == first["id"]
    assert text_of(second) == f"system: Be long.\nuser: hi\nassistant: {ANSWER}\nuser: two\n"
    third = ask(http, "demo/echo", input="three", previous_response_id=second["id"], store=False)
    assert text_of(third) == f"user: hi\nassistant: {ANSWER}\nuser: two\nassistant: {text_of(second)}\nuser: three\n"
    branch = ask(http, "demo/echo", input="other", previous_response_id=first["id"])
    assert text_of(branch) == f"user: hi\nassistant: {ANSWER}\nuser: other\n"
    assert [item["content"][0]["text"] for item in listed(http, second["id"])["data"]] == ["two"]
    http.delete(f"{RESPONSES}/{first['id']}")
    answer = http.post(RESPONSES, json={"model": "demo", "input": "x", "previous_response_id": second["id"]})
    assert "builds on" in error_of(answer, 400, "previous_response_not_found")["message"]


@STREAM
def test_the_site_can_continue_by_the_history(http: httpx.Client, relay: Served, site: Any, stream: bool) -> None:
    """What the pool is asked is what chat/completions asks it, and begins with what the pool was told it said."""
    oslo, paris = '{"city":"Oslo"}', '{"city":"Paris"}'
    calls: list[Event] = [ToolCall("get_weather", oslo), ToolCall("get_weather", paris)]
    site([Text("I look."), *calls, Finished("tool_calls")], *[[Text("Rain."), Finished()]] * 3)
    fields: dict[str, Any] = {"tools": [WEATHER], "instructions": "Be short.", "stream": stream}
    first = ask(http, input="How is it?", **fields)
    asked, one, two = first["output"]
    assert asked["type"] == "message"
    chat = relay.pool.last
    assert chat.given is not None
    results = [
        {"type": "function_call_output", "call_id": one["call_id"], "output": "rain"},
        {"type": "function_call_output", "call_id": two["call_id"], "output": "sun"},
    ]
    second = ask(http, input=results, previous_response_id=first["id"], **fields)
    by_id = relay.pool.last.request.messages
    said = Message("assistant", chat.given, calls=chat.calls)
    heard = (*chat.request.messages, said)
    assert by_id[: len(heard)] == heard
    assert history_key(by_id[: len(heard)]) == extend(history_key(chat.request.messages), [said])

    written = [{"id": call["call_id"], "type": "function", "function": call} for call in (one, two)]
    messages = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "How is it?"},
        {"role": "assistant", "content": "I look.", "tool_calls": written},
        {"role": "tool", "tool_call_id": one["call_id"], "content": "rain"},
        {"role": "tool", "tool_call_id": two["call_id"], "content": "sun"},
    ]
    tools = [{"type": "function", "function": WEATHER}]
    assert http.post(CHAT, json={"model": "demo", "messages": messages, "tools": tools}).status_code == 200
    assert relay.pool.last.request.messages == by_id
    ask(http, input="And now?", previous_response_id=second["id"], **fields)
    assert relay.pool.last.request.messages == (*by_id, Message("assistant", "Rain."), Message("user", "And now?"))


def test_the_client_may_send_the_items_itself(http: httpx.Client, relay: Served, site: Any) -> None:
    """With `store: false`, or by references to items that are kept."""
    site(*[[Text("I look."), ToolCall("get_weather", '{"city":"Oslo"}'), Finished("tool_calls")]] * 3)
    first = ask(http, input="How is it?", tools=[WEATHER])
    call = first["output"][1]
    asked = {"role": "user", "content": "How is it?"}
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "rain"}
    ask(http, input=[asked, *first["output"], result], tools=[WEATHER], store=False)
    by_items = relay.pool.last.request.messages
    references = [{"type": "item_reference", "id": item["id"]} for item in first["output"]]
    second = ask(http, input=[asked, *references, result], tools=[WEATHER])
    assert relay.pool.last.request.messages == by_items
    assert [message.role for message in by_items] == ["user", "assistant", "tool"]
    assert [item["type"] for item in listed(http, second["id"], "?order=asc")["data"]] == [
        "message", "message", "function_call", "function_call_output",
    ]  # fmt: skip
    unknown = {"type": "item_reference", "id": first["output"][0]["id"][:-1] + "9"}
    answer = http.post(RESPONSES, json={"model": "demo", "input": [asked, unknown]})
    assert error_of(answer, 400, "invalid_request")["param"] == "input[1].id"


def test_conversations_by_name(http: httpx.Client, relay: Served) -> None:
    first = ask(http, conversation={"id": "conv-1"})
    assert first["conversation"] == {"id": "conv-1"}
    assert relay.pool.last.request.conversation_id == "conv-1"
    ask(http, input="more", previous_response_id=first["id"])
    assert relay.pool.last.request.conversation_id == first["id"], "only the site knows what was said before"
    assert "conversation" not in ask(http, conversation_id="none")
    assert relay.pool.last.request.conversation_id == "none"
    ask(http, input="more", previous_response_id=ask(http)["id"])
    assert relay.pool.last.request.conversation_id is None


def test_each_caller_has_its_own(serve: Callable[..., Served]) -> None:
    served = serve(api_keys=["one", "two"])
    with served.client() as http:
        answer = http.post(RESPONSES, json={"model": "demo", "input": "hi"}, headers={"authorization": "Bearer one"})
        name = answer.json()["id"]
        for key in ("two", "nobody"):
            other = {"authorization": f"Bearer {key}"}
            wrong = (404, "response_not_found") if key == "two" else (401, "invalid_api_key")
            error_of(http.get(f"{RESPONSES}/{name}", headers=other), *wrong)
            error_of(http.get(f"{RESPONSES}/{name}/input_items", headers=other), *wrong)
            error_of(http.delete(f"{RESPONSES}/{name}", headers=other), *wrong)
        body = {"model": "demo", "input": "x", "previous_response_id": name}
        foreign = http.post(RESPONSES, json=body, headers={"authorization": "Bearer two"})
        error_of(foreign, 400, "previous_response_not_found")
        reference = {
            **body,
            "previous_response_id": None,
            "input": [{"type": "item_reference", "id": "msg_" + name[5:] + "0"}],
        }
        error_of(http.post(RESPONSES, json=reference, headers={"authorization": "Bearer two"}), 400, "invalid_request")
        assert http.get(f"{RESPONSES}/{name}", headers={"authorization": "Bearer one"}).status_code == 200


def test_who_brings_site_tokens(serve: Callable[..., Served], tmp_path: Path) -> None:
    """Theirs are kept in memory, found by the same Bearer only, and not written."""
    served = serve(home=tmp_path)
    with served.client() as http:
        mine, other = ({"authorization": f"Bearer tok-{name}"} for name in ("mine", "other"))
        name = http.post(RESPONSES, json={"model": "demo", "input": "hi"}, headers=mine).json()["id"]
        assert http.get(f"{RESPONSES}/{name}", headers=mine).status_code == 200
        error_of(http.get(f"{RESPONSES}/{name}", headers=other), 404, "response_not_found")
        body = {"model": "demo/echo", "input": "x", "previous_response_id": name}
        assert ANSWER in text_of(http.post(RESPONSES, json=body, headers=mine).json())
        assert not (tmp_path / "responses.db").exists()
        error_of(http.get(f"{RESPONSES}/{name}"), 404, "response_not_found")


def test_a_restart(serve: Callable[..., Served], tmp_path: Path) -> None:
    first = Served(home=tmp_path)
    with first.client() as http:
        response = ask(http)
    first.stop()
    assert (tmp_path / "responses.db").stat().st_mode & 0o777 == 0o600
    second = serve(home=tmp_path)
    with second.client() as http:
        assert http.get(f"{RESPONSES}/{response['id']}").json() == response
        again = ask(http, "demo/echo", input="more", previous_response_id=response["id"])
        assert text_of(again) == f"user: hi\nassistant: {ANSWER}\nuser: more\n"


def test_nothing_is_kept_where_the_owner_says_so(serve: Callable[..., Served], tmp_path: Path) -> None:
    with serve(home=tmp_path, keep_responses_s=0).client() as http:
        response = ask(http, store=True)
        assert response["store"] is False
        error_of(http.get(f"{RESPONSES}/{response['id']}"), 404, "response_not_found")


def test_a_history_that_no_request_could_carry(serve: Callable[..., Served]) -> None:
    with serve(max_body_mib=1).client() as http:
        first = ask(http, input="x" * 600_000)
        second = ask(http, input="y" * 600_000, previous_response_id=first["id"])
        answer = http.post(RESPONSES, json={"model": "demo", "input": "z", "previous_response_id": second["id"]})
        error_of(answer, 400, "context_length_exceeded")
