"""Chaos: during steady load things are killed, hung and damaged; every request must end honestly, and the pool heal."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from tests.e2e.relay_server import RelayServer
from tests.endurance.caller import Caller, Outcome
from tests.endurance.crowd import Crowd, Tally, Told
from tests.endurance.dialogues import MODELS, delivery_faults, planned
from tests.endurance.ground import TOKEN_TTL_S, Ground, kimi_names, serving
from tests.endurance.isolation import KEYS
from tests.endurance.processes import Census, Footprint, Stopwatch, grown
from tests.endurance.report import Result, table
from tests.replicas import Answer, Fault, Scenario

ACCOUNTS = {"demo": 4, "kimi": 4, "gradio": 2}
LIMIT = 2
"""Chats at once of one account."""
WIDTH = 14
LEAVE_SHARE = 0.15
FIRST_BYTE_S, IDLE_S, TOTAL_S, WAIT_S = 10, 8, 40, 40
OPEN_S = 30.0
"""What opening a page may take on top of the clocks."""
DEADLINE_S = WAIT_S + OPEN_S + TOTAL_S
DOWN_S = 4.0
CALM_S = (2.0, 5.0)
"""Between two faults."""
HEAL_S = 10.0
GIVEN_UP_S = 90.0
LOOK_S = 0.25
GAP_MS = 150.0


def ground() -> Ground:
    """A ground whose answers take a second or two, with short clocks."""
    return Ground(piece_ms=30, first_byte_s=FIRST_BYTE_S, idle_s=IDLE_S)


class Injector:
    """Does one fault after the other. Only processes below the server, and the sites' own, are touched."""

    def __init__(self, ground: Ground, server: RelayServer, census: Census, dice: random.Random) -> None:
        self._ground, self._server, self._census, self._dice = ground, server, census, dice
        self.done: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Injector {dict(self.done)}>"

    async def inject(self, name: str) -> None:
        """One fault; returns when it is over."""
        await FAULTS[name](self)
        self.done[name] += 1

    async def _victim(self, wanted: str) -> psutil.Process:
        """One of the processes of a role, once there is one. Raises TimeoutError."""
        async with asyncio.timeout(GIVEN_UP_S):
            while not (found := self._census.of(wanted)):  # noqa: ASYNC110 - processes call nobody
                await asyncio.sleep(LOOK_S)
        return self._dice.choice(found)

    async def renderer(self) -> None:
        """A page's process is killed."""
        (await self._victim("renderer")).kill()

    async def browser(self) -> None:
        """The browser is killed."""
        (await self._victim("browser")).kill()

    async def driver(self) -> None:
        """Playwright's own process is killed: no event tells of it."""
        (await self._victim("driver")).kill()

    async def frozen(self) -> None:
        """A page hangs for longer than the idle clock, then goes on."""
        victim = await self._victim("renderer")
        victim.suspend()
        await asyncio.sleep(IDLE_S + 3)
        if victim.is_running():
            victim.resume()

    async def state(self) -> None:
        """An account's saved state is damaged or gone when the browser starts anew; then its owner puts it back."""
        folders = self._server.home / "browser_profiles"
        file = self._dice.choice(sorted([*folders.glob("demo/*/state.json"), *folders.glob("kimi/*/state.json")]))
        kept = file.read_bytes()
        if self._dice.random() < 0.5:
            file.unlink()
        else:
            _replace(file, kept[: len(kept) // 2])
        await self.browser()
        await asyncio.sleep(DOWN_S)
        _replace(file, kept)

    async def refused(self) -> None:
        """The demo site is down: connections are refused."""
        await asyncio.to_thread(self._ground.town.stop)
        await asyncio.sleep(DOWN_S)
        await asyncio.to_thread(self._ground.town.start)

    async def hung(self) -> None:
        """The demo site takes connections and says nothing, for longer than the first-byte clock."""
        self._ground.town.freeze()
        try:
            await asyncio.sleep(FIRST_BYTE_S + 2)
        finally:
            self._ground.town.thaw()

    async def failing(self) -> None:
        """The Kimi replica fails in one of its ways."""
        fault = self._dice.choice(
            [
                Fault(kind="status", status=500),
                Fault(kind="status", status=503),
                Fault(kind="cut", after=2),
                Fault(kind="end", after=2),
                Fault(kind="error", after=1),
                Fault(kind="stall", after=2),
                Fault(kind="stall", after=-1),
                Fault(kind="html"),
            ]
        )
        answer = Answer(echo=True, recall=True, count=8, gap_ms=GAP_MS)
        await self._ground.replicas.play("kimi", "*", Scenario(answer=answer, faults=[fault], access_ttl_s=TOKEN_TTL_S))
        await asyncio.sleep(DOWN_S)
        await self._ground.kimi_repeats(count=8, gap_ms=GAP_MS)


FAULTS: dict[str, Callable[[Injector], Awaitable[None]]] = {
    work.__name__: work
    for work in (
        Injector.renderer,
        Injector.browser,
        Injector.driver,
        Injector.frozen,
        Injector.state,
        Injector.refused,
        Injector.hung,
        Injector.failing,
    )
}


def _replace(file: Path, data: bytes) -> None:
    """As an owner would: whole, and private."""
    fresh = file.with_suffix(".new")
    fresh.touch(0o600)
    fresh.write_bytes(data)
    fresh.replace(file)


async def run(ground: Ground, rounds: int, faults: list[str], seed: int, told: Told) -> Result:
    """Each fault once a round, in a random order, under load; then the healing."""
    names = "".join(f" --only {name}" for name in faults) if len(faults) < len(FAULTS) else ""
    result = Result("chaos", f"scripts/endure chaos --rounds {rounds} --seed {seed}{names}")
    dice = random.Random(seed)
    await ground.kimi_repeats(count=8, gap_ms=GAP_MS)
    places = LIMIT * sum(ACCOUNTS.values())
    settings = {
        "RELAY_CLOCKS__TOTAL_S": str(TOTAL_S),
        "RELAY_QUEUE__MAX_WAIT_S": str(WAIT_S),
        "RELAY_BROWSER__MAX_OPEN_TABS": str(places + 4),
        "RELAY_LOG_LEVEL": "DEBUG",
    }
    with serving(ground.crowded(ACCOUNTS, limit=LIMIT, keys=KEYS, settings=settings), result) as server:
        census = Census(server)
        took_s, missing = await _everyone(ground, server)
        told(f"every account answers after {took_s:.1f} s {sorted(missing) or ''}")
        before, _ = await _at_rest(server, census)
        told(f"before: {before.line()}")
        injector = Injector(ground, server, census, dice)
        crowd = Crowd(
            server.url, KEYS, deadline_s=DEADLINE_S, told=told, leave_share=LEAVE_SHARE, leave_within_s=2, seed=seed
        )
        load = asyncio.create_task(crowd.run(planned(seed, len(KEYS), list(ACCOUNTS)), width=WIDTH))
        try:
            await _faults(injector, load, rounds, faults, dice, told)
            crowd.stop()
            healed_s, missing = await _everyone(ground, server)
        finally:
            crowd.stop()
            tally = await load
        told(f"healed after {healed_s:.1f} s {sorted(missing) or ''}; {tally.line()}")
        after, status = await _at_rest(server, census)
        told(f"after: {after.line()}")
        orphans = [f"{one}: {' '.join(one.cmdline())[:200]}" for one in census.orphans()]
        deliveries = await ground.deliveries(server, ACCOUNTS)
        for fault in tally.faults:
            told(fault)
    _judge(result, tally, injector, before, after, status)
    result.none("prompts that a site got twice, or mixed with another's", delivery_faults(tally.asked, deliveries))
    result.check(
        f"after the last fault every account answers within {HEAL_S:g} s",
        f"{healed_s:.1f} s" if not missing else f"not {', '.join(sorted(missing))} within {GIVEN_UP_S:g} s",
        not missing and healed_s <= HEAL_S,
    )
    result.none("processes that lost their parent and live on", orphans)
    return result


async def _faults(
    injector: Injector,
    load: asyncio.Task[Tally],
    rounds: int,
    faults: list[str],
    dice: random.Random,
    told: Told,
) -> None:
    """The rounds. Between two faults the load goes on in peace for a moment."""
    for number in range(rounds):
        for name in dice.sample(faults, len(faults)):
            await asyncio.wait([load], timeout=dice.uniform(*CALM_S))
            told(f"round {number + 1} of {rounds}: {name}")
            await injector.inject(name)


def _judge(
    result: Result, tally: Tally, injector: Injector, before: Footprint, after: Footprint, status: dict[str, object]
) -> None:
    foreign = [fault for fault in tally.faults if "FOREIGN" in fault]
    result.none("another caller's mark in an answer", foreign)
    others = [fault for fault in tally.faults if fault not in foreign]
    result.none(f"requests that end in neither a full answer nor one honest error within {DEADLINE_S:g} s", others)
    unforeseen = sum(count for (_, named), count in tally.by_site.items() if named == "internal_error")
    result.check("unforeseen errors (internal_error)", unforeseen, not unforeseen)
    result.none("leaks: more than before, at rest", grown(before, after))
    idle = (status["running"], status["waiting"])
    result.check("nothing runs or waits afterwards", f"{idle[0]} running, {idle[1]} waiting", idle == (0, 0))
    accounts = status["accounts"]
    assert isinstance(accounts, list)
    odd = [f"{one['site']}/{one['account']} is {one['state']}: {one['why']}" for one in accounts if _odd(one)]
    result.none("accounts that are not ready afterwards", odd)
    result.notes.append(table(["fault", "times"], [[name, count] for name, count in injector.done.items()]))
    codes = Counter(
        {(site, named): count for (site, named), count in tally.by_site.items() if named not in ("answer", "left")}
    )
    rows = [[site, named, count] for (site, named), count in codes.most_common()]
    result.notes.append(f"{tally.line()}; the longest took {tally.longest_s:.1f} s.")
    if rows:
        result.notes.append(table(["site", "error", "times"], rows))
    result.notes.append(f"Before: {before.line()}. After: {after.line()}.")
    result.evidence += [f"an error: {line}" for line in tally.errors]


def _odd(account: dict[str, object]) -> bool:
    return account["state"] not in ("ready", "busy") or bool(account["chats"])


async def _everyone(ground: Ground, server: RelayServer) -> tuple[float, set[str]]:
    """`Healing.everyone`, by a client of its own: none of its connections is there afterwards."""
    async with Caller(server.url, KEYS[0], deadline_s=DEADLINE_S) as asking:
        return await Healing(ground, server, asking).everyone()


async def _at_rest(server: RelayServer, census: Census) -> tuple[Footprint, dict[str, object]]:
    """What the tree takes once nothing runs any more, and `/health`. The server does not tell, it must be asked."""
    async with Caller(server.url, KEYS[0], deadline_s=DEADLINE_S) as asking:
        async with asyncio.timeout(GIVEN_UP_S):
            while (status := await asking.health())["running"] or status["waiting"]:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)
        await census.rest()
        status = await asking.health()
        return census.footprint(sum(account["tabs"] for account in status["accounts"])), status


class Healing:
    """Finds out when every account answers, by asking for as many chats at once as all of them take."""

    def __init__(self, ground: Ground, server: RelayServer, asking: Caller) -> None:
        self._ground, self._server, self._asking = ground, server, asking
        self._apps: set[str] = set()

    async def everyone(self) -> tuple[float, set[str]]:
        """Seconds until each account has answered a chat of after now, and those that did not in GIVEN_UP_S."""
        self._apps.clear()
        since_ns, watch = time.time_ns(), Stopwatch()
        wanted = {f"demo/user-{number}" for number in range(ACCOUNTS["demo"])}
        wanted |= {f"kimi/{name}" for name in kimi_names(self._server.home.name, ACCOUNTS["kimi"])}
        wanted |= {f"gradio/app-{number}" for number in range(ACCOUNTS["gradio"])}
        models = [model for site in ("demo", "kimi") for model in [MODELS[site]] * (ACCOUNTS[site] * LIMIT)]
        models += [f"gradio/app-{number}" for number in range(ACCOUNTS["gradio"])] * LIMIT
        asks = [asyncio.create_task(self._keep_asking(model)) for model in models]
        try:
            missing = wanted
            while missing and watch.s < GIVEN_UP_S:
                await asyncio.wait(asks, timeout=LOOK_S)
                missing = wanted - await self._answered(since_ns)
            return watch.s, missing
        finally:
            for task in asks:
                task.cancel()
            await asyncio.gather(*asks, return_exceptions=True)

    async def _keep_asking(self, model: str) -> None:
        while True:
            outcome: Outcome = await self._asking.ask(model, [{"role": "user", "content": "Are you there?"}])
            if outcome.ending == "answer" and model.startswith("gradio/"):
                self._apps.add(model)
            if outcome.ending == "error":
                await asyncio.sleep(LOOK_S)

    async def _answered(self, since_ns: int) -> set[str]:
        """The accounts whose site sent a whole answer."""
        found = {f"demo/{one.account}" for one in self._ground.town.deliveries(ended_since_ns=since_ns)}
        for name in kimi_names(self._server.home.name, ACCOUNTS["kimi"]):
            records = await self._ground.replicas.records(account=name, operation="chat", state="finished")
            if any(record.received.time_ns >= since_ns and not record.refused for record in records):
                found.add(f"kimi/{name}")
        return found | self._apps
