"""Streams of `/v1/responses` read by hand and judged by what clients rely on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.spec import validate_event, validate_response

RESPONSES = "/v1/responses"
DELTAS = {
    "response.output_text.delta": "response.output_text.done",
    "response.reasoning_summary_text.delta": "response.reasoning_summary_text.done",
    "response.function_call_arguments.delta": "response.function_call_arguments.done",
}


@dataclass
class Events:
    """A whole stream."""

    events: list[dict[str, Any]] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)

    @property
    def types(self) -> list[str]:
        """The types, neighbours of one kind once."""
        types = [event["type"] for event in self.events]
        return [kind for at, kind in enumerate(types) if at == 0 or types[at - 1] != kind]

    @property
    def last(self) -> dict[str, Any]:
        """The response that it ended with."""
        response: dict[str, Any] = self.events[-1]["response"]
        return response


def parse(text: str) -> Events:
    """Check every event, their numbers, and that deltas, ends of items and the last response tell the same."""
    stream = Events()
    assert text.endswith("\n\n")
    for block in text[:-2].split("\n\n"):
        if block.startswith(":"):
            stream.comments.append(block)
            continue
        named, told = block.split("\n")
        event = json.loads(told.removeprefix("data: "))
        assert named == f"event: {event['type']}"
        validate_event(event)
        stream.events.append(event)
    events = stream.events
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    assert len({event["response"]["id"] for event in events if "response" in event}) == 1
    ends = ("response.completed", "response.incomplete", "response.failed")
    assert [event["type"] for event in events if event["type"] in ends] == [events[-1]["type"]], "one end, the last"
    assert events[-1]["type"] == f"response.{stream.last['status']}"
    added: dict[int, Any] = {}
    grown: dict[tuple[str, int], str] = {}
    done: dict[int, Any] = {}
    for event in events:
        index = event.get("output_index", -1)
        match event["type"]:
            case "response.output_item.added":
                assert index == len(added), "in order"
                added[index] = event["item"]
            case "response.output_item.done":
                assert event["item"]["id"] == added[index]["id"]
                done[index] = event["item"]
            case kind if kind in DELTAS:
                assert index not in done
                assert event["item_id"] == added[index]["id"]
                grown[DELTAS[kind], index] = grown.get((DELTAS[kind], index), "") + event["delta"]
            case kind if kind in DELTAS.values():
                assert event.get("text", event.get("arguments")) == grown.get((kind, index), "")
    if stream.last["status"] != "failed":
        assert [done[index] for index in sorted(added)] == stream.last["output"]
    return stream


def ask(http: httpx.Client, model: str = "demo", *, stream: bool = False, **fields: Any) -> dict[str, Any]:
    """A response, however it came; every byte judged."""
    answer = http.post(RESPONSES, json={"model": model, "input": "hi", "stream": stream, **fields})
    assert answer.status_code == 200, answer.text
    if stream:
        assert answer.headers["content-type"].startswith("text/event-stream")
        return parse(answer.text).last
    response: dict[str, Any] = answer.json()
    validate_response(response)
    return response


def text_of(response: dict[str, Any]) -> str:
    """The text of its message."""
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(part["text"] for part in parts)


def spoken(response: dict[str, Any]) -> list[dict[str, Any]]:
    """The output without its ids, which are new each time."""
    return [{key: value for key, value in item.items() if key not in ("id", "call_id")} for item in response["output"]]
