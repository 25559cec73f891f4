"""What a plain client reads out of the site's answers: the sheet's rules, written once more, for tests."""

from __future__ import annotations

import json
from typing import Any

import httpx


def events(answer: httpx.Response) -> list[tuple[str, Any]]:
    """A stream's (event, JSON) pairs; comments fall away."""
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
    return cut_events(answer.text)


def cut_events(text: str) -> list[tuple[str, Any]]:
    """The (event, JSON) pairs of a text that is a whole row of events."""
    assert text == "" or text.endswith("\n\n")
    pairs: list[tuple[str, Any]] = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "data" in lines:
            pairs.append((lines.get("event", "message"), json.loads(lines["data"])))
    return pairs


def shown(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The message that a reader of the patches ends with: the sheet's rules, written once more."""
    root: dict[str, Any] = {}
    path, operation = "", ""

    def apply(path: str, operation: str, value: Any) -> None:
        if operation == "BATCH":
            for step in value:
                # A step with a list in an existing list appends only if it says so.
                apply(f"{path}/{step['p']}".lstrip("/"), step.get("o", "SET"), step["v"])
            return
        *way, last = path.split("/")
        place: Any = root
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[step]
        if operation == "APPEND" and place.get(last) is not None:
            place[last] = place[last] + value
        else:
            place[last] = value

    for event, data in pairs:
        if event != "message":
            continue
        if "p" not in data and isinstance(data["v"], dict):
            root = json.loads(json.dumps(data["v"]))
            continue
        if "p" in data:
            path, operation = data["p"], data.get("o", "APPEND" if data["p"] == "response/fragments" else "SET")
        if isinstance(data["v"], str) and "p" not in data:
            apply("response/fragments/-1/content", "APPEND", data["v"])
        else:
            apply(path if "p" in data else "response", data.get("o", operation), data["v"])
    return root["response"]  # type: ignore[no-any-return]


def said(message: dict[str, Any], *kinds: str) -> str:
    """The text of the fragments of these kinds."""
    return "".join(fragment["content"] for fragment in message["fragments"] if fragment["type"] in kinds)


def refused(answer: httpx.Response) -> tuple[int, str]:
    """The code (outer or inner) and the message of a refusal with HTTP 200."""
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), answer.text
    said = answer.json()
    if said["code"]:
        return said["code"], said["msg"]
    assert said["data"]["biz_code"], answer.text
    return said["data"]["biz_code"], said["data"]["biz_msg"]
