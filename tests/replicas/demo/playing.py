"""The model of the demo site that plays scenarios in the place of its scripted one."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from relay.demo.model import Pace, Step, Turn
from tests.replicas.exchange import Exchange
from tests.replicas.scenario import Fault, Piece
from tests.replicas.seen import SeenConversation, SeenTurn


@dataclass
class Playing:
    """An answer under way. ``whole``: it came to its end, or to the fault that was its end."""

    exchange: Exchange
    parent: str
    chats: dict[str, SeenConversation]
    turn: SeenTurn | None = None
    whole: bool = False
    torn: bool = False


PLAYING: ContextVar[Playing] = ContextVar("PLAYING")
"""Set for the time of a chat's request."""


def play(turn: Turn, pace: Pace) -> Iterator[Step]:
    """The scenario's answer, as a model of the demo site."""
    playing = PLAYING.get()
    playing.turn = SeenTurn(
        prompt=turn.prompt,
        parent=playing.parent,
        answer=turn.message,
        model=turn.model,
        thinking=turn.thinking,
        search=turn.search,
        files=[file.sha256 for file in turn.attachments],
    )
    playing.chats.setdefault(turn.conversation, SeenConversation(id=turn.conversation)).turns.append(playing.turn)
    return _steps(playing, turn)


def _steps(playing: Playing, turn: Turn) -> Iterator[Step]:
    scenario, fault = playing.exchange.scenario, playing.exchange.fault
    told = "\n\n".join(turn.earlier) + "\n\n" + turn.prompt if scenario.answer.recall and turn.earlier else turn.prompt
    pieces = scenario.answer.script(told)
    yield 0.0, {"type": "start", "conversation": turn.conversation, "message": turn.message}
    found = 0
    for index in range(len(pieces) + 1):
        if fault and index == min(max(fault.after, 0), len(pieces)):
            playing.whole, playing.torn = fault.kind != "stall", fault.kind == "cut"
            yield from _fail(fault)
            return
        if index == len(pieces):
            break
        piece = pieces[index]
        if piece.after_ms:
            yield piece.after_ms / 1000, {"type": "ping"}
        stamp = f"⟨{index}:{time.time_ns()}⟩ " if scenario.stamp and piece.kind == "text" else ""
        for event in _events(piece, turn, found, stamp):
            yield 0.0, event
        found += len(piece.pages)
    playing.whole = True
    yield 0.0, {"type": "end", "reason": "stop"}


def _events(piece: Piece, turn: Turn, found: int, stamp: str) -> list[dict[str, object]]:
    """The site's events of a piece; who did not ask for thoughts or a search gets none."""
    match piece.kind:
        case "reasoning" if turn.thinking:
            return [{"type": "reasoning", "text": piece.text}]
        case "search" if turn.search:
            items = [{**page.model_dump(), "index": found + number} for number, page in enumerate(piece.pages, 1)]
            return [{"type": "search", "query": piece.text}, {"type": "sources", "items": items}]
        case "text":
            return [{"type": "text", "text": stamp + piece.text}]
        case "cite" if turn.search:
            return [{"type": "text", "text": f"[{piece.page}]"}]
    return []


def _fail(fault: Fault) -> Iterator[Step]:
    match fault.kind:
        case "error":
            yield 0.0, {"type": "error", "code": fault.code, "message": fault.message}
        case "refusal":
            yield 0.0, {"type": "error", "code": "content_refused", "message": fault.message}
        case "stall":
            gap_s = fault.heartbeat_ms / 1000 or math.inf
            while True:
                yield gap_s, {"type": "ping"}
