"""What is measured of one endpoint: pure waiting and noting; `figures` makes numbers of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from scripts.benchmarks.bed import USER, WIDEST, Server, Subject, expected_text, scenario, serving
from scripts.benchmarks.client import MARK, BenchError, Endpoint, Reading, Straight
from scripts.benchmarks.processes import Shares, cpu_between, pss_mib, tree
from tests.replicas import Fault, Replicas

COUNT = 90
GAP_MS = 33.0
SHORT = 3
WIDTHS = (1, 8, WIDEST)
WARM_UPS = {32: (20, 32)}
"""Before a width is measured its pages are opened: the wide ones in steps."""
LEAVE_AFTER = 10
ABORT_S = 20.0
PHASES = {"first": "chat", "opening": "page"}
"""Phases of a chat in which the site says nothing, and the replica's name of the request that it holds back."""


@dataclass(slots=True)
class Repetition:
    """One round of `width` answers asked for at once."""

    width: int
    readings: list[Reading]
    cpu: Shares = field(default_factory=Shares)
    faults: int = 0


@dataclass(slots=True)
class Results:
    """All that was measured of one subject."""

    name: str
    first_tokens_ms: list[float] = field(default_factory=list)
    rounds: list[Repetition] = field(default_factory=list)
    aborts_ms: dict[str, list[float]] = field(default_factory=dict)
    """By phase: one of `PHASES`, or `stream`."""
    cold_starts_s: list[float] = field(default_factory=list)
    pss_fresh: Shares | None = None
    pss_tabs: Shares | None = None
    tabs: int = 1
    """Pages open at `pss_tabs`; at `pss_fresh` it is one."""

    def add(self, made: Repetition) -> None:
        """One more round; a single stream also tells a first token."""
        self.rounds.append(made)
        if made.width == 1:
            self.first_tokens_ms.append(made.readings[0].first_token_ms)


@dataclass(slots=True)
class Idle:
    """A server whose accounts all rest."""

    accounts: int
    cold_start_s: float
    checked_s: float
    pss: Shares


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    repeat: int = 5
    first_tokens: int = 10
    """Short answers asked for one after the other, beside the single streams that are measured anyway."""
    idle_accounts: int = 100
    widths: tuple[int, ...] = WIDTHS


Rest = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    return


class Bench:
    """One run: the replica, the straight client, and one relay server after the other."""

    def __init__(self, replicas: Replicas, straight: Straight, plan: Plan, say: Callable[[str], None]) -> None:
        self._replicas = replicas
        self._straight = straight
        self._plan = plan
        self._say = say
        self.straight = Results("straight")
        self.browser = ""

    async def _play(self, count: int, gap_ms: float) -> None:
        await self._replicas.play("kimi", "*", scenario(count, gap_ms))

    async def _first_tokens(self, endpoint: Endpoint, results: Results, times: int, rest: Rest) -> None:
        await self._play(SHORT, GAP_MS)
        for _ in range(times):
            results.first_tokens_ms.append((await endpoint.ask()).first_token_ms)
            await rest()

    async def _round(self, endpoint: Endpoint, width: int, pid: int | None = None) -> Repetition:
        before = tree(pid) if pid else {}
        readings = await asyncio.gather(*(endpoint.ask() for _ in range(width)))
        cpu = cpu_between(before, tree(pid)) if pid else Shares()
        made = Repetition(width, list(readings), cpu)
        for reading in readings:
            made.faults += reading.faults(COUNT)
            if " ".join(MARK.sub("", reading.text).split()) != expected_text(COUNT).strip():
                made.faults += 1
        return made

    async def measure_straight(self, times: int) -> None:
        """The site itself: a share of its repetitions runs beside each subject, so that both see the same machine."""
        for width in self._plan.widths:
            await self._play(SHORT, 500)
            await asyncio.gather(*(self._straight.ask() for _ in range(width)))  # opens the connections
            if width == 1:
                await self._first_tokens(self._straight, self.straight, self._plan.first_tokens, _nothing)
            await self._play(COUNT, GAP_MS)
            for _ in range(times):
                self.straight.add(await self._round(self._straight, width))

    async def measure(self, subject: Subject) -> Results:
        """Everything of one way to run the relay."""
        results = Results(subject.name)
        async with serving(self._replicas, subject) as server:
            await server.all_ready()
            await server.rest()
            results.pss_fresh = pss_mib(server.pid)
            self.browser = await server.relay.browser()
            self._say(f"{subject.name}: first tokens")
            await self._first_tokens(server.relay, results, self._plan.first_tokens, server.rest)
            self._say(f"{subject.name}: client leaves")
            await self._aborts(server, results)
            for width in self._plan.widths:
                await self._rounds(server, results, width)
        return results

    async def _cold_start(self, server: Server) -> float:
        await self._play(SHORT, GAP_MS)
        reading = await server.relay.ask()
        return (reading.marks[0][2] - server.began_ns) / 1e9

    async def measure_cold_starts(self, subject: Subject, results: Results, times: int) -> None:
        """From a process's birth to the first token."""
        for number in range(times):
            self._say(f"{subject.name}: cold start {number + 1}")
            async with serving(self._replicas, subject) as server:
                results.cold_starts_s.append(await self._cold_start(server))

    async def _rounds(self, server: Server, results: Results, width: int) -> None:
        self._say(f"{results.name}: {width} at once")
        await self._play(SHORT, 500)
        for warm in WARM_UPS.get(width, (width,)):
            await asyncio.gather(*(server.relay.ask() for _ in range(warm)))
            await server.rest()
        if width == WIDEST:
            results.pss_tabs, results.tabs = pss_mib(server.pid), await server.relay.tabs()
        await self._play(COUNT, GAP_MS)
        for _ in range(self._plan.repeat):
            results.add(await self._round(server.relay, width, server.pid))
            await server.rest()

    async def _aborts(self, server: Server, results: Results) -> None:
        """From the client's leaving until the site sees its answer aborted (by our abort, or by the page's stop)."""
        await self._play(COUNT, GAP_MS)
        for _ in range(self._plan.repeat):
            await self._replicas.forget(account=USER)
            reading = await server.relay.ask(leave_after=LEAVE_AFTER)
            records = await self._replicas.records(
                account=USER, operation="chat", state="aborted", count=1, timeout_s=ABORT_S
            )
            aborted = records[0].aborted
            if aborted is None:
                raise BenchError("the site was never aborted")
            results.first_tokens_ms.append(reading.first_token_ms)
            results.aborts_ms.setdefault("stream", []).append((aborted.time_ns - reading.left_ns) / 1e6)
            await server.rest()
        for _ in range(self._plan.repeat):
            await self._silent_aborts(server, results)
            await server.rest()

    async def _silent_aborts(self, server: Server, results: Results) -> None:
        """The same for two clients that the site has not answered: one's chat call, and the other's new page."""
        await self._replicas.forget(account=USER)
        asked: dict[str, asyncio.Task[Reading]] = {}
        for phase, operation in PHASES.items():
            silent = scenario(SHORT, GAP_MS)
            silent.faults = [Fault(kind="stall", on=operation, after=-1, times=1)]
            await self._replicas.play("kimi", "*", silent)
            # The first takes the page that is open, so that the second must open one.
            asked[phase] = asyncio.create_task(server.relay.ask())
            await self._replicas.records(account=USER, operation=operation, state="open", count=1, timeout_s=ABORT_S)
        for phase, task in reversed(asked.items()):
            left_ns = time.time_ns()
            task.cancel()
            records = await self._replicas.records(
                account=USER, operation=PHASES[phase], state="aborted", count=1, timeout_s=ABORT_S
            )
            if records[0].aborted is not None:
                results.aborts_ms.setdefault(phase, []).append((records[0].aborted.time_ns - left_ns) / 1e6)

    async def measure_idle(self, subject: Subject) -> Idle:
        """Many accounts, each restored from its state and probed, then left alone; and a start beside their checks."""
        count = self._plan.idle_accounts
        self._say(f"{count} idle accounts")
        async with serving(self._replicas, subject, accounts=count) as server:
            checked = await server.all_ready()
            await server.rest()
            pss = pss_mib(server.pid)
        async with serving(self._replicas, subject, accounts=count) as server:
            cold = await self._cold_start(server)
        return Idle(count, cold, checked, pss)
