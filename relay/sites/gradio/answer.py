"""Gradio's answer: cumulative values in their many shapes, turned into deltas.

Sections are those of the Gradio fact sheet ("Answer stream").

What Gradio itself does to text: a Chatbot component passes every message through `inspect.cleandoc`. It turns
tabs into spaces, drops blank lines at both ends and the indentation that all lines after the first share. A
ChatInterface's API endpoint returns the function's text untouched; everything read from a Chatbot does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal
from urllib.parse import quote

from relay.chat.events import Event, Finished, Media, Reasoning, Text
from relay.errors import SiteError
from relay.wire.snapshot import Revised, SnapshotDelta

Kind = Literal["text", "reasoning"]
FENCE = re.compile(r"(`{3,}|~{3,})")
ITEM = re.compile(r"(?:[-*+]|\d{1,9}[.)]) ")


# Shapes of values -> parts


def parts_of(value: object, greeting: int, files: str) -> Iterator[tuple[Kind, str] | Media]:
    """What the assistant said last in a value: of a chatbot, the messages after the user's last one.

    `greeting` is how many messages stood there before the chat; `files` the address that serves its files.
    """
    if isinstance(value, dict) and "content" in value:
        value = [value]  # a single message, as chat functions yield it
    if not isinstance(value, list):
        yield from _content(value, files)
        return
    messages = [message for item in value for message in _messages(item)]
    asked = max(
        (n for n, (role, _, _) in enumerate(messages) if role == "user" and n >= greeting), default=greeting - 1
    )
    for _, thinking, content in messages[asked + 1 :]:
        for part in _content(content, files):
            yield ("reasoning", part[1]) if thinking and not isinstance(part, Media) else part


def is_chat(value: object) -> bool:
    """Whether a value is a chatbot's: messages with roles, or pairs (Gradio 4, and 5 with `type="tuples"`)."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            ("role" in item and "content" in item)
            if isinstance(item, dict)
            else isinstance(item, list) and len(item) == 2
            for item in value
        )
    )


def count(value: object) -> int:
    """How many messages a chatbot's value holds."""
    return sum(1 for item in value for _ in _messages(item)) if isinstance(value, list) else 0


def answered(value: object) -> bool:
    """Whether a chatbot's value ends with something the assistant said."""
    return any(True for _ in parts_of(value, 0, ""))


def _messages(item: Any) -> Iterator[tuple[str, bool, object]]:
    """Role, whether it is reasoning, and content."""
    match item:
        case {"content": content, **rest}:
            metadata = rest.get("metadata")
            title = metadata.get("title") if isinstance(metadata, dict) else None
            yield str(rest.get("role") or "assistant"), bool(title), content
        case [user, bot]:
            if user is not None:
                yield "user", False, user
            if bot is not None:
                yield "assistant", False, bot
        case _:
            yield "assistant", False, item


def _content(content: Any, files: str) -> Iterator[tuple[Kind, str] | Media]:
    match content:
        case None:
            return
        case str(text) | {"type": "text", "text": str(text)}:
            yield "text", text
        case list(items):
            for item in items:
                yield from _content(item, files)
        case {"type": "file", "file": file} | {"file": dict() as file}:
            yield from _content(file, files)
        case {"path": str() | None} | {"url": str()}:
            yield _media(content, files)
        case {"component": str(), "value": inner}:
            yield from _content(inner, files)
        case {"text": str(text), **rest}:
            yield from _content([text or None, rest.get("files")], files)
        case {"__type__": "update", **rest}:
            yield from _content(rest.get("value"), files)
        case _:
            yield "text", json.dumps(content, ensure_ascii=False)


def _media(file: dict[str, Any], files: str) -> Media:
    url = file.get("url") or f"{files}{quote(file.get('path') or '')}"
    mime = file.get("mime_type") or ""
    name = file.get("orig_name") or (file.get("path") or url).rpartition("/")[2]
    major = mime.partition("/")[0]
    if not major and (
        found := re.search(r"\.(png|jpe?g|gif|webp|svg|wav|mp3|ogg|flac|mp4|webm)$", name, re.IGNORECASE)
    ):
        suffix = found[1].lower()
        major = (
            "audio" if suffix in ("wav", "mp3", "ogg", "flac") else "video" if suffix in ("mp4", "webm") else "image"
        )
    kinds: dict[str, Literal["image", "audio", "video"]] = {"image": "image", "audio": "audio", "video": "video"}
    return Media(kinds.get(major, "file"), url=url, mime=mime, name=name)


# Cumulative -> delta


class _Steady:
    """Deltas of a Chatbot's message, whose indentation is settled only at its end (see the module's head).

    After a first line that opens a list item nothing is emitted until the end, after one that opens a fence nothing
    until that is closed: what is nested in them looks unindented until then (a nested list like a list's own items).
    Where indentation already emitted does change (only leading spaces), the rest follows in its true form; any other
    change is a revision.
    """

    def __init__(self) -> None:
        self._delta = SnapshotDelta()
        self._settled = False

    def feed(self, snapshot: str) -> str:
        return self._follow(snapshot).feed(self._steady(snapshot))

    def close(self, final: str) -> str:
        return self._follow(final).close(final)

    def _steady(self, snapshot: str) -> str:
        first, line_end, rest = snapshot.partition("\n")
        if not line_end or self._settled:
            return snapshot
        if fence := FENCE.match(first):
            self._settled = re.search(rf"^{re.escape(fence[1])}", rest, re.MULTILINE) is not None
        else:
            self._settled = ITEM.match(first) is None
        return snapshot if self._settled else first

    def _follow(self, snapshot: str) -> SnapshotDelta:
        emitted = self._delta.emitted
        if not snapshot.startswith(emitted) and (at := _reindented(emitted, snapshot)) is not None:
            self._delta = SnapshotDelta()
            self._delta.feed(snapshot[:at])
        return self._delta


def _reindented(emitted: str, snapshot: str) -> int | None:
    """How much of the snapshot is the emitted text but for spaces at the start of lines; None if it is not."""
    *before, last = emitted.split("\n")
    lines = snapshot.split("\n", len(before))
    if len(lines) <= len(before):
        return None
    if any(old.lstrip(" ") != new.lstrip(" ") for old, new in zip(before, lines, strict=False)):
        return None
    new, old = lines[-1].lstrip(" "), last.lstrip(" ")
    return len(snapshot) - len(new) + len(old) if new.startswith(old) else None


class AnswerView:
    """The growing value of the answer's component, as events.

    Several bubbles of one kind are set apart by a blank line. Only the newest of a kind may still grow.
    """

    def __init__(self, *, tidied: bool, greeting: int = 0, files: str = "") -> None:
        self._tidied = tidied
        self._greeting = greeting
        self._files = files
        self._streams: dict[tuple[Kind, int], SnapshotDelta | _Steady] = {}
        self._media: set[str] = set()
        self.objects = False

    def feed(self, value: object) -> list[Event]:
        """What is new in a value that may still grow."""
        return self._events(value, final=False)

    def close(self, value: object) -> list[Event]:
        """What is new in the final value, and the end mark. Raises SiteError where there was no answer at all."""
        events = self._events(value, final=True)
        if not self._streams and not self._media:
            raise SiteError("The app ended without showing an answer.")
        return [*events, Finished()]

    def _events(self, value: object, *, final: bool) -> list[Event]:
        self.objects = self.objects or not isinstance(value, str | None)
        events: list[Event] = []
        seen: dict[Kind, list[str]] = {"text": [], "reasoning": []}
        for part in parts_of(value, self._greeting, self._files):
            if not isinstance(part, Media):
                seen[part[0]].append(part[1])
            elif part.url not in self._media:
                self._media.add(part.url)
                events.append(part)
        kinds: tuple[Kind, ...] = ("reasoning", "text")
        spoken = [
            Reasoning(d) if kind == "reasoning" else Text(d)
            for kind in kinds
            for d in self._grow(kind, seen[kind], final)
        ]
        return [*spoken, *events]

    def _grow(self, kind: Kind, bubbles: Sequence[str], final: bool) -> Iterator[str]:
        for n, bubble in enumerate(bubbles):
            newest = n == len(bubbles) - 1
            stream = self._streams.get((kind, n))
            if stream is None:
                stream = self._streams[kind, n] = _Steady() if self._tidied else SnapshotDelta()
                if n and bubble:
                    yield "\n\n"
            delta = stream.close(bubble) if final or not newest else stream.feed(bubble)
            if delta:
                if not newest and (kind, n + 1) in self._streams:
                    raise Revised("an earlier bubble", bubble)
                yield delta
        if final and (kind, len(bubbles)) in self._streams:
            raise Revised("a bubble", "none")
