"""The rules of a stream, read byte by byte."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from tests.api.conftest import Served
from tests.api.pool import ANSWER
from tests.api.raw import CHAT, body, parse, stream


def test_order_and_headers(http: httpx.Client, relay: Served) -> None:
    response = http.post(CHAT, json=body(stream=True, temperature=0.2, seed=1), headers={"x-request-id": "mine-1"})
    assert response.headers["x-request-id"] == "mine-1" == relay.pool.last.id
    assert response.headers["x-relay-site"] == "demo"
    assert response.headers["x-relay-driver"] == "fetch"
    assert response.headers["x-relay-queue-ms"] == "1"
    assert response.headers["x-relay-ignored"] == "temperature, seed"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"
    assert "content-encoding" not in response.headers
    got = parse(response.text)
    assert got.chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert got.chunks[-1]["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "stop"}
    assert got.chunks[-1]["conversation_id"] == "conv-1"
    assert got.content == ANSWER
    assert got.finish == ["stop"]
    assert got.done
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in got.chunks}) == 1
    assert all("usage" not in chunk for chunk in got.chunks)


def test_answers_have_ids_of_their_own(http: httpx.Client) -> None:
    first, second = (
        parse(http.post(CHAT, json=body(stream=True), headers={"x-request-id": "same"}).text) for _ in range(2)
    )
    assert first.chunks[0]["id"] != second.chunks[0]["id"]


def test_usage_only_for_who_asks(http: httpx.Client) -> None:
    got = stream(http, stream_options={"include_usage": True})
    assert all(chunk["usage"] is None for chunk in got.chunks[:-1])
    assert got.chunks[-1]["choices"] == []
    assert got.chunks[-1]["usage"]["completion_tokens"] == -(-len(ANSWER.encode()) // 4)


def test_every_piece_arrives_in_order(http: httpx.Client) -> None:
    got = stream(http, "demo/long")
    assert got.content == "".join(f"{number} " for number in range(2000))
    assert got.finish == ["length"]


def test_keep_alive_once_committed(http: httpx.Client) -> None:
    got = stream(http, "demo/late")
    assert got.comments and set(got.comments) == {": keep-alive waiting for a tab"}
    assert got.content == "late"


def test_a_failure_after_the_commit_is_an_event(http: httpx.Client) -> None:
    got = stream(http, "demo/late-failure")
    assert got.error is not None and got.error["code"] == "site_unavailable"
    assert got.finish == [] and not got.done


def test_a_failure_before_the_commit_has_its_status(serve: Callable[..., Served]) -> None:
    with serve(commit_after_s=30).client() as http:
        response = http.post(CHAT, json=body("demo/late-failure", stream=True))
    assert response.status_code == 502


def test_a_cut_answer_keeps_its_beginning(http: httpx.Client) -> None:
    got = stream(http, "demo/cut")
    assert got.content == "half an ans"
    assert got.error is not None and got.error["code"] == "answer_cut"
    assert got.finish == [] and not got.done


def test_a_cut_answer_keeps_text_held_for_a_stop_sequence(http: httpx.Client) -> None:
    assert stream(http, "demo/cut", stop=["answer!"]).content == "half an ans"


def test_search_sources_and_media(http: httpx.Client) -> None:
    got = stream(http, "demo/rich")
    assert got.joined("reasoning_content") == "Searching: weather in Oslo\nLet me think."
    picture = "![picture](https://example.org/p%20%281%29.png)"
    assert got.content == f"It rains [1](https://example.org/a).\n\n{picture}\n\nDone."
    assert got.deltas("annotations") == [
        [
            {
                "type": "url_citation",
                "url_citation": {
                    "url": "https://example.org/a",
                    "title": "A [page]",
                    "start_index": 9,
                    "end_index": 34,
                },
            }
        ]
    ]


def test_silent_means_no_search_progress(http: httpx.Client) -> None:
    got = stream(http, "demo/rich-silent")
    assert got.joined("reasoning_content") == "Let me think."
    assert got.chunks[0]["model"] == "demo/rich-silent"


def test_a_list_of_sources_where_it_is_wanted(serve: Callable[..., Served]) -> None:
    with serve(sources="list").client() as http:
        assert stream(http, "demo/rich").content.endswith("Done.\n\n1. [A  page](https://example.org/a)\n")


def test_stop_sequences_cut_and_cancel(http: httpx.Client, relay: Served) -> None:
    got = stream(http, "demo/long", stop=["100 1", "never"])
    assert got.content.endswith("98 99 ")
    assert got.finish == ["stop"] and got.done
    assert relay.pool.last.cancelled.wait(10)


def test_max_tokens_cut(http: httpx.Client, relay: Served) -> None:
    got = stream(http, "demo/long", max_tokens=5)
    assert len(got.content.encode()) == 20
    assert got.finish == ["length"] and got.done
    assert relay.pool.last.cancelled.wait(10)


def test_a_limit_that_is_just_met_is_no_cut(http: httpx.Client) -> None:
    assert stream(http, max_completion_tokens=-(-len(ANSWER.encode()) // 4)).finish == ["stop"]


def test_whole_answers_follow_the_same_rules(http: httpx.Client) -> None:
    response = http.post(CHAT, json=body("demo/rich", stop=["Done"]))
    message = response.json()["choices"][0]["message"]
    assert message["content"].endswith("png)\n\n")
    assert message["reasoning_content"].startswith("Searching")
    assert response.headers["x-relay-site"] == "demo"
    assert "conversation_id" not in response.json()
    assert http.post(CHAT, json=body()).json()["conversation_id"] == "conv-1"
