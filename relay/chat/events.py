"""What a driver yields. Text events concatenate to the answer: deltas only, whole characters, nothing trimmed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FinishReason = Literal["stop", "length", "content_filter", "tool_calls"]


@dataclass(frozen=True, slots=True)
class Started:
    """The site opened (or named) the conversation; its id, as the site spells it."""

    conversation: str


@dataclass(frozen=True, slots=True)
class Turned:
    """The parent of the next turn, often known only late in the answer."""

    conversation: str
    message: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A piece of the model's reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class Search:
    """The site searches the web for `query`."""

    query: str


@dataclass(frozen=True, slots=True)
class Source:
    """One web page that the answer rests on. `index` is the site's own citation number, if any."""

    url: str
    title: str = ""
    snippet: str = ""
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Sources:
    """Pages found; may come in several parts."""

    items: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Media:
    """An image, audio, video or file in the answer: by address (relative to the page, from a driver), or its bytes."""

    kind: Literal["image", "audio", "video", "file"]
    url: str = ""
    data: bytes = b""
    mime: str = ""
    name: str = ""
    private: bool = False
    """Whether only the account's login can fetch the address."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool. `arguments` is the JSON text of an object; `id` is the relay's, empty until it is given one."""

    name: str
    arguments: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """Nothing to show, but the site is alive: resets the idle clock. `note` is for logs and keep-alives."""

    note: str = ""


@dataclass(frozen=True, slots=True)
class Quota:
    """What the site says of the account's limits. `used` is 0..1; `resets_at` is Unix seconds."""

    window: str
    used: float | None = None
    resets_at: float | None = None


@dataclass(frozen=True, slots=True)
class Retracted:
    """The site took back what it had shown."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The end mark. Nothing after it is answer text."""

    reason: FinishReason = "stop"


Event = (
    Started | Turned | Reasoning | Text | Search | Sources | Media | ToolCall | Progress | Quota | Retracted | Finished
)
CONTENT = (Reasoning, Text, Search, Sources, Media, ToolCall, Retracted, Finished)
"""Events that show the answer: any of them ends the first-byte clock and commits a stream."""
