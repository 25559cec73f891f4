"""How a scenario is told: which stream, which beat as which bytes, and what goes wrong in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from tests.replicas.deepseek import frames
from tests.replicas.deepseek.frames import Patches, Writing
from tests.replicas.deepseek.older_frames import Choices, FlatPatches
from tests.replicas.deepseek.requests import UNFIT, outer_error, refusal
from tests.replicas.deepseek.sessions import Message
from tests.replicas.exchange import EndedEarly, Exchange, Refused
from tests.replicas.script import Beat


def writer(exchange: Exchange, answer: Message) -> Writing:
    """How this scenario's answers are told. Raises Refused (500) for a stream that the sheet does not know."""
    match exchange.scenario.options.get("stream", "sample"):
        case "sample":
            return Patches(answer)
        case "nested":
            return Patches(answer, nested=True)
        case "bare":
            return Patches(answer, bare=True)
        case "2025h2":
            return FlatPatches(answer)
        case "2025h1":
            return Choices(answer)
        case unknown:
            raise Refused(500, f"scenario: no stream {unknown!r}")


async def until(stop: asyncio.Event, beats: AsyncIterator[Beat]) -> AsyncGenerator[Beat, None]:
    """The beats until ``stop`` is set, which ends the answer early (EndedEarly)."""
    stopped = asyncio.ensure_future(stop.wait())
    step: asyncio.Future[Beat | None] | None = None
    try:
        while True:
            step = asyncio.ensure_future(_next(beats))
            await asyncio.wait({step, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not step.done():
                raise EndedEarly
            beat = step.result()
            if beat is None:
                return
            yield beat
    finally:
        stopped.cancel()
        if step:
            step.cancel()


async def _next(beats: AsyncIterator[Beat]) -> Beat | None:
    return await anext(beats, None)


def beat_bytes(beat: Beat, writing: Writing, answer: Message) -> bytes:
    """What one beat adds. Who did not ask for thoughts or a search gets none; the site makes no pictures."""
    match beat.kind:
        case "text":
            return writing.text(beat.text)
        case "reasoning" if answer.thinking_enabled:
            return writing.reasoning(beat.text)
        case "search" if answer.search_enabled and beat.piece:
            return writing.search(beat.text, beat.piece.pages)
        case "cite" if answer.search_enabled and beat.piece:
            return writing.cite(beat.piece.page)
    return b""


def failure_bytes(beat: Beat, writing: Writing) -> bytes:
    """What goes wrong inside the stream.

    A refusal is the sheet's. For a failure it names no status, and for an error no record: FAILED is the files' word,
    the envelope that of all other answers. A reader must take neither for a success.
    """
    if beat.kind == "refusal":
        return writing.refuse(beat.text)
    if beat.kind == "failed":
        return writing.end("FAILED")
    return frames.sse(outer_error(code_of(beat.code), beat.text))


def code_of(code: str) -> int:
    """A scenario's code as a number, which all codes of this site are."""
    return int(code) if code.isdecimal() else 50000


def refuse_at_once(exchange: Exchange) -> None:
    """An error before the first piece is a JSON answer in place of the stream (section 9)."""
    fault = exchange.fault
    if fault and fault.kind == "error" and fault.after <= 0:
        raise refusal(int(fault.code) if fault.code.isdecimal() else UNFIT, fault.message, f"scenario: {fault.message}")
