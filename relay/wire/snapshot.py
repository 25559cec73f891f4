"""Cumulative text to deltas: each snapshot repeats the whole answer so far."""

from __future__ import annotations

from relay.errors import BadFrame
from relay.wire.text import is_first_half


class Revised(BadFrame):
    """The site's last word contradicts text that was already emitted.

    Nothing emitted can be taken back here; the reader decides (for instance yields `Retracted`).
    """

    def __init__(self, emitted: str, final: str) -> None:
        # Where the two part is what a person needs to see.
        at = next((i for i, (a, b) in enumerate(zip(emitted, final, strict=False)) if a != b), len(final))
        super().__init__(
            f"an answer that continues {emitted[max(0, at - 40) : at + 40]!r} (character {at})",
            repr(final[max(0, at - 40) : at + 40]),
        )
        self.emitted = emitted
        self.final = final


class SnapshotDelta:
    """Emit what is new in each snapshot, and never text that contradicts what was emitted.

    Sites re-render the tail of a snapshot (open Markdown, a cursor mark): `hold` characters at its
    end are kept back until they are followed by others or until `close`. A snapshot that does not
    continue the emitted text yields nothing and sets `revised`; if a later one does continue it, all
    is well again. Only the last word counts: `close` raises Revised if that one contradicts.

    Cost per snapshot: one comparison with the emitted prefix and one copy, both at memory speed.
    """

    def __init__(self, *, hold: int = 0) -> None:
        self._hold = hold
        self._emitted = ""
        self._snapshot = ""
        self._revised = False

    @property
    def emitted(self) -> str:
        """Everything emitted so far."""
        return self._emitted

    @property
    def revised(self) -> bool:
        """Whether the newest snapshot takes back something that was emitted."""
        return self._revised

    def feed(self, snapshot: str) -> str:
        """The new text that this snapshot settles; empty if there is none."""
        end = max(0, len(snapshot) - self._hold)
        if is_first_half(snapshot[end - 1 : end]):
            end -= 1  # half an emoji; the next snapshot has all of it as one other character
        return self._advance(snapshot, end)

    def close(self, final: str | None = None) -> str:
        """The rest, held tail included. `final` is the site's own final text, if it sends one.

        Raises Revised if that (or, without it, the last snapshot) contradicts what was emitted.
        """
        text = self._snapshot if final is None else final
        if is_first_half(text[-1:]):
            text = text[:-1] + "\ufffd"
        delta = self._advance(text, len(text))
        if self._revised:
            raise Revised(self._emitted, text)
        return delta

    def _advance(self, snapshot: str, end: int) -> str:
        self._snapshot = snapshot
        done = len(self._emitted)
        self._revised = not snapshot.startswith(self._emitted)
        if self._revised or end <= done:
            return ""
        self._emitted = snapshot[:end]
        return snapshot[done:end]
