"""Events of a chat -> pieces of an OpenAI answer: pure, and the same for streams and whole answers.

Stop sequences and the token limit are applied here by cutting: chat pages know neither.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import quote

from relay.chat.events import (
    Event,
    Finished,
    FinishReason,
    Media,
    Reasoning,
    Retracted,
    Search,
    Source,
    Sources,
    Started,
    Text,
    ToolCall,
    Turned,
)
from relay.chat.usage import BYTES_PER_TOKEN, Usage, text_tokens, utf8_bytes
from relay.errors import ContentRefused


@dataclass(frozen=True, slots=True)
class Piece:
    """Something to show: answer text or reasoning."""

    kind: Literal["content", "reasoning"]
    text: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What the request wants of the answer's form."""

    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    """Of answer text, by the estimate of `chat.usage`; reasoning is not counted."""
    silent: bool = False
    """No search progress in the reasoning."""
    list_sources: bool = False
    """Append a list of sources to the text."""


class Composer:
    """Feed it events; `finish` is set once the answer is complete or cut, and what comes later is ignored."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._budget = self._limits.max_tokens * BYTES_PER_TOKEN if self._limits.max_tokens else None
        self._held = ""
        self._out: list[Piece] = []
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._sources: dict[str, Source] = {}
        self._after_media = False
        self.finish: FinishReason | None = None
        self.cut = False
        """Whether `finish` is ours: the site has more to say and must be stopped."""
        self.stopped_by = ""
        """The stop sequence that cut the answer; empty where none did."""
        self.conversation = ""
        self.tool_calls: list[ToolCall] = []

    def __repr__(self) -> str:
        return f"<Composer {len(self.content)} characters, finish={self.finish}>"

    @property
    def content(self) -> str:
        """The answer's text so far."""
        return "".join(self._content)

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        return "".join(self._reasoning)

    @property
    def sources(self) -> list[Source]:
        """The pages that the answer rests on, each once."""
        return list(self._sources.values())

    def usage(self, prompt: int) -> Usage:
        """Estimated counts; a call is as long as its name and arguments.

        Costs a look at the whole text: for the end of an answer, not for its chunks.
        """
        called = "".join(call.name + call.arguments for call in self.tool_calls)
        written, reasoning = text_tokens(self.content + called), text_tokens(self.reasoning)
        if self._limits.max_tokens and not called:
            written = min(written, self._limits.max_tokens)  # it was cut by the bytes
        return Usage(prompt, written + reasoning, reasoning)

    def feed(self, events: Iterable[Event]) -> list[Piece]:
        """What these events add, neighbours of one kind joined. Raises ContentRefused when the site takes back."""
        self._out = []
        for event in events:
            if self.finish is None:
                self._one(event)
        return self._out

    def release(self) -> list[Piece]:
        """Text held back as a possible stop sequence, for an answer that ends in an error."""
        self._out = []
        self._flush()
        return self._out

    def _one(self, event: Event) -> None:
        match event:
            case Text(text):
                self._text(text)
            case Reasoning(text):
                self._reason(text)
            case Search(query):
                if not self._limits.silent:
                    self._note(f"Searching: {query}\n")
            case Sources(items):
                for source in items:
                    if source.url.lower().startswith(("http://", "https://")):
                        self._sources.setdefault(source.url, source)
            case Media():
                self._media(event)
            case ToolCall():
                self.tool_calls.append(event if event.id else replace(event, id=f"call_{secrets.token_hex(12)}"))
            case Started(conversation) | Turned(conversation):
                self.conversation = conversation
            case Retracted(reason):
                said = f" It said: {reason!r}." if reason else ""
                raise ContentRefused(f"The site took its answer back.{said} Word the request differently.")
            case Finished(reason):
                self._end(reason)

    def _end(self, reason: FinishReason) -> None:
        self._flush()
        if self.finish is None:
            if self._limits.list_sources and self._sources:
                self._emit(source_list(self.sources))
            self.finish = reason

    def _reason(self, text: str) -> None:
        if text:
            self._reasoning.append(text)
            self._push("reasoning", text)

    def _note(self, line: str) -> None:
        """A line of its own in the reasoning."""
        fresh = not self._reasoning or self._reasoning[-1].endswith("\n")
        self._reason(line if fresh else f"\n{line}")

    def _text(self, text: str) -> None:
        if not text:
            return
        if self._after_media:
            self._after_media = False
            text = text if text.startswith("\n") else f"\n\n{text}"
        if not self._limits.stop:
            self._spend(text)
            return
        text = self._held + text
        found = [(at, stop) for stop in self._limits.stop if (at := text.find(stop)) >= 0]
        if found:
            at, stop = min(found)
            self._held = ""
            self._spend(text[:at])
            if self.finish is None:
                self.stopped_by = stop
                self._cut_off("stop")
            return
        kept = held_back(text, self._limits.stop)
        self._held = text[len(text) - kept :]
        self._spend(text[: len(text) - kept])

    def _flush(self) -> None:
        held, self._held = self._held, ""
        self._spend(held)

    def _spend(self, text: str) -> None:
        """Emit as much of `text` as the token limit leaves."""
        if self.finish is not None or not text:
            return
        if self._budget is not None:
            size = utf8_bytes(text)
            if size > self._budget:
                text = text.encode("utf-8", "replace")[: self._budget].decode("utf-8", "ignore")
                self._emit(text)
                self._cut_off("length")
                return
            self._budget -= size
        self._emit(text)

    def _emit(self, text: str) -> None:
        if text:
            self._content.append(text)
            self._push("content", text)

    def _push(self, kind: Literal["content", "reasoning"], text: str) -> None:
        if self._out and self._out[-1].kind == kind:
            text = self._out.pop().text + text
        self._out.append(Piece(kind, text))

    def _cut_off(self, reason: FinishReason) -> None:
        if self.finish is None:
            self.finish, self.cut = reason, True

    def _media(self, media: Media) -> None:
        self._flush()
        if self.finish is None:
            before = "" if not self._content else "\n\n"
            if self._content and self._content[-1].endswith("\n"):
                before = "" if self._content[-1].endswith("\n\n") else "\n"
            self._emit(before + media_markdown(media))
            self._after_media = True

    def annotations(self) -> list[dict[str, Any]]:
        """OpenAI's `url_citation`s; the places of links to them in the text, 0 to 0 where there is none."""
        if not self._sources:
            return []
        text, made = self.content, []
        for source in self._sources.values():
            start, end = link_span(text, source.url)
            citation = {"url": source.url, "title": source.title, "start_index": start, "end_index": end}
            made.append({"type": "url_citation", "url_citation": citation})
        return made


def held_back(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end of `text` could begin a stop sequence."""
    longest = max(map(len, stops)) - 1
    for size in range(min(longest, len(text)), 0, -1):
        tail = text[-size:]
        if any(stop.startswith(tail) for stop in stops):
            return size
    return 0


def link_span(text: str, url: str) -> tuple[int, int]:
    """Where `[…](url)` first stands: its first and last character; (0, 0) if nowhere."""
    at = text.find(f"]({url})")
    if at < 0:
        return 0, 0
    start = text.rfind("[", 0, at)
    return (start, at + len(url) + 2) if start >= 0 else (0, 0)


def media_url(media: Media) -> str:
    """Its address; as a data URL where only the bytes are of use to a client."""
    if media.url and not (media.private and media.data):
        return media.url
    mime = media.mime or "application/octet-stream"
    return f"data:{mime};base64,{base64.b64encode(media.data).decode()}"


def media_markdown(media: Media) -> str:
    """An image, or a link to anything else."""
    # As it is, but for what would end the link early.
    url = quote(media_url(media), safe="%/:=&?~#+!$,;'@*[]-._|{}^`\\\"")
    name = re.sub(r"[\[\]\n\r]+", " ", media.name).strip() or media.kind
    return f"{'!' if media.kind == 'image' else ''}[{name}]({url})"


def source_list(sources: Sequence[Source]) -> str:
    """A numbered list of links, by the site's own numbers where it has them."""
    lines = []
    for number, source in enumerate(sources, 1):
        title = re.sub(r"[\[\]\n\r]+", " ", source.title).strip() or source.url
        lines.append(f"{source.index if source.index is not None else number}. [{title}]({source.url})")
    return "\n\n" + "\n".join(lines) + "\n"
