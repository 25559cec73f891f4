"""The rest of the site over real HTTP: logins, errors, headers, starting and stopping."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from typing import Any

import httpx
import pytest

from relay.demo import DemoServer, create_app, session_cookie
from tests.demo.streams import FAST, SECRET


def code(reply: httpx.Response) -> tuple[int, str]:
    return reply.status_code, reply.json()["error"]["code"]


async def test_login_and_logout(stranger: httpx.AsyncClient) -> None:
    assert code(await stranger.get("/api/me")) == (401, "not_logged_in")
    wrong = await stranger.post("/api/login", json={"user": "demo", "password": "no"})
    assert code(wrong) == (401, "bad_credentials")
    right = await stranger.post("/api/login", json={"user": "demo", "password": "demo"})
    assert "httponly" in right.headers["set-cookie"].lower()
    assert (await stranger.get("/api/me")).json() == {"user": "demo", "guest": False}
    cookies = dict(stranger.cookies)
    assert (await stranger.post("/api/logout")).status_code == 204
    assert code(await stranger.get("/api/me")) == (401, "not_logged_in")
    stranger.cookies.update(cookies)
    assert code(await stranger.get("/api/me")) == (401, "not_logged_in")


async def test_a_session_made_elsewhere_survives_restarts() -> None:
    name, value = session_cookie(SECRET, "demo")
    for _ in range(2):
        async with (
            DemoServer(create_app(secret=SECRET)) as server,
            httpx.AsyncClient(base_url=server.url, cookies={name: value}) as client,
        ):
            assert (await client.get("/api/me")).json()["user"] == "demo"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/chat", {"prompt": "x"}),
        ("POST", "/api/stop", {"message": "x"}),
        ("POST", "/api/files", None),
        ("DELETE", "/api/conversations/x", None),
    ],
)
async def test_strangers_are_refused(stranger: httpx.AsyncClient, method: str, path: str, body: Any) -> None:
    assert code(await stranger.request(method, path, json=body)) == (401, "not_logged_in")


async def test_bad_requests(client: httpx.AsyncClient) -> None:
    assert code(await client.post("/api/chat", json={"model": "demo"})) == (400, "bad_request")
    assert code(await client.post("/api/chat", json={"prompt": ""})) == (400, "bad_request")
    assert code(await client.post("/api/chat", json={"prompt": "x", "model": "gone"})) == (400, "unknown_model")
    broken = await client.post("/api/chat", content=b"{", headers={"content-type": "application/json"})
    assert code(broken) == (400, "bad_request")
    assert code(await client.post("/api/chat", content=b'{"prompt":"x"}')) == (415, "bad_request")
    assert code(await client.post("/api/files", content=b"x")) == (400, "bad_upload")
    assert code(await client.get("/api/nothing")) == (404, "not_found")
    assert code(await client.get("/api/chat")) == (405, "method_not_allowed")
    assert code(await client.post("/api/chat", json={"model": "script", "prompt": "script:x"})) == (
        404,
        "script_not_found",
    )
    for wrong in (
        {"pieces": 3},
        {"pieces": [[0, "a"]], "text": "a"},
        {"pieces": 0, "text": "a"},
        {"pieces": [[-1, "a"]]},
    ):
        assert code(await client.post("/api/script", json=wrong)) == (400, "bad_request")


async def test_models(client: httpx.AsyncClient) -> None:
    menu = (await client.get("/api/models")).json()
    assert menu["default"] == "demo"
    names = "demo thinker searcher echo slow rate-limited refuses cut stall error login-dead challenge script"
    assert " ".join(model["id"] for model in menu["models"]) == names


async def test_scripts_are_off_by_default() -> None:
    async with DemoServer(create_app()) as server, httpx.AsyncClient(base_url=server.url) as client:
        assert (await client.post("/api/login", json={"user": "demo", "password": "demo"})).status_code == 200
        assert code(await client.post("/api/script", json={"text": "x"})) == (404, "not_found")
        assert code(await client.post("/api/chat", json={"model": "script", "prompt": "x"})) == (400, "unknown_model")
        assert "script" not in [model["id"] for model in (await client.get("/api/models")).json()["models"]]


async def test_the_page_is_strict(stranger: httpx.AsyncClient) -> None:
    for path in ("/", "/login", "/static/app.js"):
        reply = await stranger.get(path)
        assert reply.status_code == 200
        policy = reply.headers["content-security-policy"]
        assert policy.startswith("default-src 'self';")
        assert "unsafe" not in policy
    page = (await stranger.get("/")).text
    assert "style=" not in page
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []


async def test_stopping_the_server_cuts_open_answers() -> None:
    async with DemoServer(create_app(secret=SECRET, pace=FAST)) as server:
        cookies = dict([session_cookie(SECRET, "demo")])
        async with httpx.AsyncClient(base_url=server.url, cookies=cookies) as client:
            body = {"model": "stall", "prompt": "Well?"}
            async with client.stream("POST", "/api/chat", json=body) as response:
                lines = response.aiter_lines()
                await anext(lines)
                await server.stop()
                rest = [line async for line in lines]
    assert '"end"' not in "".join(rest)


async def test_a_taken_port_is_an_error(server: DemoServer) -> None:
    with pytest.raises(OSError):
        await DemoServer(create_app(), port=server.port).start()


async def test_the_command_prints_its_address_and_ends_on_a_signal() -> None:
    command = (sys.executable, "-m", "relay.demo", "--port", "0", "--piece-ms", "0")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            line = (await process.stdout.readline()).decode()
            found = re.search(r"http://127\.0\.0\.1:\d+/", line)
            assert found, line
            async with httpx.AsyncClient() as client:
                assert (await client.get(found[0])).status_code == 200
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
