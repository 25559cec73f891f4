"""socket.io v5 packets inside engine.io v4 packets (Open WebUI fact sheet, "Answer stream (B)").

Engine: one type digit, then the payload; a binary message is a WebSocket message of its own. In long
polling several packets share a body, separated by 0x1e, and binary ones are base64 behind a `b`.
Socket: type digit, number of attachments and `-`, namespace and `,`, acknowledgement id, JSON; each
part but the type is optional. Attachments follow as binary messages and take the place of
`{"_placeholder":true,"num":N}` in the JSON.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from relay.errors import BadFrame, CutAnswer
from relay.wire.decoder import MAX_RECORD_BYTES
from relay.wire.framing import Framing, check_size
from relay.wire.json_text import dump_json, parse_json

PING, PONG = "2", "3"
"""The server sends PING, the client answers PONG."""

PacketType = Literal[
    # engine.io
    "open", "close", "ping", "pong", "upgrade", "noop",
    # socket.io
    "connect", "disconnect", "event", "ack", "connect_error",
]  # fmt: skip

_MESSAGE = "4"
_ENGINE: dict[str, PacketType] = {"0": "open", "1": "close", "2": "ping", "3": "pong", "5": "upgrade", "6": "noop"}
_SOCKET: dict[str, PacketType] = {
    "0": "connect", "1": "disconnect", "2": "event", "3": "ack", "4": "connect_error", "5": "event", "6": "ack",
}  # fmt: skip
_BINARY = "56"
_HEAD = re.compile(r"(?P<type>[0-6])(?:(?P<count>[0-9]{1,3})-)?(?:(?P<namespace>/[^,]*),?)?(?P<id>[0-9]{1,15})?")
_SEPARATOR = "\x1e"
_EXPECTED = "a socket.io packet"


@dataclass(frozen=True, slots=True)
class Packet:
    """One engine.io or socket.io packet; binary events and acks look like plain ones."""

    type: PacketType
    data: object = None
    """`open`, `connect`: a dict or None; `event`: [name, *args]; `ack`: [*args]; `connect_error`: a
    dict or string; `ping`, `pong`: the probe's text. Unvalidated beyond that."""
    namespace: str = "/"
    id: int | None = None
    """The acknowledgement asked for (`event`) or given (`ack`)."""


@dataclass(slots=True)
class _Waiting:
    """A packet whose attachments are still to come."""

    packet: Packet
    count: int
    attachments: list[bytes]
    size: int = 0


class SocketIoDecoder(Framing[Packet]):
    """Parse a connection's messages. A packet (with its attachments) over `limit` raises BadFrame."""

    def __init__(self, *, limit: int = MAX_RECORD_BYTES) -> None:
        super().__init__()
        self._limit = limit
        self._waiting: _Waiting | None = None

    def feed(self, data: str | bytes) -> list[Packet]:
        """Take one whole WebSocket message: text for a packet, bytes for an attachment."""
        return self._collect(self._message(data))

    def feed_polled(self, body: str) -> list[Packet]:
        """Take the body of one long-polling response."""
        return self._collect(packet for part in body.split(_SEPARATOR) for packet in self._message(_polled(part)))

    def _cut(self, data: bytes) -> Iterator[Packet]:
        return self._message(data)

    def _end(self) -> Iterator[Packet]:
        if self._waiting is not None:
            raise CutAnswer("The connection ended before all parts of a binary socket.io packet had come.")
        return iter(())

    def _message(self, data: str | bytes) -> Iterator[Packet]:
        check_size(len(data), self._limit, "a packet", "bytes or characters")
        if isinstance(data, bytes):
            yield from self._attach(data)
        elif data.startswith(_MESSAGE):
            if self._waiting is not None:
                raise BadFrame("the attachments of a binary packet", repr(data[:200]))
            yield from self._socket(data[1:])
        else:
            yield _engine(data)

    def _socket(self, text: str) -> Iterator[Packet]:
        head = _HEAD.match(text)
        if head is None:
            raise BadFrame(_EXPECTED, repr(text[:200]))
        digit, count = head["type"], head["count"]
        if (digit in _BINARY) != (count is not None):
            raise BadFrame("a count of attachments on binary packets only", repr(text[:200]))
        data = parse_json(text[head.end() :], _EXPECTED) if head.end() < len(text) else None
        id_ = None if head["id"] is None else int(head["id"])
        packet = _checked(Packet(_SOCKET[digit], data, head["namespace"] or "/", id_))
        if count is None:
            yield packet
        else:
            self._waiting = _Waiting(packet, int(count), [])
            yield from self._complete()

    def _attach(self, data: bytes) -> Iterator[Packet]:
        if self._waiting is None:
            raise BadFrame(_EXPECTED, f"{len(data)} bytes that no packet announced")
        self._waiting.size += len(data)
        check_size(self._waiting.size, self._limit, "attachments")
        self._waiting.attachments.append(data)
        yield from self._complete()

    def _complete(self) -> Iterator[Packet]:
        waiting = self._waiting
        if waiting is not None and len(waiting.attachments) == waiting.count:
            self._waiting = None
            _fill(waiting.packet.data, waiting.attachments)
            yield waiting.packet


def connect(auth: dict[str, object] | None = None, *, namespace: str = "/") -> str:
    """The client's first packet: join `namespace`, with the credentials that the server wants."""
    return f"40{_prefix(namespace)}{'' if auth is None else dump_json(auth)}"


def event(name: str, *args: object, namespace: str = "/", id: int | None = None) -> str:
    """An event without attachments; with `id` the server is asked to acknowledge it."""
    return f"42{_prefix(namespace)}{'' if id is None else id}{dump_json([name, *args])}"


def _prefix(namespace: str) -> str:
    return "" if namespace == "/" else f"{namespace},"


def _polled(part: str) -> str | bytes:
    if not part.startswith("b"):
        return part
    try:
        return base64.b64decode(part[1:], validate=True)
    except (binascii.Error, ValueError):
        raise BadFrame("base64", repr(part[:200])) from None


def _engine(text: str) -> Packet:
    kind = _ENGINE.get(text[:1])
    if kind is None:
        raise BadFrame("an engine.io packet", repr(text[:200]))
    rest = text[1:]
    if kind == "open":
        handshake = parse_json(rest, "an engine.io handshake")
        if not isinstance(handshake, dict):
            raise BadFrame("an engine.io handshake", repr(text[:200]))
        return Packet(kind, handshake)
    if rest and kind not in ("ping", "pong"):
        raise BadFrame(f"an engine.io {kind} packet without payload", repr(text[:200]))
    return Packet(kind, rest or None)


def _checked(packet: Packet) -> Packet:
    """The packet, if its data has the shape that its type prescribes."""
    data = packet.data
    match packet.type:
        case "connect":
            good = data is None or isinstance(data, dict)
        case "event":
            good = isinstance(data, list) and bool(data) and isinstance(data[0], (str, int))
        case "ack":
            good = isinstance(data, list)
        case "connect_error":
            good = isinstance(data, (dict, str))
        case _:  # disconnect
            good = data is None
    if not good:
        raise BadFrame(f"the data of a socket.io {packet.type} packet", repr(data)[:200])
    return packet


def _fill(data: object, attachments: list[bytes]) -> None:
    """Put the attachments in the place of their placeholders (with a stack: depth is the sender's)."""
    open_containers = [data]
    while open_containers:
        container = open_containers.pop()
        if not isinstance(container, (dict, list)):
            continue
        slots: Any = container  # either way: a subscript and its item
        for key, item in list(container.items() if isinstance(container, dict) else enumerate(container)):
            if isinstance(item, dict) and item.get("_placeholder") is True:
                slots[key] = _attachment(item.get("num"), attachments)
            else:
                open_containers.append(item)


def _attachment(num: object, attachments: list[bytes]) -> bytes:
    if type(num) is not int or not 0 <= num < len(attachments):
        raise BadFrame(f"one of {len(attachments)} attachments", repr(num)[:200])
    return attachments[num]
