"""The message that DeepSeek's answer stream makes, validated (section 5 of the fact sheet)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, PlainValidator

from relay.sites.answered import Answered

OLDER = ("thinking_content", "content")
"""Where the message of 2025 had what are its first two fragments here, in their order."""
REFUSED = "TEMPLATE_RESPONSE"
"""The fragment that stands in the place of an answer that the site takes back."""


def _whole(text: Any) -> Any:
    """A text without halves of characters, which sites leave where they shorten it."""
    if not isinstance(text, str):
        return "" if text is None else text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _growing(text: Any) -> str:
    """A text that grows: half a character at its end may yet get its other half."""
    if text is None or isinstance(text, str):
        return text or ""
    raise ValueError("a string is wanted")


Whole = Annotated[str, BeforeValidator(_whole)]
Growing = Annotated[str, PlainValidator(_growing)]


class Query(Answered):
    """A question to the web search."""

    query: Whole = ""


class Page(Answered):
    """A web page that a search found."""

    url: Whole = ""
    title: Whole = ""
    snippet: Whole = ""
    cite_index: int | None = None


class Reference(Answered):
    """What a citation mark refers to: the fragment of a search, or of a page that was opened."""

    id: int | None = None


class Fragment(Answered):
    """A part of the answer, by its `type`."""

    id: int | None = None
    type: Whole = ""
    content: Growing = ""
    queries: list[Query] | None = None
    results: list[Page] | None = None
    result: Page | None = None
    references: list[Reference] | None = None


class Message(Answered):
    """The message. In 2025 its text and pages were fields of its own."""

    message_id: int | None = None
    status: Whole = ""
    quasi_status: Whole = ""
    fragments: list[Fragment] | None = None
    thinking_content: Growing = ""
    content: Growing = ""
    search_results: list[Page] | None = None

    def parts(self) -> list[Fragment]:
        """Its fragments; what was none in 2025 made into such."""
        if self.fragments or not (self.thinking_content or self.content or self.search_results):
            return self.fragments or []
        return [
            Fragment(type="THINK", content=self.thinking_content),
            Fragment(type="RESPONSE", content=self.content, results=self.search_results),
        ]

    @property
    def template(self) -> Fragment | None:
        """The fragment of a refusal."""
        return next((part for part in self.fragments or () if part.type == REFUSED), None)

    @property
    def refused(self) -> str | None:
        """What the site says in the place of an answer that it refuses; None where it does not refuse."""
        if self.template is not None:
            return _whole(self.template.content) or ""
        return "" if "CONTENT_FILTER" in (self.status, self.quasi_status) else None


class Root(Answered):
    """What the patches make."""

    response: Message


class Ready(Answered):
    """`event: ready`."""

    response_message_id: int


class Delta(Answered):
    """`delta` of a chunk of the first half of 2025."""

    type: Whole = ""
    content: Growing = ""
    search_results: list[Page] | None = None


class Choice(Answered):
    """One of `choices`."""

    delta: Delta = Delta()


class Choices(Answered):
    """A chunk of the first half of 2025."""

    choices: list[Choice]
