from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import BadFrame, CutAnswer
from relay.wire.socketio import PONG, Packet, SocketIoDecoder, connect, event
from tests.unit.wire.cutting import json_values


def parse(*messages: str | bytes) -> list[Packet]:
    decoder = SocketIoDecoder()
    return [packet for message in messages for packet in decoder.feed(message)] + decoder.close()


def test_an_open_webui_session() -> None:
    assert parse('0{"sid":"7B","upgrades":[],"pingInterval":25000}', '40{"sid":"x"}', "2") == [
        Packet("open", {"sid": "7B", "upgrades": [], "pingInterval": 25000}),
        Packet("connect", {"sid": "x"}),
        Packet("ping"),
    ]
    frame = '42["events",{"chat_id":"9d","data":{"type":"chat:active","data":{"active":true}}}]'
    (packet,) = parse(frame)
    assert packet.type == "event"
    assert packet.data == ["events", {"chat_id": "9d", "data": {"type": "chat:active", "data": {"active": True}}}]


def test_what_a_client_sends() -> None:
    assert connect({"token": "jwt"}) == '40{"token":"jwt"}'
    assert connect() == "40" and connect(namespace="/admin") == "40/admin,"
    assert event("user-join", {"auth": {"token": "t"}}, id=0) == '420["user-join",{"auth":{"token":"t"}}]'
    assert event("é", namespace="/a", id=12) == '42/a,12["é"]'
    assert PONG == "3"


@pytest.mark.parametrize(
    ("message", "packet"),
    [
        ("1", Packet("close")),
        ("2probe", Packet("ping", "probe")),
        ("3probe", Packet("pong", "probe")),
        ("5", Packet("upgrade")),
        ("6", Packet("noop")),
        ("40", Packet("connect")),
        ('40/admin,{"sid":"a"}', Packet("connect", {"sid": "a"}, "/admin")),
        ("41/admin,", Packet("disconnect", None, "/admin")),
        ("41/admin", Packet("disconnect", None, "/admin")),
        ('42["a"]', Packet("event", ["a"])),
        ('42/n,13["a",1]', Packet("event", ["a", 1], "/n", 13)),
        ('43/n,13["a"]', Packet("ack", ["a"], "/n", 13)),
        ("4312[]", Packet("ack", [], "/", 12)),
        ('44{"message":"Not authorized"}', Packet("connect_error", {"message": "Not authorized"})),
        ('44"no"', Packet("connect_error", "no")),
        ('450-["a"]', Packet("event", ["a"])),
    ],
)
def test_packets_of_the_specification(message: str, packet: Packet) -> None:
    assert parse(message) == [packet]


def test_attachments_take_the_place_of_their_placeholders() -> None:
    text = '452-/n,7["a",{"deep":[{"_placeholder":true,"num":1}]},{"_placeholder":true,"num":0}]'
    assert parse(text, b"\x00one", "2", b"two") == [
        Packet("ping"),
        Packet("event", ["a", {"deep": [b"two"]}, b"\x00one"], "/n", 7),
    ]
    assert parse('461-5[{"_placeholder":true,"num":0}]', b"x") == [Packet("ack", [b"x"], "/", 5)]


@pytest.mark.parametrize(
    "message",
    ["", "7", "x", "<html>", "4", "47", "42", "42[]", "42{}", "42[null]", "42[", '42"a"', "40[]", "40null1", "41{}",
     "43{}", "44[]", "45[1]", '421-["a"]', "451-", '42["a"]x', "0", "0[]", "1x", "6x", "42" + "9" * 5000,
     "42" + "[" * 100_000, b"x"],
    ids=range(28),
)  # fmt: skip
def test_garbage(message: str | bytes) -> None:
    with pytest.raises(BadFrame):
        parse(message)


def test_wrong_attachments() -> None:
    with pytest.raises(BadFrame):
        parse('451-["a",{"_placeholder":true,"num":1}]', b"x")
    with pytest.raises(BadFrame):
        parse('451-["a",{"_placeholder":true,"num":"0"}]', b"x")
    with pytest.raises(BadFrame):
        parse('451-["a"]', '42["b"]')
    with pytest.raises(CutAnswer):
        parse('452-["a"]', b"x")


def test_long_polling_bodies() -> None:
    binary = base64.b64encode(b"\x00\x01").decode()
    body = "\x1e".join(["2", '42["a"]', '451-["b",{"_placeholder":true,"num":0}]', "b" + binary])
    assert SocketIoDecoder().feed_polled(body) == [
        Packet("ping"),
        Packet("event", ["a"]),
        Packet("event", ["b", b"\0\1"]),
    ]
    decoder = SocketIoDecoder()
    assert decoder.feed_polled('42["a"]\x1e<html>') == [Packet("event", ["a"])]
    with pytest.raises(BadFrame):
        decoder.feed("2")
    for bad in ("", "b*", "b\u00e9"):
        with pytest.raises(BadFrame):
            SocketIoDecoder().feed_polled(bad)


def test_limits() -> None:
    with pytest.raises(BadFrame):
        SocketIoDecoder(limit=50).feed('42["' + "x" * 50 + '"]')
    decoder = SocketIoDecoder(limit=50)
    assert decoder.feed('453-["a"]') == [] and decoder.feed(b"x" * 30) == []
    with pytest.raises(BadFrame):
        decoder.feed(b"x" * 30)


namespaces = st.just("/") | st.from_regex(r"/[a-z]{1,5}", fullmatch=True)


@given(st.text(), st.lists(json_values, max_size=3), namespaces, st.none() | st.integers(0, 10**9))
def test_round_trip(name: str, args: list[Any], namespace: str, id_: int | None) -> None:
    assert parse(event(name, *args, namespace=namespace, id=id_)) == [Packet("event", [name, *args], namespace, id_)]
    assert parse(connect({"args": args}, namespace=namespace)) == [Packet("connect", {"args": args}, namespace)]


@given(st.lists(st.binary(max_size=9), max_size=4))
def test_binary_round_trip(parts: list[bytes]) -> None:
    slots = [{"_placeholder": True, "num": n} for n in range(len(parts))]
    assert parse(f"45{len(parts)}-" + json.dumps(["e", *slots]), *parts) == [Packet("event", ["e", *parts])]


garbage = (
    st.binary(max_size=20)
    | st.text(max_size=20)
    | st.from_regex(r"4[0-6]([0-3]-)?(/a,)?[0-9]{0,3}(\[\"a\"\]|\{\}|\[|)")
)


@given(st.lists(garbage, max_size=5), st.text(max_size=20))
def test_garbage_never_raises_anything_else(messages: list[str | bytes], body: str) -> None:
    decoder = SocketIoDecoder()
    try:
        for message in messages:
            assert all(isinstance(packet, Packet) for packet in decoder.feed(message))
        decoder.feed_polled(body)
        decoder.close()
    except (BadFrame, CutAnswer):
        pass
