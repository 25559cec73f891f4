"""After a day in the life of a server, with everything that may go wrong: no secret and no prompt in what it tells."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from relay.demo import session_cookie
from tests.e2e import accounts
from tests.e2e.relay_server import RelayServer
from tests.e2e.world import World
from tests.receiver import HttpReceiver
from tests.replicas import Answer, Fault, Piece, Scenario
from tests.replicas.kimi import login

API_KEY = "sk-a-static-key-of-the-owner-7f31c0"
PASSWORD = "the admin's pass phrase 5e2b"
PROFILE_KEY = "the passphrase of the profiles 90ad"
FAILING = ("rate-limited", "refuses", "cut", "error", "login-dead", "challenge")


@dataclass
class Day:
    """What was used, and what was heard."""

    secrets: dict[str, str] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    prompts: int = 0

    def prompt(self) -> str:
        """Words that nobody else says."""
        self.prompts += 1
        words = f"mum's maiden name is Überzwerch-{self.prompts:03} 密码"
        self.secrets[f"prompt {self.prompts}"] = words
        return words

    def hear(self, answer: httpx.Response) -> httpx.Response:
        """Keep what an error says, and all headers but those that are to hold a secret."""
        self.heard.append(repr([header for header in answer.headers.multi_items() if header[0] != "set-cookie"]))
        if answer.status_code >= 400 or '"error"' in answer.text:
            self.heard.append(answer.text)
        return answer


async def chat(client: httpx.AsyncClient, day: Day, model: str, **extra: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": day.prompt()}], **extra}
    return day.hear(await client.post("/v1/chat/completions", json=body))


def found(text: str, secrets: dict[str, str]) -> list[str]:
    """The names of the secrets that stand in a text, plainly or in one of the usual disguises."""
    return [
        name
        for name, secret in secrets.items()
        for shape in {
            secret,
            quote(secret),
            json.dumps(secret)[1:-1],
            base64.b64encode(secret.encode()).decode().rstrip("="),
        }
        if shape in text
    ]


async def test_nothing_is_told(world: World, tmp_path: Path) -> None:
    day = Day()
    with HttpReceiver() as receiver:
        relay, settings = prepared(world, tmp_path, day, receiver.url)
        await asyncio.to_thread(relay.start)
        try:
            async with httpx.AsyncClient(base_url=relay.url, trust_env=False, timeout=90) as client:
                await live(world, relay, client, day)
                for path in ("/metrics", "/health", "/ready", "/docs", "/openapi.json", "/v1/models"):
                    shown = await client.get(path, headers={"authorization": f"Bearer {API_KEY}"})
                    day.heard.append(shown.text)
                day.heard += [notice.body.decode() for notice in receiver.got]
        finally:
            await asyncio.to_thread(relay.process.end)
    assert found(relay.log, day.secrets) == []
    assert [(names, text) for text in day.heard if (names := found(text, day.secrets))] == []
    assert len(day.secrets) > 25
    assert "DEBUG" in relay.log, "the log told all that it can tell"
    told = {file: found(file.read_bytes().decode("latin-1"), as_latin(day.secrets)) for file in files(relay.home)}
    assert {str(file): names for file, names in told.items() if names} == {}
    assert settings


def as_latin(secrets: dict[str, str]) -> dict[str, str]:
    """As they look in bytes read as Latin-1."""
    return {name: secret.encode().decode("latin-1") for name, secret in secrets.items()}


def files(home: Path) -> list[Path]:
    """Everything that the relay has written; the logins are encrypted."""
    kept = [path for path in home.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {"relay.db", "state.json.enc"} <= {path.name for path in kept}
    return kept


def prepared(world: World, home: Path, day: Day, webhook: str) -> tuple[RelayServer, dict[str, str]]:
    """A server with a home of its own, all secrets noted."""
    (home / "browser_profiles").mkdir()
    folder = accounts.demo(home, world.demo.address, world.secret)
    day.secrets["session cookie"] = json.loads((folder / "state.json").read_text())["cookies"][0]["value"]
    state = json.loads((accounts.kimi(home, home.name) / "state.json").read_text())
    for item in state["origins"][0]["localStorage"]:
        if item["name"].endswith("_token"):
            day.secrets[f"kimi {item['name']}"] = item["value"]
    hook = f"{webhook}/secret-of-the-webhook-44d1"
    day.secrets |= {
        "key": API_KEY,
        "password": PASSWORD,
        "profile key": PROFILE_KEY,
        "webhook": "secret-of-the-webhook",
    }
    settings = {
        "RELAY_API_KEYS": API_KEY,
        "RELAY_ADMIN_PASSWORD": PASSWORD,
        "RELAY_PROFILE_KEY": PROFILE_KEY,
        "RELAY_NOTIFY": hook,
        "RELAY_TOKEN_PASSTHROUGH": "true",
        "RELAY_COMMIT_AFTER_S": "60",
        "RELAY_CLOCKS__IDLE_S": "5",
        "RELAY_BROWSER__HOST_RULES": world.replicas.host_rules,
        "RELAY_BROWSER__TRUSTED_SPKI": world.replicas.spki,
        "RELAY_SITES__KIMI__DRIVERS": "fetch,screen,dom",
    }
    return RelayServer(home, settings, debug=True), settings


async def live(world: World, relay: RelayServer, client: httpx.AsyncClient, day: Day) -> None:
    """Everything once, and wrong where it can be."""
    owner = {"authorization": f"Bearer {API_KEY}"}
    await callers(client, day)
    client.headers.update(owner)
    await answers(client, day)
    await faults(world, relay, client, day)
    await owners(relay, client, day)
    await deaths(world, relay, client, day)


async def callers(client: httpx.AsyncClient, day: Day) -> None:
    """Keys and tokens, right and wrong."""
    pasted = session_cookie("another site's secret", "somebody")[1]
    dead = login("nobody", access_ttl_s=-5)
    day.secrets |= {"pasted token": pasted, "dead access": dead.access, "dead refresh": dead.refresh}
    day.secrets["wrong key"] = "sk-wrong-key-of-a-stranger-11aa"
    for bearer in (
        day.secrets["wrong key"],
        pasted,
        f"{pasted},{pasted}x",
        f"{dead.access},{dead.refresh}",
        f"{pasted}, ,{pasted}",
    ):
        for model in ("demo", "kimi"):
            await chat_as(client, day, bearer, model)
    for token in (pasted, dead.access):
        asked = {"token": token}
        for headers in ({}, {"authorization": f"Bearer {API_KEY}"}):
            day.hear(await client.post("/token/check", json=asked, headers=headers))
    day.hear(
        await client.post("/token/check", json={"token": [pasted]}, headers={"authorization": f"Bearer {API_KEY}"})
    )


async def chat_as(client: httpx.AsyncClient, day: Day, bearer: str, model: str) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": day.prompt()}]}
    headers = {"authorization": f"Bearer {bearer}"}
    day.hear(await client.post("/v1/chat/completions", json=body, headers=headers))


async def answers(client: httpx.AsyncClient, day: Day) -> None:
    """Chats that go well, that fail, and that are malformed."""
    for model in ("demo", "demo-think", "demo-search", "kimi", "demo/echo"):
        for stream in (False, True):
            assert (await chat(client, day, model, stream=stream)).status_code == 200
    for model in FAILING:
        await chat(client, day, f"demo/{model}", stream=model == "cut")
    await chat(client, day, "no-such-model")
    await chat(client, day, "demo", conversation_id="none-of-mine")
    await chat(client, day, "demo", temperature={"what": day.prompt()})
    torn = json.dumps({"model": "demo", "messages": [{"role": "user", "content": day.prompt()}]})[:-2]
    day.hear(await client.post("/v1/chat/completions", content=torn))
    data = base64.b64encode(day.prompt().encode()).decode()
    part = {"type": "file", "file": {"file_data": f"data:text/plain;base64,{data}", "filename": "a.txt"}}
    day.hear(
        await client.post(
            "/v1/chat/completions", json={"model": "demo", "messages": [{"role": "user", "content": [part]}]}
        )
    )


async def faults(world: World, relay: RelayServer, client: httpx.AsyncClient, day: Day) -> None:
    """What the sites and the browser do wrong."""
    stage = world.kimi(relay)
    short = Answer(pieces=[Piece(text="It begins. "), Piece(text="It ends.")])
    for fault in (
        Fault(kind="status", status=500, times=1),
        Fault(kind="html", times=1),
        Fault(kind="error", after=1, times=1, code="internal"),
        Fault(kind="cut", after=1, times=1),
        Fault(kind="stall", after=1, times=1),
    ):
        await stage.set(Scenario(answer=short, faults=[fault]))
        await chat(client, day, "kimi")
    await stage.set(Scenario(answer=short, shield=True, layout="B"))
    await chat(client, day, "kimi")  # a role is missing: a picture of the page is kept
    await stage.set(Scenario(answer=short))
    prompt = await world.demo.store([(0, "It begins. "), (20_000, "It never ends.")])
    body = {"model": "demo/script", "messages": [{"role": "user", "content": prompt}], "stream": True}
    async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        async for line in answer.aiter_lines():
            if "It begins" in line:
                for renderer in relay.renderers():
                    renderer.kill()
    await chat(client, day, "demo")


async def owners(relay: RelayServer, client: httpx.AsyncClient, day: Day) -> None:
    """The admin page's routes, with right and wrong passwords, and a remote login that nobody opens."""
    day.secrets["wrong password"] = "a guess at the pass phrase 3c"
    origin = {"origin": relay.url}
    for password in (day.secrets["wrong password"], PASSWORD):
        entered = await client.post("/admin/api/login", json={"password": password}, headers=origin)
        day.hear(entered)
    day.secrets["admin session"] = next(iter(client.cookies.values()))
    opened = await client.post("/admin/api/accounts/kimi/" + relay.home.name + "/login", json={}, headers=origin)
    secret = opened.json()["path"].rpartition("/")[2]
    day.secrets["remote login"] = secret
    assert (await client.get(f"/login/{secret}")).status_code == 200
    day.secrets["viewer"] = next(value for name, value in client.cookies.items() if name != "session")
    client.cookies.clear()
    day.hear(await client.get(f"/login/{secret}"))


async def deaths(world: World, relay: RelayServer, client: httpx.AsyncClient, day: Day) -> None:
    """The demo account dies; its owner is told."""
    async with httpx.AsyncClient(base_url=world.demo.address, trust_env=False) as site:
        await site.post("/api/fate", json={"user": "demo", "fate": "expired"})
        try:
            assert (await chat(client, day, "demo")).status_code == 503
            await asyncio.to_thread(relay.process.await_output, "demo/demo is now login_needed")
            assert (await chat(client, day, "demo")).status_code == 503
        finally:
            await site.post("/api/fate", json={"user": "demo", "fate": ""})


@pytest.mark.parametrize("secret", ["plain", "üñí 密码"])
def test_the_search_finds_what_is_there(secret: str) -> None:
    for text in (secret, quote(secret), json.dumps({"a": secret}), base64.b64encode(secret.encode()).decode()):
        assert found(f"so {text} it is", {"it": secret}) == ["it"] * len(found(f"so {text} it is", {"it": secret}))
        assert found(f"so {text} it is", {"it": secret})
    assert found("nothing here", {"it": secret}) == []
