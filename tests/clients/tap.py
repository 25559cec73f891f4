"""A TCP proxy before relay that keeps every byte, so that what any client got can be checked afterwards."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field

from tests.clients.exchange import Exchange, exchanges
from tests.e2e.shredder import Proxy

_READ_BYTES = 64 * 1024


@dataclass
class Wire:
    """What went over one connection so far."""

    up: bytearray = field(default_factory=bytearray)
    down: bytearray = field(default_factory=bytearray)


_WIRE: ContextVar[Wire] = ContextVar("the connection that a task serves")


class Tap(Proxy):
    """Passes everything on as it is."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self._wires: list[Wire] = []

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire()
        self._wires.append(wire)
        _WIRE.set(wire)
        await super()._join(reader, writer)

    async def ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep, and pass on."""
        await _copy(reader, writer, _WIRE.get().up)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Keep, and pass on."""
        await _copy(reader, writer, _WIRE.get().down)

    def heard(self) -> list[Exchange]:
        """The exchanges of all connections that were opened since the last call."""
        wires, self._wires = self._wires, []
        return [exchange for wire in wires for exchange in exchanges(bytes(wire.up), bytes(wire.down))]


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
    while data := await reader.read(_READ_BYTES):
        kept += data
        writer.write(data)
        await writer.drain()
