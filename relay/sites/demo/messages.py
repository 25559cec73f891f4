"""What the demo site sends, validated, and what is read out of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from relay.chat.events import (
    Event,
    Finished,
    Media,
    Reasoning,
    Search,
    Source,
    Sources,
    Started,
    Text,
    Turned,
)
from relay.errors import (
    AccountBanned,
    ContentRefused,
    ContextTooLong,
    ConversationNotFound,
    LoginNeeded,
    RateLimited,
    RelayError,
    SiteChanged,
    SiteError,
)
from relay.sites.answered import Answered, read
from relay.sites.base import Reader
from relay.wire.sse import SseDecoder, SseEvent


class Start(Answered):
    """The conversation and the id of the answer's message."""

    type: Literal["start"]
    conversation: str
    message: str


class Piece(Answered):
    """A delta of the answer or of the reasoning."""

    type: Literal["text", "reasoning"]
    text: str


class Query(Answered):
    """A web search."""

    type: Literal["search"]
    query: str


class Page(Answered):
    """One source."""

    url: str
    title: str = ""
    snippet: str = ""
    index: int | None = None


class Pages(Answered):
    """What a search found."""

    type: Literal["sources"]
    items: list[Page]


class Medium(Answered):
    """An image or file in the answer."""

    type: Literal["media"]
    kind: Literal["image", "audio", "video", "file"]
    url: str
    name: str = ""
    mime: str = ""


class End(Answered):
    """The end mark."""

    type: Literal["end"]
    reason: Literal["stop", "length"]


class Fault(Answered):
    """An error inside HTTP 200."""

    type: Literal["error"]
    code: str
    message: str = ""


class Said(Answered):
    """What went wrong."""

    code: str
    message: str = ""


class Refusal(Answered):
    """An error in place of an answer."""

    error: Said


class Ping(Answered):
    """A heartbeat."""

    type: Literal["ping"]


Record = Annotated[Start | Piece | Query | Pages | Medium | End | Fault | Ping, Field(discriminator="type")]
LATER = ConfigDict(defer_build=True)
RECORD: TypeAdapter[Start | Piece | Query | Pages | Medium | End | Fault | Ping] = TypeAdapter(Record, config=LATER)


def refusal(body: bytes) -> Said:
    """What an error body says. Raises SiteChanged."""
    return read(Refusal, body, "an error of the demo site").error


def site_error(code: str, message: str) -> RelayError:
    """The error of a code of the site."""
    match code:
        case "content_refused":
            return ContentRefused(f"The demo site refused the content: {message}")
        case "account_banned":
            return AccountBanned(f"The demo site has closed the account: {message}", refused=True)
        case "not_logged_in" | "guest":
            return LoginNeeded(f"The demo site does not know the login: {message}", refused=True)
        case "prompt_too_long":
            return ContextTooLong(f"The demo site takes no prompt of this length: {message}", refused=True)
        case "rate_limited":
            return RateLimited(f"The demo site limits the account: {message}", refused=True)
        case "conversation_not_found" | "wrong_parent" | "conversation_busy":
            return ConversationNotFound(f"The demo site cannot continue the conversation: {message}", refused=True)
        case _:
            return SiteError(f"The demo site reports an error ({code}): {message}")


MARK = re.compile(r"\[([0-9]{1,3})\](?!\()")
"""The site's citation mark: a page's number."""
BEGUN = re.compile(r"\[(?:[0-9]{0,3}|[0-9]{1,3}\])\Z")
"""What may be the beginning of one: a `(` after it would make it a link of the text's own."""


class DemoReader(Reader[SseEvent]):
    """The answer stream: one JSON record per event."""

    frames = SseDecoder

    def __init__(self) -> None:
        self._pages: dict[int, str] = {}
        self._held = ""

    def _linked(self, text: str, *, last: bool = False) -> Iterable[Event]:
        """Text with links where its marks stand; the beginning of a mark waits for the rest."""
        text, self._held = self._held + text, ""
        if self._pages:
            if not last and (begun := BEGUN.search(text)):
                text, self._held = text[: begun.start()], begun[0]
            text = MARK.sub(self._link, text)
        if text:
            yield Text(text)

    def _link(self, mark: re.Match[str]) -> str:
        url = self._pages.get(int(mark[1]))
        return f"[{mark[1]}]({url})" if url else mark[0]

    def feed(self, frame: SseEvent) -> Iterable[Event]:
        """Events of one record."""
        try:
            record = RECORD.validate_json(frame.data)
        except ValidationError:
            raise SiteChanged("a record of the demo site", frame.data) from None
        match record:
            case Start(conversation=conversation, message=message):
                yield Started(conversation)
                yield Turned(conversation, message)
            case Piece(type="text", text=text):
                yield from self._linked(text)
            case Piece(text=text):
                yield Reasoning(text)
            case Query(query=query):
                yield Search(query)
            case Pages(items=items):
                self._pages |= {page.index: page.url for page in items if page.index is not None}
                yield Sources(tuple(Source(page.url, page.title, page.snippet, page.index) for page in items))
            case Medium(kind=kind, url=url, name=name, mime=mime):
                yield from self._linked("", last=True)
                yield Media(kind, url, mime=mime, name=name, private=True)
            case End(reason=reason):
                yield from self._linked("", last=True)
                yield Finished(reason)
            case Fault(code=code, message=message):
                raise site_error(code, message)
            case Ping():
                pass  # a heartbeat is no progress
