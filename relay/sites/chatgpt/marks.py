"""What was told of a text that grows: nothing twice, nothing half, and links where the site's citation marks stand."""

from __future__ import annotations

import re
from urllib.parse import quote

from relay.wire.text import WholeCharacters

START, END = "\ue200", "\ue201"
"""A citation mark runs from the one to the other (section 5)."""
MAX_MARK_CHARS = 4096
"""What goes on for longer after a START is text that happens to contain one."""
_UNSAFE = re.compile(r"[\s()<>]")


class Told:
    """A text that comes piece by piece, perhaps again from its start (a resumed answer), or as it stands by now."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._size = 0
        self._at = 0
        self._characters = WholeCharacters()
        self._contradicted = False

    def __repr__(self) -> str:
        return f"<Told {self._at} of {self._size} characters{' contradicted' if self._contradicted else ''}>"

    @property
    def size(self) -> int:
        """How many characters were told."""
        return self._size

    @property
    def whole(self) -> str:
        """All that was told."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    @property
    def revised(self) -> bool:
        """Whether the text as it stands by now is another than was told."""
        return self._contradicted or self._at < self._size

    def append(self, piece: str) -> str:
        """What is new in the next piece; nothing once the text contradicts what was told."""
        piece = self._characters.feed(piece)
        again = min(len(piece), self._size - self._at)
        if self._contradicted or (again and not self.whole.startswith(piece[:again], self._at)):
            self._contradicted = True
            return ""
        self._at += len(piece)
        new = piece[again:]
        if new:
            self._pieces.append(new)
            self._size += len(new)
        return new

    def become(self, text: str) -> str:
        """What is new in the text as it stands."""
        self._at, self._contradicted, self._characters = 0, False, WholeCharacters()
        return self.append(text)


class Marks:
    """Puts what the citation marks of a growing text stand for in their place.

    The site tells what a mark means after the mark, so the text from a mark on waits until it is known.
    """

    def __init__(self) -> None:
        self._held: list[str] = []
        self._meant: dict[str, str] = {}
        self._awaits = ""
        """The mark that the held text begins with, once all of it is here."""

    def __repr__(self) -> str:
        return f"<Marks {len(self._meant)} known, {sum(map(len, self._held))} characters held>"

    @property
    def waiting(self) -> bool:
        """Whether text is held back."""
        return bool(self._held)

    def know(self, mark: str, meaning: str) -> str:
        """A mark's meaning, in Markdown; the text that this lets go."""
        self._meant[mark] = meaning
        return self._release() if mark == self._awaits else ""

    def feed(self, text: str) -> str:
        """The text that is settled, of all so far."""
        unfinished = bool(self._held) and END not in text and sum(map(len, self._held)) < MAX_MARK_CHARS
        self._held.append(text)
        return "" if self._awaits or unfinished else self._release()

    def close(self) -> str:
        """The rest: marks that nobody explained are dropped."""
        return self._release(final=True)

    def _release(self, *, final: bool = False) -> str:
        held, out = "".join(self._held), []
        at, self._awaits = 0, ""
        while (start := held.find(START, at)) >= 0:
            end = held.find(END, start, start + MAX_MARK_CHARS) + 1
            mark = held[start:end]
            if not end and (final or len(held) - start >= MAX_MARK_CHARS):
                out.append(held[at : start + 1])
                at = start + 1
            elif end and (mark in self._meant or final):
                out += (held[at:start], self._meant.get(mark, ""))
                at = end
            else:
                out.append(held[at:start])
                at, self._awaits = start, mark
                break
        else:
            out.append(held[at:])
            at = len(held)
        self._held = [held[at:]] if at < len(held) else []
        return "".join(out)


def link(number: int, url: str) -> str:
    """A citation in Markdown."""
    return f"[{number}]({_UNSAFE.sub(lambda found: quote(found[0]), url)})"
