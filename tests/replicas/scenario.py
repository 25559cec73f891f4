"""What a replica does with an account: the answer it gives, how it cuts the bytes, and what goes wrong.

These models are both the control API's JSON and what a test builds, so a test computes the text it must receive from
the very object that it sent.
"""

from __future__ import annotations

import random
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

WORDS = (
    "the",
    "sky",
    "scatters",
    "short",
    "waves",
    "天空",
    "散射",
    "短波",
    "naïve",
    "façade",
    "“quotes”",
    "🌌",
    "👩🏽\u200d🚀",
    "données",
    "Größe",
    "値",
    "a<b",
    "&amp;",
    "c>d",
    "**bold**",
    "`code`",
    "1.",
    "list;",
    "{json}",
    "\\path\t—",
)


class Strict(BaseModel):
    """A model that refuses what it does not know, so that a misspelt scenario fails at once."""

    model_config = ConfigDict(extra="forbid")


class Page(Strict):
    """A web page that the answer rests on."""

    url: str
    title: str = ""
    snippet: str = ""


class Piece(Strict):
    """One delta of the answer, sent ``after_ms`` after the one before.

    ``text`` and ``reasoning`` carry text. ``search``: the site searches for ``text`` and finds ``pages``. ``cite``: the
    site's own citation mark of page ``page``, counted from 1 over all pages found so far. ``media``: the site shows
    ``data`` (base64) as a picture. What a site cannot do it leaves out.
    """

    text: str = ""
    kind: Literal["text", "reasoning", "search", "cite", "media"] = "text"
    after_ms: float = 0
    pages: list[Page] = Field(default_factory=list)
    page: int = 1
    data: str = ""


class Answer(Strict):
    """The answer: listed ``pieces``; or the prompt itself (``echo``); or ``chars`` characters made from ``seed``.

    ``echo`` and ``chars`` are cut in ``count`` pieces, ``gap_ms`` apart; ``reasoning_chars`` come before the text.
    ``recall`` with ``echo`` repeats every prompt of the conversation, oldest first.
    """

    pieces: list[Piece] = Field(default_factory=list)
    echo: bool = False
    recall: bool = False
    chars: int = 0
    reasoning_chars: int = 0
    count: int = 20
    gap_ms: float = 0
    seed: int = 0

    def script(self, prompt: str = "") -> list[Piece]:
        """The pieces to send to one who asked ``prompt``."""
        if self.pieces:
            return self.pieces
        text = prompt if self.echo else generated(self.chars, self.seed)
        reasoning = generated(self.reasoning_chars, self.seed + 1)
        parts = [(part, "reasoning") for part in split(reasoning, self.count, self.seed)]
        parts += [(part, "text") for part in split(text, self.count, self.seed)]
        return [Piece.model_validate({"text": part, "kind": kind, "after_ms": self.gap_ms}) for part, kind in parts]

    def text(self, prompt: str = "") -> str:
        """The whole answer text, as the client must have it in the end."""
        return "".join(piece.text for piece in self.script(prompt) if piece.kind == "text")

    def pages(self) -> list[Page]:
        """All pages that are found, in order; ``cite`` counts them from 1."""
        return [page for piece in self.pieces for page in piece.pages]

    def reasoning(self, prompt: str = "") -> str:
        """The whole reasoning, as the client must have it in the end."""
        return "".join(piece.text for piece in self.script(prompt) if piece.kind == "reasoning")


class Fault(Strict):
    """One thing that goes wrong in the operation ``on`` (the replica's routes name them), at most ``times`` times.

    ``status``: HTTP ``status`` before anything is looked at, in the site's own body (of a 429 with its reset time
    ``resets_in_s`` from now, if given; ``retry_after_s`` is the header). ``html``: a 200 page instead. ``challenge``:
    the site's challenge in place of the answer, in its own shape.
    Inside an answer, when ``after`` pieces are out: ``error`` (the site's error record, HTTP 200), ``failed`` (the
    site's own failed mark), ``refusal`` (the site refuses the content; where it can, it takes back what it showed),
    ``cut`` (connection torn), ``end`` (an orderly end without the end mark), ``stall`` (silence for ever, or the site's
    heartbeat every ``heartbeat_ms``; ``after=-1``: not even a response head).
    """

    kind: Literal["status", "html", "challenge", "error", "failed", "refusal", "cut", "end", "stall"]
    on: str = "chat"
    after: int = 0
    times: int | None = None
    status: int = 500
    retry_after_s: int | None = None
    resets_in_s: int | None = None
    code: str = "internal"
    message: str = "something went wrong"
    heartbeat_ms: float = 0


class Scenario(Strict):
    """Everything a test can choose for one account at one site."""

    answer: Answer = Answer(
        pieces=[
            Piece(text="The user", kind="reasoning"),
            Piece(text=" asks about scattering.", kind="reasoning"),
            Piece(text="Because"),
            Piece(text=" short waves"),
            Piece(text=" scatter more."),
        ]
    )
    faults: list[Fault] = Field(default_factory=list)
    cuts: int | None = None
    """Seed for cutting the outgoing bytes anywhere, also inside characters and heads; None: one write per frame."""
    cut_pause_ms: float = 0
    """Silence after each cut, so that the client surely reads the parts apart."""
    delay_ms: float = 0
    """How long every call of the account is on its way, before the site looks at it."""
    stamp: bool = False
    """Each text piece begins with ``⟨index:time_ns⟩ `` (``time.time_ns()`` just before its write)."""
    layout: Literal["A", "B"] = "A"
    """B: the page's elements have names that no fact sheet knows."""
    hydrate_ms: float = 0
    """How late the page becomes usable."""
    shield: bool = False
    """Only requests that the page's own script has signed may chat."""
    challenge: bool = False
    """The page shows its challenge and every call is refused."""
    login: Literal["live", "dead", "guest", "banned"] = "live"
    """How the site takes this account's login from now on; ``guest`` where it takes a dead one for a guest's."""
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """What only this site knows; a replica names what it takes in its ``options``."""
    access_ttl_s: float = 900
    """Life of the tokens that the site hands out from now on."""
    busy_polls: int = 1
    """How often an uploaded file is still being processed when asked."""

    def fault(self, operation: str) -> Fault | None:
        """The first fault that still has a turn and concerns ``operation``; takes that turn."""
        for fault in self.faults:
            if fault.on == operation and fault.times != 0:
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None


def generated(chars: int, seed: int) -> str:
    """Exactly ``chars`` characters of mixed scripts, with line breaks, blank lines and list items."""
    dice = random.Random(seed)
    parts: list[str] = []
    size = 0
    while size < chars:
        part = dice.choice(WORDS) + dice.choice((" ", " ", " ", " ", " ", "\n", "\n\n", "\n- ", "，"))
        parts.append(part)
        size += len(part)
    return "".join(parts)[:chars]


def split(text: str, count: int, seed: int) -> list[str]:
    """``text`` cut at seeded random places in at most ``count`` parts, none empty."""
    inner = range(1, len(text))
    places = sorted(random.Random(seed).sample(inner, min(count - 1, len(inner))))
    return [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True) if start < end]
