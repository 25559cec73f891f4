"""What Claude's blocks hold beside text: searches, pages and their citation marks, artifacts (section 5)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote

from relay.chat.events import Event, Source, Sources

MAX_DEPTH = 8
MAX_LANGUAGE_CHARS = 30


def query_of(said: Any) -> str:
    """What a search was asked for."""
    match said:
        case {"query": str(query)}:
            return query
    return ""


def artifact(raw: str) -> str:
    """An artifact as Markdown: its body in a fence. How the site calls its parts is not known for sure: what has no
    `content` (a change to an earlier one, say) is shown whole, as the JSON that it is."""
    match parsed(raw):
        case {"content": str(body), **rest}:
            title, language = rest.get("title"), rest.get("language")
        case _:
            body, title, language = raw, None, "json"
    known = isinstance(language, str) and re.fullmatch(rf"[\w+#.-]{{1,{MAX_LANGUAGE_CHARS}}}", language)
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", body)), default=0))
    head = f"**{' '.join(title.split())}**\n\n" if isinstance(title, str) and title.strip() else ""
    end = "" if body.endswith("\n") else "\n"
    return f"{head}{fence}{language if known else ''}\n{body}{end}{fence}\n"


def parsed(raw: str) -> Any:
    """JSON, or None for what is none."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def pages_in(value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """(address, title) of each page in what a search found, however it is wrapped."""
    if depth > MAX_DEPTH:
        return
    match value:
        case {"url": str(url), **rest} if re.match("https?://", url, re.IGNORECASE):
            title = rest.get("title")
            # As it can stand in a Markdown link.
            yield quote(url, safe="%/:=&?~#+!$,;'@*[]-._|{}^`\\\""), title if isinstance(title, str) else ""
        case dict():
            for one in value.values():
                yield from pages_in(one, depth + 1)
        case list():
            for one in value:
                yield from pages_in(one, depth + 1)


class Citations:
    """The pages of an answer, numbered as they come, and the marks that point to them."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._open: dict[str, str] = {}
        """Links of marks that have begun, by the site's id of the mark."""

    def __repr__(self) -> str:
        return f"<Citations of {len(self._numbers)} pages, {len(self._open)} open>"

    def found(self, said: Any) -> Iterable[Event]:
        """The pages that are new."""
        new: list[Source] = []
        for url, title in pages_in(said):
            if url not in self._numbers:
                self._numbers[url] = len(self._numbers) + 1
                new.append(Source(url, title, index=self._numbers[url]))
        if new:
            yield Sources(tuple(new))

    def begin(self, citation: Any) -> None:
        """A cited passage begins; its page is among those `found`."""
        for url, _ in pages_in(citation):
            self._open[_id(citation)] = f"[{self._numbers[url]}]({url})"

    def end(self, mark: Any) -> str:
        """It ends: the link that stands there, or nothing. `mark` is a citation, or only its id."""
        for url, _ in pages_in(mark):
            self._open.pop(_id(mark), None)
            return f"[{self._numbers[url]}]({url})"
        if (link := self._open.pop(_id(mark), "")) or not self._open:
            return link
        return self._open.popitem()[1]

    def rest(self) -> str:
        """The links of marks that have no end."""
        links, self._open = "".join(self._open.values()), {}
        return links


def _id(mark: Any) -> str:
    match mark:
        case {"uuid": str(uuid)} | str(uuid):
            return uuid
    return ""
