"""The WebSocket and its page, met by who is no browser of ours."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from loguru import logger
from websockets.exceptions import ConnectionClosed, InvalidStatus

from relay.api.remote import COOKIE, MAX_FILES, MAX_TEXT_CHARS
from relay.api.server import WS_MAX_BYTES
from tests.remote.conftest import Relay, eventually
from tests.remote.door import Door

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def cookie_of(address: str) -> str:
    """The viewer cookie that an address gives."""
    async with httpx.AsyncClient(trust_env=False) as client:
        return str((await client.get(address)).cookies[COOKIE])


@asynccontextmanager
async def looking(address: str, cookie: str, **headers: str) -> AsyncIterator[websockets.ClientConnection]:
    """A viewer without a page."""
    sent = {"Cookie": f"{COOKIE}={cookie}", **headers}
    async with websockets.connect(
        address.replace("http", "ws") + "/view", additional_headers=sent, max_size=None, proxy=None
    ) as socket:
        yield socket


async def picture(socket: websockets.ClientConnection) -> bytes:
    """The next picture."""
    async with asyncio.timeout(20):
        while True:
            if isinstance(message := await socket.recv(), bytes):
                return message


async def closed(socket: websockets.ClientConnection) -> tuple[int, str]:
    """How the server ended it."""
    async with asyncio.timeout(20):
        with pytest.raises(ConnectionClosed) as caught:
            while True:
                await socket.recv()
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


def files(number: int, size: int = 1) -> list[dict[str, str]]:
    return [{"name": f"{n}", "data": base64.b64encode(bytes(size)).decode()} for n in range(number)]


HOSTILE: dict[str, tuple[str | bytes, str]] = {
    "no JSON": ("{", "Not a gesture: message: Invalid JSON"),
    "no object": ("[]", "Not a gesture"),
    "binary": (b"\x00\x01", "Gestures are JSON in text messages."),
    "nested": ("[" * 100_000, "Not a gesture"),
    "unknown kind": ('{"kind": "evaluate", "text": "alert(1)"}', "Not a gesture: kind: "),
    "unknown field": ('{"kind": "move", "method": "Page.crash"}', "Not a gesture: method: "),
    "not finite": ('{"kind": "move", "x": 1e999}', "Not a gesture: x: "),
    "no number": ('{"kind": "move", "x": "here"}', "Not a gesture: x: "),
    "viewport": ('{"kind": "resize", "x": 100000, "y": 2}', "Not a gesture: a viewport"),
    "half a character": ('{"kind": "text", "text": "\\ud800"}', "Not a gesture: message: "),
    "long text": (json.dumps({"kind": "text", "text": "x" * (MAX_TEXT_CHARS + 1)}), "Not a gesture: text: "),
    "long": (json.dumps({"kind": "text", "text": "x" * 300_000}), "Not a gesture: the message is too long."),
    "many files": (json.dumps({"kind": "files", "files": files(MAX_FILES + 1)}), "Not a gesture: files: "),
    "large files": (
        json.dumps({"kind": "files", "files": files(9, 1_900_000)}),
        "Not a gesture: files may have 16 MiB",
    ),
    "no base64": ('{"kind": "files", "files": [{"name": "a", "data": "\\u0000"}]}', "Not a gesture: files[0].data: "),
}


async def test_hostile_messages_end_the_view_only(relay: Relay, door: Door) -> None:
    _, address = await relay.login()
    cookie = await cookie_of(address)
    for name, (message, why) in HOSTILE.items():
        async with looking(address, cookie) as socket:
            await picture(socket)
            await socket.send(message)
            code, reason = await closed(socket)
            assert code == 1008, (name, code, reason)
            assert reason.startswith(why), (name, reason)
    async with looking(address, cookie) as socket:
        with suppress(ConnectionClosed):
            await socket.send("x" * (WS_MAX_BYTES + 1))
        assert (await closed(socket))[0] == 1009
    harmless: list[dict[str, Any]] = [
        {"kind": "show", "window": 999}, {"kind": "close_window"}, {"kind": "close_window", "window": 3},
        {"kind": "back"},
        {"kind": "accept"}, {"kind": "dismiss"}, {"kind": "cancel_files"}, {"kind": "files", "files": files(2)},
        {"kind": "touch_end"}, {"kind": "up", "button": "left"},
        {"kind": "move", "x": -100_000, "y": 100_000}, {"kind": "key_down", "key": "F5", "code": "\u0000"},
    ]  # fmt: skip
    async with looking(address, cookie) as socket:
        for gesture in harmless:
            await socket.send(json.dumps(gesture))
        await socket.send(json.dumps({"kind": "resize", "x": 500, "y": 400}))
        async with asyncio.timeout(20):
            while (await picture(socket))[:4] != b"\x01\xf4\x01\x90":
                pass


async def refused(address: str, cookie: str, **headers: str) -> tuple[int, str]:
    with pytest.raises(InvalidStatus) as caught:
        async with looking(address, cookie, **headers):
            pass
    response = caught.value.response
    return response.status_code, json.loads(response.body or b"{}")["error"]["code"]


async def test_foreign_pages_names_and_viewers_are_refused(relay: Relay) -> None:
    name, address = await relay.login()
    cookie = await cookie_of(address)
    host = relay.url.removeprefix("http://")
    assert await refused(address, cookie, Origin="https://evil.example") == (403, "forbidden")
    assert await refused(address, cookie, Origin=f"http://{host.partition(':')[0]}:1") == (403, "forbidden")
    assert await refused(address, cookie, Origin="null") == (403, "forbidden")
    assert await refused(address, "short") == (404, "login_gone")
    assert await refused(f"{relay.url}/login/{'x' * 43}", cookie) == (404, "login_gone")
    async with looking(address, cookie, Origin=f"http://{host}") as socket:
        await picture(socket)
        assert await refused(address, "y" * 43) == (403, "forbidden")
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(address, headers={"Host": "evil.example"})
        assert answer.status_code == 403
        upgrade = {"Host": "evil.example", "Connection": "Upgrade", "Upgrade": "websocket"}
        upgrade |= {"Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(), "Sec-WebSocket-Version": "13"}
        answer = await client.get(address + "/view", headers={**upgrade, "Cookie": f"{COOKIE}={cookie}"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        # A link followed from another site's page comes without the cookie: it asks again by itself.
        again = await client.get(address, headers={"Sec-Fetch-Site": "cross-site"})
        assert "refresh" in again.text
        assert (await client.get(address, headers={"Sec-Fetch-Site": "same-origin"})).status_code == 403
    assert relay.status(name) == "lent"


async def test_a_slow_viewer_skips_pictures(relay: Relay, door: Door) -> None:
    name, address = await relay.login()
    async with looking(address, await cookie_of(address)) as socket:
        await picture(socket)
        session = next(one for one in relay.pool.logins._sessions.values() if one.account.name == name)
        assert session.cast is not None
        page = session.cast.windows[0].page
        await page.evaluate("document.getElementById('move').click()")
        socket.transport.pause_reading()
        await page.evaluate("document.body.style.background = 'repeating-linear-gradient(red 0 1px, blue 2px 3px)'")
        behind = await page.evaluate("at")
        await eventually(lambda: page.evaluate(f"at > {behind} + 20"))
        shots = session.cast.shots
        socket.transport.resume_reading()
        await eventually(lambda: session.cast is not None and session.cast.shots > shots)
        assert session.cast.frames < await page.evaluate("at")


async def test_the_log_holds_no_address(relay: Relay) -> None:
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="TRACE")
    try:
        _, address = await relay.login()
        cookie = await cookie_of(address)
        async with looking(address, cookie) as socket:
            await picture(socket)
        await refused(address, cookie, Origin="https://evil.example")
        async with httpx.AsyncClient(trust_env=False) as client:
            await client.get(address + "/nothing")
            await client.get(address.replace("/login/", "//login//"))
    finally:
        logger.remove(sink)
    secret = address.rpartition("/")[2]
    assert any("/login/[hidden]" in line for line in lines)
    assert not [line for line in lines if secret in line or cookie in line]
    assert secret not in repr(relay.pool.logins)


async def test_files_are_gone_afterwards(relay: Relay, door: Door) -> None:
    name, address = await relay.login()
    session = next(one for one in relay.pool.logins._sessions.values() if one.account.name == name)
    async with looking(address, await cookie_of(address)) as socket:
        await picture(socket)
        assert session.cast is not None
        page = session.cast.windows[0].page
        await page.evaluate("document.getElementById('file').click()")
        await eventually(lambda: session._asked.chooser == "many")
        wanted = [{"name": "../../etc/pass wd\u0000.png", "data": base64.b64encode(b"three").decode()}]
        await socket.send(json.dumps({"kind": "files", "files": wanted}))
        await eventually(lambda: door.newest.did.get("file") == "pass wd_.png=three")
        folder = session._asked._folder
        assert folder is not None
        await page.close()
        assert (await closed(socket))[0] == 1000
    await eventually(lambda: relay.status(name) == "expired")
    assert not Path(folder.name).exists()  # noqa: ASYNC240
