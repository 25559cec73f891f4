"""Playing an answer: the pieces of the scenario in their time, and the fault in its place."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from tests.replicas.exchange import EndedEarly, Exchange, Torn
from tests.replicas.scenario import Fault, Piece


@dataclass(frozen=True, slots=True)
class Beat:
    """What the site sends next.

    After ``error``, ``failed`` or ``refusal`` nothing follows, and the site sends no success mark.
    """

    kind: Literal["text", "reasoning", "search", "cite", "media", "heartbeat", "error", "failed", "refusal"]
    text: str = ""
    code: str = ""
    piece: Piece | None = None
    """Of the scenario's own pieces."""


async def play(exchange: Exchange, prompt: str) -> AsyncIterator[Beat]:
    """The scenario's answer to ``prompt``, beat by beat; a handler turns each into its site's bytes.

    Raises Torn and EndedEarly where the scenario's fault says so; the machinery takes them from there.
    """
    scenario, fault = exchange.scenario, exchange.fault
    pieces = scenario.answer.script(prompt)
    for index in range(len(pieces) + 1):
        if fault and index == min(max(fault.after, 0), len(pieces)):
            async for beat in _fail(exchange, fault):
                yield beat
            return
        if index == len(pieces):
            return
        piece = pieces[index]
        # Also for 0: the loop must turn, or an abort of the client is not noticed.
        await asyncio.sleep(piece.after_ms / 1000)
        stamp = f"⟨{index}:{time.time_ns()}⟩ " if scenario.stamp and piece.kind == "text" else ""
        yield Beat(piece.kind, stamp + piece.text, piece=piece)


async def _fail(exchange: Exchange, fault: Fault) -> AsyncIterator[Beat]:
    await exchange.flush()
    match fault.kind:
        case "cut":
            raise Torn
        case "end":
            raise EndedEarly
        case "error" | "failed" | "refusal":
            yield Beat(fault.kind, fault.message, fault.code)
        case "stall" if fault.heartbeat_ms:
            while True:
                await asyncio.sleep(fault.heartbeat_ms / 1000)
                yield Beat("heartbeat")
                await exchange.flush()
        case _:
            await silence()


async def silence() -> None:
    """Wait until cancelled, which is when the client goes away."""
    await asyncio.Event().wait()
