"""The demo site's reader: its citation marks become links, however they are cut."""

from __future__ import annotations

import json
from typing import Any

import pytest

from relay.chat.events import Text
from relay.sites.demo.messages import DemoReader
from relay.wire.sse import SseEvent

URLS = ["https://example.org/a", "https://example.org/b"]
CASES = {
    "Sky[1]. Sea[2][1]!": f"Sky[1]({URLS[0]}). Sea[2]({URLS[1]})[1]({URLS[0]})!",
    "ends[2]": f"ends[2]({URLS[1]})",
    "[3] is no page, a[i] no mark, [1](x) a link, [12": "[3] is no page, a[i] no mark, [1](x) a link, [12",
}


def record(**fields: Any) -> SseEvent:
    return SseEvent("message", json.dumps(fields))


@pytest.mark.parametrize("said", CASES)
def test_marks_become_links(said: str) -> None:
    items = [{"url": url, "index": number} for number, url in enumerate(URLS, 1)]
    for size in range(1, len(said) + 1):
        reader = DemoReader()
        frames = [record(type="sources", items=items)]
        frames += [record(type="text", text=said[at : at + size]) for at in range(0, len(said), size)]
        frames.append(record(type="end", reason="stop"))
        events = [event for frame in frames for event in reader.feed(frame)]
        assert "".join(event.text for event in events if isinstance(event, Text)) == CASES[said]


def test_without_pages_nothing_is_a_mark() -> None:
    assert list(DemoReader().feed(record(type="text", text="a[1"))) == [Text("a[1")]
