"""Gradio's config, values and streams without a browser: shapes, indentation, errors."""

from __future__ import annotations

import inspect
import json
import random
from collections.abc import Iterable
from typing import Any

import pytest

from relay.browser.tab import Response
from relay.chat.events import Event, Finished, Media, Reasoning, Text
from relay.errors import BadFrame, LoginNeeded, RateLimited, SiteChanged, SiteError, SiteUnavailable, TooLarge
from relay.sites.gradio.answer import AnswerView
from relay.sites.gradio.app import App, base_address
from relay.sites.gradio.stream import QueueReader, refuse
from relay.wire.sse import SseEvent


def streamed(snapshots: Iterable[object], **options: Any) -> list[Event]:
    """The events of a series of values, the last of them final."""
    view = AnswerView(**{"tidied": False, **options})
    *growing, last = snapshots
    return [event for value in growing for event in view.feed(value)] + view.close(last)


def text_of(events: Iterable[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def message(text: str, **metadata: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"type": "text", "text": text}], "metadata": metadata or None}


USER = {"role": "user", "content": "why"}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        (message("six"), "six"),
        ({"role": "assistant", "content": "five"}, "five"),
        ([["hi", "four"]], "four"),
        ([["old", "gone"], ["hi", "new"]], "new"),
        ([USER, message("a"), USER, message("b")], "b"),
        ([USER, message("one"), message("two")], "one\n\ntwo"),
        ({"text": "words", "files": []}, "words"),
        ({"a": 1}, '{"a": 1}'),
        ({"__type__": "update", "value": "new"}, "new"),
    ],
)
def test_shapes_of_values(value: object, expected: str) -> None:
    assert text_of(streamed([value])) == expected


def test_greeting_is_no_answer() -> None:
    greeting = [message("Hello, ask me")]
    assert streamed([greeting, [*greeting, USER], [*greeting, USER, message("x")]], greeting=1) == [
        Text("x"),
        Finished(),
    ]


def test_reasoning_and_files() -> None:
    picture = {"role": "assistant", "content": {"file": {"path": "/tmp/ü b.png", "mime_type": "image/png"}}}
    events = streamed([[message("hm", title="Thinking"), message("so"), picture]], files="http://app/file=")
    assert events == [
        Reasoning("hm"),
        Text("so"),
        Media("image", url="http://app/file=/tmp/%C3%BC%20b.png", mime="image/png", name="ü b.png"),
        Finished(),
    ]


def test_nothing_at_all_is_an_error() -> None:
    with pytest.raises(SiteError, match="without showing"):
        streamed([[USER]])
    assert streamed([[USER, message("")]]) == [Finished()]


def test_rewritten_answer_is_an_error() -> None:
    with pytest.raises(BadFrame):
        streamed(["Thinking...", "The answer"])


@pytest.mark.parametrize(
    "text",
    [
        "1. one\n   - a\n   - b\n\n2. two",
        "```\n    x\n    y\n```\nend",
        "- a\n- b\n\nc",
        "- a\n  - b\n    - c\n  - d\n- e",
        "1. a\n\n   1. b\n   2. c\n\n2. d",
        "a\n\nb\n    code\nc",
    ],
)
def test_indentation_is_kept_while_streaming(text: str) -> None:
    snapshots = [inspect.cleandoc(text[:n]) for n in range(len(text) + 1)]
    assert text_of(streamed([*snapshots, inspect.cleandoc(text)], tidied=True)) == text


def test_indentation_found_late_never_loses_words() -> None:
    text = "Sure:\n\n    code\n    more\n\nThat was it."
    snapshots = [inspect.cleandoc(text[:n]) for n in range(len(text) + 1)]
    seen = text_of(streamed([*snapshots, text], tidied=True))
    assert [line.strip() for line in seen.split("\n")] == [line.strip() for line in text.split("\n")]


def test_random_markdown_never_loses_words() -> None:
    random_ = random.Random(11)
    pieces = ["- ", "1. ", "  ", "    ", "\n", "\n\n", "word ", "```", "中文", "> ", "# "]
    for _ in range(300):
        text = "".join(random_.choices(pieces, k=30)) + "end"
        cuts = sorted(random_.sample(range(len(text)), min(12, len(text))))
        values = [inspect.cleandoc(text[:n]) for n in cuts] + [inspect.cleandoc(text)]
        seen = text_of(streamed(values, tidied=True))
        assert seen.replace(" ", "") == values[-1].replace(" ", ""), repr(text)


def said(msg: str, **fields: Any) -> SseEvent:
    return SseEvent("message", json.dumps({"msg": msg, "event_id": "e", **fields}))


def test_page_traffic_finds_the_chatbot() -> None:
    reader = QueueReader()
    first = [None, [USER, message("a")]]
    frames = [
        said("process_generating", output={"data": first}, success=True),
        said("process_generating", output={"data": [[], [["append", [1, "content", 0, "text"], " b"]]]}, success=True),
        said("process_completed", output={"data": [None, [USER, message("a b")]]}, success=True),
    ]
    assert [event for frame in frames for event in reader.feed(frame)] == [Text("a"), Text(" b"), Finished()]


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (said("process_completed", output={"error": "'boom'"}, success=False), SiteError),
        (said("process_completed", output={"error": None}, success=False), SiteError),
        (said("process_completed", output={"error": "No GPU was available after 60s"}, success=False), RateLimited),
        (said("process_completed", output={}, success=True), SiteError),
        (said("unexpected_error", message="404: Not Found", session_not_found=True), SiteError),
        (said("server_stopped"), SiteUnavailable),
        (SseEvent("message", "<html>"), SiteChanged),
    ],
)
def test_errors_in_the_queue(frame: SseEvent, error: type[Exception]) -> None:
    with pytest.raises(error):
        list(QueueReader().feed(frame))


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, '{"detail":"Not authenticated"}', LoginNeeded),
        (413, "", TooLarge),
        (500, "Internal Server Error", SiteChanged),
        (503, '{"detail":"Queue is full. Max size is 1 and size is 1."}', RateLimited),
        (503, "<!DOCTYPE html><title>Sleeping</title>", SiteUnavailable),
    ],
)
def test_refusals(status: int, body: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        refuse(Response(status, {}, "http://app", body.encode()))


@pytest.mark.parametrize("config", ["<html>", "{}", '{"components":[],"dependencies":[]}'])
def test_not_a_config(config: str) -> None:
    with pytest.raises(SiteChanged):
        App.parse(config)


def test_old_protocols_are_named() -> None:
    config = {"protocol": "ws", "components": [], "dependencies": [{"id": 0}]}
    with pytest.raises(SiteChanged, match=r"4\.x or newer"):
        App.parse(json.dumps(config))


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:7860", "http://127.0.0.1:7860/"),
        ("https://host/prefix/?x=1", "https://host/prefix/"),
        ("https://huggingface.co/spaces/Some.Owner/My_Chat", "https://some-owner-my-chat.hf.space/"),
        ("huggingface.co/spaces/a/b/tree/main", "https://a-b.hf.space/"),
    ],
)
def test_base_address(url: str, base: str) -> None:
    assert base_address(url) == base
