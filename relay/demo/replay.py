"""Stored scripts: answers whose pieces, times and network chunks a test or a benchmark decides.

A script's pieces are replayed exactly; the bytes of its event stream are cut into network chunks at random positions,
inside UTF-8 characters too, always the same ones for the same seed. Chunks cross events only where no time lies
between those events, so a piece is never held back beyond its time.
"""

from __future__ import annotations

import json
import math
import random
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, Field, model_validator

from relay.demo.model import Event, Step, Turn

Blob = tuple[float, list[bytes]]
"""(seconds to wait before it, network chunks to send one after the other)."""

_BLOB_BYTES = 64 * 1024
_MEAN_CHUNK_BYTES = 500


class ScriptBody(BaseModel):
    """`POST /api/script`: either `pieces` as [delay in ms, text], or `text` to cut into that number of pieces."""

    pieces: list[tuple[float, str]] | int = Field(default=100)
    text: str | None = None
    seed: int = 0
    delay_ms: float = Field(default=0, ge=0, allow_inf_nan=False)
    reason: Literal["stop", "length"] = "stop"

    @model_validator(mode="after")
    def _one_form(self) -> ScriptBody:
        if isinstance(self.pieces, int) != (self.text is not None):
            raise ValueError("give either a list of pieces, or a text and the number of its pieces")
        if isinstance(self.pieces, int) and self.pieces < 1:
            raise ValueError("a text has at least one piece")
        if not isinstance(self.pieces, int) and any(not 0 <= delay < math.inf for delay, _ in self.pieces):
            raise ValueError("delays are milliseconds, 0 or more")
        return self


@dataclass(slots=True)
class Script:
    """A stored script. `started_at`: Unix seconds of each replay; a piece is due then plus the delays so far."""

    id: str
    pieces: list[tuple[float, str]]
    seed: int
    reason: str
    started_at: list[float] = field(default_factory=list)


class Scripts:
    """The stored scripts by id; the oldest are forgotten beyond `limit`."""

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._scripts: dict[str, Script] = {}

    def __repr__(self) -> str:
        return f"<Scripts {len(self._scripts)}>"

    def keep(self, body: ScriptBody) -> Script:
        """Store a script under a new id."""
        if isinstance(body.pieces, int):
            texts = split(body.text or "", body.pieces, body.seed)
            timed = [(body.delay_ms / 1000, text) for text in texts]
        else:
            timed = [(delay_ms / 1000, text) for delay_ms, text in body.pieces]
        script = Script(secrets.token_hex(8), timed, body.seed, body.reason)
        self._scripts[script.id] = script
        if len(self._scripts) > self._limit:
            del self._scripts[next(iter(self._scripts))]
        return script

    def find(self, script_id: str) -> Script | None:
        """The script, or None."""
        return self._scripts.get(script_id)


def split(text: str, count: int, seed: int) -> list[str]:
    """Cut `text` at random characters into `count` pieces, or into fewer if it is shorter than that."""
    inner = range(1, len(text))
    cuts = sorted(random.Random(seed).sample(inner, min(count - 1, len(inner))))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def steps(script: Script, turn: Turn) -> Iterator[Step]:
    """The script as the model's events."""
    yield 0.0, {"type": "start", "conversation": turn.conversation, "message": turn.message}
    for delay_s, text in script.pieces:
        yield delay_s, {"type": "text", "text": text}
    yield 0.0, {"type": "end", "reason": script.reason}


def frame(event: Event) -> bytes:
    """One server-sent event. Text stays UTF-8 on the wire, unescaped."""
    return b"data: " + json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def whole(timed: Iterable[Step]) -> Iterator[Blob]:
    """One network chunk per event."""
    for delay_s, event in timed:
        yield delay_s, [frame(event)]


def shredded(timed: Iterable[Step], seed: int) -> Iterator[Blob]:
    """Events that share their moment in one blob, and each blob cut at random bytes."""
    rng = random.Random(seed)
    wait_s, held = 0.0, bytearray()
    for delay_s, event in timed:
        if held and (delay_s > 0 or len(held) >= _BLOB_BYTES):
            yield wait_s, _chunks(held, rng)
            wait_s, held = 0.0, bytearray()
        wait_s += delay_s
        held += frame(event)
    if held:
        yield wait_s, _chunks(held, rng)


def _chunks(content: bytearray, rng: random.Random) -> list[bytes]:
    chunks, at = [], 0
    while at < len(content):
        size = 1 + int(rng.expovariate(1 / _MEAN_CHUNK_BYTES)) if rng.random() < 0.7 else rng.randint(1, 8)
        chunks.append(bytes(content[at : at + size]))
        at += size
    return chunks
