"""The text of DeepSeek's answers as it is told: nothing twice, and links where its citation marks stand (section 5)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote

from relay.chat.events import Source
from relay.sites.deepseek.answer import Page, Reference
from relay.wire.snapshot import Revised
from relay.wire.text import WholeCharacters

_MARK = re.compile(r"\[(reference|citation):([0-9]{1,4})\]")
_BEGUN = re.compile(r"\[(?:(?:reference|citation):[0-9]{0,4}|[a-z]{0,9})\Z")
_WORDS = ("reference:", "citation:")
_UNSAFE = re.compile(r"[\s()<>]")


class Pages:
    """The pages found so far, by all that a mark may call them."""

    def __init__(self) -> None:
        self._sources: dict[str, Source] = {}
        self._by_index: dict[int, Source] = {}
        self._by_fragment: dict[int, list[Source]] = {}

    def __repr__(self) -> str:
        return f"<Pages {len(self._sources)}>"

    def __bool__(self) -> bool:
        return bool(self._sources)

    def found(self, fragment: int | None, pages: Iterable[Page]) -> list[Source]:
        """All that a fragment lists by now; returns those that are new."""
        listed: list[Source] = []
        new: list[Source] = []
        for page in pages:
            if not page.url:
                continue
            source = Source(page.url, page.title or "", page.snippet or "", page.cite_index)
            listed.append(source)
            if page.cite_index is not None:
                self._by_index[page.cite_index] = source
            if page.url not in self._sources:
                self._sources[page.url] = source
                new.append(source)
        if fragment is not None:
            self._by_fragment[fragment] = listed
        return new

    def cited(self, number: int) -> str | None:
        """The link of `[citation:number]`."""
        source = self._by_index.get(number)
        return self._link(source) if source is not None else None

    def referred(self, references: Sequence[Reference], at: int) -> str | None:
        """The link of `[reference:at]`, which stands for one of the text's references.

        A reference names a whole search. Which of its pages is meant is sure where there is only one; of several the
        one that has the mark's number, as the marks count from 0 and the pages from 1.
        """
        fragment = references[at].id if at < len(references) else None
        listed = self._by_fragment.get(fragment, []) if fragment is not None else []
        if len(listed) != 1:
            listed = [source for source in listed if source.index == at + 1]
        return self._link(listed[0]) if listed else None

    def _link(self, source: Source) -> str:
        number = source.index if source.index is not None else list(self._sources).index(source.url) + 1
        return f"[{number}]({_UNSAFE.sub(lambda found: quote(found[0]), source.url)})"


class Passage:
    """One growing piece of an answer's text or reasoning."""

    def __init__(self) -> None:
        self.references: Sequence[Reference] = ()
        self.revised: Revised | None = None
        """Set while the text as it stands is another than was told."""
        self._told: list[str] = []
        self._held = ""
        self._characters = WholeCharacters()

    def __repr__(self) -> str:
        return f"<Passage {sum(map(len, self._told))} characters, {len(self._held)} held>"

    def grow(self, piece: str) -> None:
        """The site's next piece."""
        if self.revised is None:
            self._told.append(piece)
            self._held += piece

    def become(self, text: str) -> None:
        """The whole text as it stands by now."""
        told = "".join(self._told)
        self._told = [told]
        self.revised = None if text.startswith(told) else Revised(told, text)
        self.grow(text[len(told) :])

    def take(self, pages: Pages, *, final: bool = False) -> str:
        """What can be told now, its marks as links. A mark that nothing explains is text like any other.

        What may be the first half of a mark waits for its other half, once there are pages that it could stand for.
        """
        text, self._held = self._held, ""
        if pages:
            if not final:
                text, self._held = _cut(text)
            text = _MARK.sub(self._explained(pages), text)
        text = self._characters.feed(text)
        return text + self._characters.close() if final else text

    def _explained(self, pages: Pages) -> Callable[[re.Match[str]], str]:
        def link(mark: re.Match[str]) -> str:
            number = int(mark[2])
            found = pages.cited(number) if mark[1] == "citation" else pages.referred(self.references, number)
            return mark[0] if found is None else found

        return link


def _cut(text: str) -> tuple[str, str]:
    """The text before what may be the first half of a mark, and that half."""
    begun = _BEGUN.search(text, max(0, text.rfind("["))) if "[" in text else None
    if begun is None:
        return text, ""
    tail = begun[0][1:]
    if ":" in tail or any(word.startswith(tail) for word in _WORDS):
        return text[: begun.start()], begun[0]
    return text, ""
