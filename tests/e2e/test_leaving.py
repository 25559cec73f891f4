"""The client goes away, in each phase of its chat: the site is told, the place is free, what was made is cleaned up.

Every account has one place, so that the next request is answered only if the place is free; conversations are deleted
at once, so that what is left on the site was forgotten.
"""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.client import ask
from tests.e2e.gate import Gate
from tests.e2e.relay_server import RelayServer
from tests.e2e.world import World
from tests.replicas import Answer, Fault, Piece, Replicas, Scenario
from tests.replicas.recording import Record

SETTINGS = {
    "RELAY_KEEP_CONVERSATIONS_S": "0",
    "RELAY_KEEPER__DELETE_GAP_S": "0.1",
    "RELAY_COMMIT_AFTER_S": "0.1",
    "RELAY_KEEP_ALIVE_S": "0.1",
}
FILE = {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,aGVyb24="}}
WAIT_S = 30.0
CHATS = re.compile(r'^relay_chats_total\{code="(\w+)",.*site="(\w+)"\} ([\d.]+)$', re.MULTILINE)
BEGUN = Answer(pieces=[Piece(text="It begins.\n\n"), Piece(text="It goes on.")])


@dataclass
class Ground:
    """The sites and the servers before them."""

    world: World
    gate: Gate
    stack: ExitStack
    servers: dict[str, RelayServer] = field(default_factory=dict)

    def server(self, name: str) -> RelayServer:
        """By `fetch` or `screen`; with `-opens` each chat has a page of its own."""
        if name not in self.servers:
            driver, _, opens = name.partition("-")
            more = {"RELAY_KEEPER__PAGE_USES": "1"} if opens else {}
            relay = self.world.server(driver, "demo kimi", **SETTINGS, **more)
            one = "[limits]\nconcurrency = 1\n"
            (relay.account("demo", "demo") / "account.toml").write_text(f'base_url = "{self.gate.url}/"\n{one}')
            (relay.account("kimi", relay.home.name) / "account.toml").write_text(one)
            self.servers[name] = self.stack.enter_context(relay)
        return self.servers[name]


@pytest.fixture(scope="module")
def ground(replicas: Replicas) -> Iterator[Ground]:
    """A demo site of its own: what it counts are these tests' chats."""
    with ExitStack() as stack:
        world = stack.enter_context(World(replicas))
        gate = stack.enter_context(Gate(urlsplit(world.demo.address).port or 0))
        yield Ground(world, gate, stack)


class Client:
    """One request, until it leaves."""

    def __init__(self, relay: RelayServer, model: str, content: Any, *, stream: bool) -> None:
        self.heard = ""
        self.left_ns = 0
        self._stream = stream
        self._more = asyncio.Event()
        body = {"model": model, "messages": [{"role": "user", "content": content}], "stream": stream}
        self._task = asyncio.create_task(self._ask(relay.url, body))
        self._task.add_done_callback(lambda _: self._more.set())

    async def _ask(self, url: str, body: dict[str, Any]) -> None:
        async with (
            httpx.AsyncClient(base_url=url, trust_env=False, timeout=None) as http,
            http.stream("POST", "/v1/chat/completions", json=body) as answer,
        ):
            async for text in answer.aiter_text():
                self.heard += text
                self._more.set()

    @property
    def said(self) -> str:
        """The answer so far, however it was cut in pieces; and the comments."""
        events = self.heard.replace("\r\n", "\n").split("\n\n")[:-1]
        chunks = [json.loads(event[6:]) for event in events if event.startswith("data: {")]
        pieces = [choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", ())]
        return "".join([*(event for event in events if event.startswith(":")), *pieces])

    async def hears(self, words: str) -> None:
        """Wait until a stream has said this; who wants the whole answer at once hears nothing before its end."""
        try:
            async with asyncio.timeout(WAIT_S):
                while self._stream and words not in self.said:
                    assert not self._task.done(), self.heard
                    self._more.clear()
                    await asyncio.wait(
                        [asyncio.ensure_future(self._more.wait()), self._task], return_when="FIRST_COMPLETED"
                    )
        except TimeoutError:
            raise AssertionError(f"{words!r} was not said, but: {self.heard}") from None

    async def leave(self) -> None:
        """Close the connection."""
        assert not self._task.done(), f"it was answered: {self.heard}"
        self._task.cancel()
        self.left_ns = time.time_ns()
        await asyncio.wait([self._task])


@dataclass
class Phase:
    """Where a chat has got to, and how the site learns that nobody wants it any more."""

    content: Any
    reached: Callable[[Client], Awaitable[object]]
    told: Callable[[], Awaitable[int | None]]
    """Waits until it has; returns when (`time.time_ns()`), where the site tells."""


class Demo:
    """The demo site."""

    id, model = "demo", "demo/script"

    def __init__(self, ground: Ground, relay: RelayServer) -> None:
        self.stage, self.gate, self.relay = ground.world.demo, ground.gate, relay

    async def prompt(self, text: str) -> str:
        return await self.stage.play(text)

    async def kept(self) -> int:
        """Conversations on the site."""
        return (await self.stage.stats())["conversations"]

    async def prompts(self) -> int:
        """Prompts that the site ever took."""
        return (await self.stage.stats())["started"]

    @asynccontextmanager
    async def _held(self, path: str, content: Any, words: str = "") -> AsyncIterator[Phase]:
        with self.gate.hold(path) as held:

            async def reached(client: Client) -> None:
                await held.request()
                await client.hears(words)

            yield Phase(content, reached, held.abort)

    def opening(self) -> AbstractAsyncContextManager[Phase]:
        return self._held("/", "hi", "opening a page")

    def typing(self) -> AbstractAsyncContextManager[Phase]:
        """The menu of models, which the driver chooses from, is not there yet."""
        return self._held("/api/models", "hi", "asking Demo")

    def attaching(self) -> AbstractAsyncContextManager[Phase]:
        return self._held("/api/files", [FILE, {"type": "text", "text": "hi"}], "asking Demo")

    def first_byte(self) -> AbstractAsyncContextManager[Phase]:
        return self._held("/api/chat", "hi", "asking Demo")

    @asynccontextmanager
    async def streaming(self) -> AsyncIterator[Phase]:
        prompt = await self.stage.store([(0, "It begins.\n\n"), (0, "It goes on."), (600_000, "never")])
        before = await self.stage.stats()

        async def reached(client: Client) -> None:
            await until(lambda: self._counted(before, "bursts"))
            await until(lambda: recorded(self.relay, self.id))
            await client.hears("It begins.")

        yield Phase(prompt, reached, lambda: until(lambda: self._counted(before, "stopped", "aborted")))

    async def _counted(self, before: dict[str, int], *names: str) -> bool:
        now = await self.stage.stats()
        return sum(now[name] - before[name] for name in names) == 1


class Kimi:
    """The Kimi replica."""

    id, model = "kimi", "kimi"

    def __init__(self, ground: Ground, relay: RelayServer) -> None:
        self.stage, self.relay = ground.world.kimi(relay), relay

    async def prompt(self, text: str) -> str:
        return await self.stage.play(text)

    async def kept(self) -> int:
        """Conversations on the site."""
        return sum(not chat["deleted"] for chat in await self._chats())

    async def prompts(self) -> int:
        """Prompts that the site ever took."""
        return sum(message["role"] == "user" for chat in await self._chats() for message in chat["messages"])

    async def _chats(self) -> list[Any]:
        chats: list[Any] = (await self.stage.replicas.state("kimi", self.stage.account))["chats"]
        return chats

    async def _records(self, operation: str, state: str) -> list[Record]:
        return await self.stage.replicas.records(
            account=self.stage.account, operation=operation, state=state, count=1, timeout_s=WAIT_S
        )

    async def _aborted(self, operation: str) -> int | None:
        [record] = await self._records(operation, "aborted")
        return record.aborted.time_ns if record.aborted else None

    @asynccontextmanager
    async def _stalled(self, operation: str, content: Any, words: str) -> AsyncIterator[Phase]:
        await self.stage.set(Scenario(faults=[Fault(kind="stall", on=operation, after=-1, times=1)]))
        await self.stage.replicas.forget(account=self.stage.account)

        async def reached(client: Client) -> None:
            await self._records(operation, "open")
            await client.hears(words)

        yield Phase(content, reached, lambda: self._aborted(operation))

    def opening(self) -> AbstractAsyncContextManager[Phase]:
        return self._stalled("page", "hi", "opening a page")

    @asynccontextmanager
    async def typing(self) -> AsyncIterator[Phase]:
        """The page has no editor yet."""
        await self.stage.set(Scenario(hydrate_ms=3000))
        await self.stage.replicas.forget(account=self.stage.account)

        async def reached(client: Client) -> None:
            await self._records("config", "finished")
            await client.hears("asking Kimi")

        async def told() -> None:
            pass  # it had heard nothing, and never does: `prompts` tells

        yield Phase("hi", reached, told)

    def attaching(self) -> AbstractAsyncContextManager[Phase]:
        return self._stalled("upload", [FILE, {"type": "text", "text": "hi"}], "asking Kimi")

    def first_byte(self) -> AbstractAsyncContextManager[Phase]:
        return self._stalled("chat", "hi", "asking Kimi")

    @asynccontextmanager
    async def streaming(self) -> AsyncIterator[Phase]:
        await self.stage.set(Scenario(answer=BEGUN, faults=[Fault(kind="stall", after=2, times=1)]))
        await self.stage.replicas.forget(account=self.stage.account)

        async def reached(client: Client) -> None:
            await until(self._shown)
            await until(lambda: recorded(self.relay, self.id))
            await client.hears("It begins.")

        yield Phase("hi", reached, lambda: self._aborted("chat"))

    async def _shown(self) -> bool:
        chats = await self._chats()
        return bool(chats) and chats[-1]["messages"][-1]["text"].endswith("It goes on.")


SITES: dict[str, type[Demo] | type[Kimi]] = {"demo": Demo, "kimi": Kimi}


async def until(true: Callable[[], Awaitable[object]]) -> None:
    """Ask again and again: neither the sites nor the relay call anybody."""
    async with asyncio.timeout(WAIT_S):
        while not await true():  # noqa: ASYNC110
            await asyncio.sleep(0.03)


async def counted(relay: RelayServer, site: str) -> Counter[str]:
    """Chats of a site by how they ended, from /metrics."""
    async with httpx.AsyncClient(base_url=relay.url, trust_env=False) as client:
        text = (await client.get("/metrics")).text
    found: Counter[str] = Counter()
    for code, of, number in CHATS.findall(text):
        if of == site:
            found[code] += int(float(number))
    return found


async def recorded(relay: RelayServer, site: str) -> bool:
    """Whether the relay knows of a conversation at a site: what it has not heard of yet, it cannot delete."""
    with closing(sqlite3.connect(f"file:{relay.home / 'relay.db'}?mode=ro", uri=True)) as db:
        [count] = db.execute("SELECT count(*) FROM conversations WHERE site = ?", (site,)).fetchone()
    return bool(count)


async def load(relay: RelayServer) -> tuple[int, int]:
    """Chats that run and that wait."""
    async with httpx.AsyncClient(base_url=relay.url, trust_env=False) as client:
        told = (await client.get("/health")).json()
    return told["running"], told["waiting"]


async def rests(relay: RelayServer) -> None:
    """Wait until nothing runs and nothing waits."""

    async def idle() -> bool:
        return await load(relay) == (0, 0)

    await until(idle)


async def all_is_well(site: Demo | Kimi, relay: RelayServer, kept: int) -> None:
    """The place is free and its page usable, and the site holds no conversation that it did not hold before."""
    await rests(relay)
    got = await ask(relay, site.model, await site.prompt("and on it goes"))
    assert got.text == "and on it goes"

    async def clean() -> bool:
        return await site.kept() == kept

    await until(clean)
    assert "Traceback" not in relay.log


PHASES = [
    *(("fetch", phase, name) for phase in ("attaching", "first_byte", "streaming") for name in SITES),
    *(("screen", phase, name) for phase in ("attaching", "first_byte", "streaming") for name in SITES),
    *(("screen-opens", phase, name) for phase in ("opening", "typing") for name in SITES),
    ("dom", "streaming", "kimi"),  # the demo site's address tells of no conversation, so none can be deleted
]


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("server", "phase", "name"), PHASES)
async def test_leaving(
    ground: Ground, server: str, phase: str, name: str, stream: bool, record_property: Callable[[str, object], None]
) -> None:
    relay = ground.server(server)
    site = SITES[name](ground, relay)
    kept, prompts, before = await site.kept(), await site.prompts(), await counted(relay, name)
    made: AbstractAsyncContextManager[Phase] = getattr(site, phase)()
    async with made as chosen:
        model = "demo/echo" if phase == "attaching" and name == "demo" else site.model  # `script` takes no files
        client = Client(relay, model, chosen.content, stream=stream)
        await chosen.reached(client)
        await client.leave()
        if (aborted_ns := await chosen.told()) is not None:
            record_property("client_gone_to_site_aborted_ms", round((aborted_ns - client.left_ns) / 1e6, 1))
        await rests(relay)
    await all_is_well(site, relay, kept)
    assert await counted(relay, name) - before == {"cancelled": 1, "ok": 1}
    assert await site.prompts() - prompts == 1 + (phase == "streaming"), "what was left before it was sent never is"


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("name", SITES)
async def test_leaving_the_queue(ground: Ground, name: str, stream: bool) -> None:
    relay = ground.server("fetch")
    site = SITES[name](ground, relay)
    kept, prompts, before = await site.kept(), await site.prompts(), await counted(relay, name)
    async with site.streaming() as chosen:
        first = Client(relay, site.model, chosen.content, stream=True)
        await chosen.reached(first)
        second = Client(relay, site.model, "hi", stream=stream)

        async def waits() -> bool:
            return await load(relay) == (1, 1)

        async def left() -> bool:
            return await load(relay) == (1, 0)

        await until(waits)
        await second.hears("waiting, position 1: every place")
        await second.leave()
        await until(left)
        assert await site.prompts() - prompts == 1
        await first.leave()
        await chosen.told()
    await all_is_well(site, relay, kept)
    assert await counted(relay, name) - before == {"cancelled": 2, "ok": 1}
