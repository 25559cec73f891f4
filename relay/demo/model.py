"""The scripted model. Pure: a turn in, timed events out; the server adds the clock and the wire.

Events, in the order in which they may come (each a JSON object; `data: {...}` on the wire):

    {"type": "start", "conversation": id, "message": id}
    {"type": "reasoning", "text": delta}
    {"type": "search", "query": text}
    {"type": "sources", "items": [{"url", "title", "snippet", "index"}]}
    {"type": "text", "text": delta}
    {"type": "media", "kind": "image", "url", "name", "mime"}
    {"type": "end", "reason": "stop" | "length"}
    {"type": "error", "code", "message"}          instead of `end`
    {"type": "ping"}                              anywhere while silent (sent by the server)

A prompt with a frame (`frame`: tools on offer, a form of the answer) is obeyed: `obedience` says how. One without is
answered with what stands in the fence after the words `Answer with exactly this:`, if it has them. For tests of
clients, words in the user's message make it err:

    fumble-once      the first answer holds arguments, or JSON, that break the schema; once told so, it is right
    fumble-always    they break it every time
    fumble-dialect   calls are written in Anthropic's form: <function_calls><invoke name=…><parameter name=…>
    fumble-bare      calls are written as bare JSON, without a fence
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from relay.demo import frame, obedience, texts

Event = dict[str, Any]
Step = tuple[float, Event]
"""(seconds to wait before it, event). `math.inf` waits for ever: nothing after it is sent."""

_DRAW = re.compile(r"\bdraw\b|画", re.IGNORECASE)
_MOST_PIECES = 400


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds before the first token and between pieces; the `slow` model has its own."""

    first_s: float = 0.05
    piece_s: float = 0.02
    slow_first_s: float = 8.0
    slow_piece_s: float = 0.5

    @classmethod
    def from_environment(cls) -> Pace:
        """`RELAY_DEMO_PIECE_MS` and `RELAY_DEMO_SLOW_FIRST_MS` override the defaults (milliseconds)."""
        piece_s = float(os.environ.get("RELAY_DEMO_PIECE_MS", cls().piece_s * 1000)) / 1000
        slow_first_s = float(os.environ.get("RELAY_DEMO_SLOW_FIRST_MS", cls().slow_first_s * 1000)) / 1000
        return cls(piece_s=piece_s, slow_first_s=slow_first_s)


@dataclass(frozen=True, slots=True)
class Attachment:
    """What the site keeps of an uploaded file: its description, not its bytes."""

    id: str
    name: str
    size: int
    sha256: str
    mime: str
    first_line: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One prompt and what came with it. `earlier` are the conversation's prompts so far, oldest first."""

    model: str
    prompt: str
    conversation: str
    message: str
    thinking: bool = False
    search: bool = False
    attachments: tuple[Attachment, ...] = ()
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """A line of `GET /api/models`. `play` is None where the server answers without an event stream."""

    id: str
    name: str
    play: Callable[[Turn, Pace], Iterator[Step]] | None = None
    thinking: bool = False
    search: bool = False


def play(turn: Turn, pace: Pace) -> Iterator[Step]:
    """The whole answer of an event-stream model, `start` and (where it has one) `end` included."""
    script = MODELS[turn.model].play
    if script is None:
        raise ValueError(f"{turn.model} has no event stream")
    return script(turn, pace)


def pieces(text: str) -> list[str]:
    """Cut as a model's tokens would be: about 5 characters (2 of Chinese), more if the text is very long."""
    size = max(2 if texts.is_chinese(text) else 5, math.ceil(len(text) / _MOST_PIECES))
    return [text[at : at + size] for at in range(0, len(text), size)]


def _start(turn: Turn) -> Step:
    return 0.0, {"type": "start", "conversation": turn.conversation, "message": turn.message}


def _stream(kind: str, text: str, first_s: float, piece_s: float) -> Iterator[Step]:
    for number, piece in enumerate(pieces(text)):
        yield piece_s if number else first_s, {"type": kind, "text": piece}


def _end(reason: str = "stop") -> Step:
    return 0.0, {"type": "end", "reason": reason}


def _demo(turn: Turn, pace: Pace) -> Iterator[Step]:
    model = MODELS[turn.model]
    asked = frame.read(turn.prompt, turn.earlier)
    words = turn.prompt if asked is None else asked.words
    obeyed = obedience.dictated(words) if asked is None else obedience.answer(asked)
    yield _start(turn)
    if turn.thinking or model.id == "thinker":
        yield from _stream("reasoning", texts.reasoning(words), pace.first_s, pace.piece_s)
    searched = turn.search or model.id == "searcher"
    if searched:
        yield pace.first_s, {"type": "search", "query": texts.search_query(words)}
        yield pace.first_s, {"type": "sources", "items": texts.sources(words)}
    if obeyed is not None:
        yield from _stream("text", obeyed, pace.first_s, pace.piece_s)
        yield _end()
        return
    files = [texts.attachment_line(a.name, a.size, a.sha256, a.first_line) for a in turn.attachments]
    earlier = [*turn.earlier[:-1], *map(frame.words_of, turn.earlier[-1:])]
    yield from _stream("text", texts.answer(words, earlier, files, cited=searched), pace.first_s, pace.piece_s)
    if _DRAW.search(words):
        picture = {"kind": "image", "url": "/static/picture.svg", "name": "picture.svg", "mime": "image/svg+xml"}
        yield pace.piece_s, {"type": "media", **picture}
    yield _end()


def _echo(turn: Turn, pace: Pace) -> Iterator[Step]:
    yield _start(turn)
    yield from _stream("text", turn.prompt, pace.first_s, pace.piece_s)
    yield _end()


def _slow(turn: Turn, pace: Pace) -> Iterator[Step]:
    yield _start(turn)
    yield from _stream("text", texts.short(turn.prompt), pace.slow_first_s, pace.slow_piece_s)
    yield _end()


def _refuses(turn: Turn, pace: Pace) -> Iterator[Step]:
    yield pace.first_s, {"type": "error", "code": "content_refused", "message": texts.refusal(turn.prompt)}


def _cut(turn: Turn, pace: Pace) -> Iterator[Step]:
    yield _start(turn)
    text = texts.short(turn.prompt)
    yield from _stream("text", text[: len(text) // 2], pace.first_s, pace.piece_s)


def _stall(turn: Turn, pace: Pace) -> Iterator[Step]:
    yield from _cut(turn, pace)
    yield math.inf, {"type": "ping"}


MODELS: dict[str, Model] = {
    model.id: model
    for model in (
        Model("demo", "Demo", _demo, thinking=True, search=True),
        Model("thinker", "Thinker (reasons)", _demo, thinking=True, search=True),
        Model("searcher", "Searcher (cites)", _demo, thinking=True, search=True),
        Model("echo", "Echo (repeats the prompt)", _echo),
        Model("slow", "Slow (waits, then trickles)", _slow),
        Model("rate-limited", "Rate limited (HTTP 429)"),
        Model("refuses", "Refuses (an error as the only event)", _refuses),
        Model("cut", "Cut (no end mark)", _cut),
        Model("stall", "Stall (silent for ever)", _stall),
        Model("error", "Error (HTTP 200 with an error inside)"),
        Model("login-dead", "Login dead (HTTP 401)"),
        Model("challenge", "Challenge (HTTP 403, a page)"),
        Model("script", "Script (replays a stored script)"),
    )
}
"""By id, in the order of the model menu; the first is the default."""
