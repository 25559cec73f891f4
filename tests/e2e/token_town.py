"""A demo site with many users, for callers that bring tokens of their own; and what to look at afterwards."""

from __future__ import annotations

import asyncio
import re
import secrets
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from relay.browser.cdp import DevToolsSocket
from relay.demo import DemoServer, Pace, create_app, session_cookie
from relay.demo.app import DemoSite
from tests.e2e import accounts
from tests.e2e.relay_server import RelayServer

OWNER = "owner"


class Town:
    """A context manager: the site in a thread of its own, so that starting a relay does not stop it."""

    def __init__(self, users: int) -> None:
        self.users = [f"user{number:02}" for number in range(users)]
        self._secret = secrets.token_hex(16)
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __repr__(self) -> str:
        return f"<Town {self.url} of {len(self.users)}>"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._down.set)
        self._thread.join(10)

    async def _run(self) -> None:
        self._loop, self._down = asyncio.get_running_loop(), asyncio.Event()
        passwords = dict.fromkeys([*self.users, OWNER], "secret")
        app = create_app(secret=self._secret, accounts=passwords, pace=Pace(0.01, 0.001, 2.0, 0.01))
        self.site: DemoSite = app.state.site
        async with DemoServer(app) as server:
            self.url = server.url
            self._up.set()
            await self._down.wait()

    def token(self, user: str) -> str:
        """A session of a user's, another one each second: what he would paste."""
        return session_cookie(self._secret, user)[1]

    def end(self, token: str) -> None:
        """The session is dead from now on."""
        self.site.sessions.log_out(token)

    def heard(self, user: str) -> list[list[str]]:
        """The prompts of the conversations that the site has of a user."""
        return [list(one.prompts) for one in tuple(self.site.conversations._by_id.values()) if one.user == user]

    def server(self, home: Path, **settings: str) -> RelayServer:
        """A relay with the owner's account at this site, not yet started."""
        (home / "browser_profiles").mkdir(parents=True)
        accounts.demo(home, self.url, self._secret, OWNER, user=OWNER)
        fixed = {"RELAY_SITES__DEMO__DRIVERS": "fetch", "RELAY_COMMIT_AFTER_S": "60"}
        return RelayServer(home, {**fixed, **settings})


async def asked(
    relay: RelayServer, bearer: str, prompt: str, model: str = "demo/echo", *, earlier: Any = (), **extra: Any
) -> httpx.Response:
    """A whole answer for one who presents this Bearer."""
    messages = [*earlier, {"role": "user", "content": prompt}]
    async with httpx.AsyncClient(base_url=relay.url, trust_env=False, timeout=100) as client:
        headers = {"authorization": f"Bearer {bearer}"} if bearer else {}
        body = {"model": model, "messages": messages, **extra}
        return await client.post("/v1/chat/completions", json=body, headers=headers)


async def checked(relay: RelayServer, token: str, *, key: str = "", **more: str) -> httpx.Response:
    """`POST /token/check`."""
    async with httpx.AsyncClient(base_url=relay.url, trust_env=False, timeout=100) as client:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return await client.post("/token/check", json={"token": token, **more}, headers=headers)


def text_of(answer: httpx.Response) -> str:
    """What was said. Raises AssertionError for a refusal."""
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def error_of(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, code and message."""
    said = answer.json()["error"]
    return answer.status_code, said["code"], said["message"]


async def contexts(relay: RelayServer) -> set[str]:
    """The ids of the browser's contexts; the relay must run with RELAY_BROWSER__DIRECT_CDP=true."""
    command = " ".join(relay.browser().cmdline())
    port = re.search(r"--remote-debugging-port=([1-9]\d*)", command)
    assert port, command
    async with httpx.AsyncClient(trust_env=False) as client:
        version = (await client.get(f"http://127.0.0.1:{port[1]}/json/version")).json()
    browser = await DevToolsSocket.connect(version["webSocketDebuggerUrl"])
    try:
        return set((await browser.send("Target.getBrowserContexts"))["browserContextIds"])
    finally:
        await browser.detach()


def left_behind(relay: RelayServer, log: str, tokens: Iterable[str]) -> list[str]:
    """Where anything of these tokens stands: in the log, or in a file of the home (relay.db and its journal too)."""
    files = {str(file): file.read_bytes() for file in relay.home.rglob("*") if file.is_file()}
    assert any(name.endswith("relay.db") for name in files)
    files["the log"] = log.encode()
    parts = {part.encode() for token in tokens for part in token.split(".") if len(part) > 20}
    assert parts
    return [f"{part[:12]!r}… in {name}" for name, data in files.items() for part in parts if part in data]
