"""The sites with many accounts, and the one relay server that is tried on them."""

from __future__ import annotations

import json
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e import accounts
from tests.e2e.relay_server import Process, RelayServer, environment
from tests.e2e.world import ROOT, World
from tests.endurance.dialogues import Delivery
from tests.endurance.report import Result
from tests.replicas import Answer, Replicas, Scenario

DRIVERS = {"demo": "fetch", "kimi": "fetch", "gradio": "fetch:queue"}
TOKEN_TTL_S = 6 * 3600.0
"""Long enough that no access token expires in a run: renewal has tests of its own."""
MOST_USERS = 64
ERROR_LINE = re.compile(r"^\S+ \S+ (?:ERROR|CRITICAL) +(?P<id>\S+) (?P<text>.*)$", re.MULTILINE)
NUMBER = re.compile(r"0x[0-9a-f]+|endure-[0-9a-f]+|[0-9a-f]{12,}|\d+")


class Town:
    """The demo site with many users, in a process that can be ended, stopped and started again at its address."""

    def __init__(self, folder: Path, secret: str, *, piece_ms: float) -> None:
        self.secret = secret
        self.port = 0
        self._folder, self._piece_ms = folder, piece_ms
        self._record = folder / "received.jsonl"
        self._process: Process | None = None

    def __repr__(self) -> str:
        return f"<Town {self.address} {'up' if self._process else 'down'}>"

    @property
    def address(self) -> str:
        """Its origin."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, from the second time on at the port of the first."""
        options = ("--users", str(MOST_USERS), "--piece-ms", str(self._piece_ms))
        command = [sys.executable, "-m", "tests.endurance.demo_site", "--port", str(self.port), *options]
        env = environment({"RELAY_DEMO_SECRET": self.secret})
        self._process = Process([*command, "--record", str(self._record)], cwd=ROOT, env=env)
        self.port = urlsplit(self._process.await_output(r"demo site: (http://\S+)/")[1]).port or 0

    def stop(self) -> None:
        """From now on connections are refused."""
        if self._process is not None:
            self._process.end()
            self._process = None

    def freeze(self) -> None:
        """From now on the site accepts connections and says nothing."""
        assert self._process is not None
        self._process.interrupt(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        assert self._process is not None
        self._process.interrupt(signal.SIGCONT)

    def deliveries(self, *, ended_since_ns: int = 0) -> list[Delivery]:
        """The prompts so far; with a time, those of after it whose answers went out whole."""
        if not self._record.exists():
            return []
        lines = [json.loads(line) for line in self._record.read_text("utf-8").splitlines()]
        return [
            Delivery("demo", one["user"], one["conversation"], one["prompt"], tuple(one["files"]))
            for one in lines
            if not ended_since_ns or (one["ended"] and one["began_ns"] >= ended_since_ns)
        ]


class Ground(World):
    """A world whose demo site has many users. `piece_ms` is the demo site's pace."""

    def __init__(
        self, replicas: Replicas | None = None, *, piece_ms: float = 2, first_byte_s: int = 60, idle_s: int = 60
    ) -> None:
        super().__init__(replicas, first_byte_s=first_byte_s, idle_s=idle_s)
        self._piece_ms = piece_ms

    @cached_property
    def town(self) -> Town:
        """The demo site."""
        made = Town(self._folder("demo-"), self.secret, piece_ms=self._piece_ms)
        made.start()
        self._stack.callback(made.stop)
        return made

    def crowded(
        self,
        counts: Mapping[str, int],
        *,
        drivers: Mapping[str, str] = DRIVERS,
        limit: int | None = None,
        keys: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> RelayServer:
        """A server not yet started, with so many accounts per site and more settings.

        `limit` is the chats at once of each account (the site's own where None); `keys` are the API keys.
        """
        home = self._folder("relay-endure-")
        wanted = {f"RELAY_SITES__{site.upper()}__DRIVERS": drivers[site] for site in counts}
        folders: list[Path] = []
        for number in range(counts.get("demo", 0)):
            user = f"user-{number}"
            folders.append(accounts.demo(home, self.town.address, self.town.secret, user, user=user))
        if counts.get("kimi"):
            wanted["RELAY_BROWSER__HOST_RULES"] = self.replicas.host_rules
            wanted["RELAY_BROWSER__TRUSTED_SPKI"] = self.replicas.spki
            names = kimi_names(home.name, counts["kimi"])
            folders += [accounts.kimi(home, name, access_ttl_s=TOKEN_TTL_S) for name in names]
        if counts.get("gradio"):
            for number in range(counts["gradio"]):
                folders.append(accounts.gradio(home, f"app-{number}", f"{self.gradio.address}/text/"))
        for folder in folders if limit is not None else ():
            with (folder / "account.toml").open("a", encoding="utf-8") as out:
                out.write(f"\n[limits]\nconcurrency = {limit}\n")
        if keys:
            wanted["RELAY_API_KEYS"] = ",".join(keys)
        return RelayServer(home, {**self._clocks, "RELAY_LOG_LEVEL": "INFO", **wanted, **(settings or {})})

    async def kimi_repeats(self, *, count: int = 6, gap_ms: float = 0) -> Scenario:
        """From now on every account of the Kimi replica is answered with its whole conversation."""
        scenario = Scenario(answer=Answer(echo=True, recall=True, count=count, gap_ms=gap_ms), access_ttl_s=TOKEN_TTL_S)
        await self.replicas.play("kimi", "*", scenario)
        return scenario

    async def deliveries(self, server: RelayServer, counts: Mapping[str, int]) -> list[Delivery]:
        """Every prompt that the sites accepted from a server's accounts."""
        found = self.town.deliveries() if "demo" in counts else []
        for name in kimi_names(server.home.name, counts.get("kimi", 0)):
            for chat in (await self.replicas.state("kimi", name))["chats"]:
                found += [
                    Delivery("kimi", name, chat["id"], message["text"])
                    for message in chat["messages"]
                    if message["role"] == "user"
                ]
        if "gradio" in counts:
            said = (item for item in self.gradio.received() if item["event"] == "message")
            found += [Delivery("gradio", str(item["kind"]), "", str(item["text"])) for item in said]
        return found


def kimi_names(home: str, count: int) -> list[str]:
    """The replica's users of one server; other servers have others."""
    return [f"{home}-{number}" for number in range(count)]


@contextmanager
def serving(server: RelayServer, result: Result, name: str = "") -> Iterator[RelayServer]:
    """The server while the block runs; how it ends, and what it logged, are checks of the result."""
    server.__enter__()
    try:
        yield server
    except BaseException as error:
        server.__exit__(type(error), error, error.__traceback__)
        raise
    faults = []
    try:
        server.__exit__(None, None, None)
    except AssertionError as error:
        faults.append(_telling(str(error)))
    prefix = f"{name}: " if name else ""
    result.none(f"{prefix}what is wrong with the server's end (status, processes left, traces)", faults)
    result.none(f"{prefix}kinds of errors in the server's log", logged_errors(server.log))


def logged_errors(log: str) -> list[str]:
    """Each kind of ERROR line once, with its first request id and how often it came."""
    found: dict[str, tuple[str, int]] = {}
    for match in ERROR_LINE.finditer(log):
        kind = NUMBER.sub("N", match["text"])
        first, count = found.get(kind, (f"{match['id']} {match['text'][:600]}", 0))
        found[kind] = first, count + 1
    return [f"{count} times: {first}" for first, count in found.values()]


def _telling(text: str) -> str:
    """The part of a log that says what happened."""
    at = max(text.find("Traceback"), 0)
    return text[max(at - 500, 0) : at + 1500]
