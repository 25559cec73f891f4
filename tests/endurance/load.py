"""Load: many slow streams at once, what they cost, what is left of it; and a burst against a full queue."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.benchmarks.bed import expected_text, scenario
from scripts.benchmarks.client import MARK, BenchError, Endpoint, Reading, Relay, Straight
from scripts.benchmarks.figures import DROPPED, quantile
from tests.e2e.relay_server import RelayServer
from tests.endurance.caller import Caller, Outcome
from tests.endurance.crowd import Told
from tests.endurance.ground import TOKEN_TTL_S, Ground, serving
from tests.endurance.processes import Census, Footprint, Stopwatch
from tests.endurance.pulse import Pulse
from tests.endurance.report import Result, table
from tests.replicas.kimi import login

GAP_MS = 200.0
"""Five chunks a second."""
HOLD_MS = 10_000.0
"""How long a warm-up answer keeps its page busy, so that the next one opens another."""
WARM_ROUNDS = 12
MOST_DELAY_MS = 100.0
MOST_LAG_MS = 100.0
MOST_GROWTH = 1.05
"""The tree may take so much of what it took before, with the same pages open, once it is at rest again."""
WAITING = 50
BURST_S = 180.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much load."""

    streams: int = 100
    accounts: int = 20
    seconds: float = 30
    burst: int = 600

    @property
    def limit(self) -> int:
        """Chats at once of one account."""
        return -(-self.streams // self.accounts)

    @property
    def chunks(self) -> int:
        """Of one stream."""
        return max(int(self.seconds * 1000 / GAP_MS), DROPPED + 2)


@dataclass(slots=True)
class Round:
    """Streams that ran at once."""

    readings: list[Reading]
    errors: list[str]
    took_s: float

    def delays_ms(self) -> list[float]:
        """Of each piece, from the site's write to its reading here; without the first of each stream."""
        return [delay for reading in self.readings for delay in reading.delays_ms[DROPPED:]]

    def first_ms(self) -> list[float]:
        """Of the first pieces, which meet everybody's start."""
        return [delay for reading in self.readings for delay in reading.delays_ms[:DROPPED]]


async def run(ground: Ground, size: Size, paths: Sequence[str], told: Told) -> Result:
    """The load by each byte path (`socket`, `pipe`), and the burst on the last server."""
    again = f"scripts/endure load --streams {size.streams} --accounts {size.accounts} --seconds {size.seconds:g}"
    result = Result("load", f"{again} --burst {size.burst}")
    told(f"straight: {size.streams} streams")
    straight = Straight(ground.replicas, login("straight", access_ttl_s=TOKEN_TTL_S))
    await _play(ground, size.chunks, GAP_MS)
    plain = await _round(straight, size.streams)
    await straight.close()
    rows = [_row("straight", plain, size, [], None)]
    for path in paths:
        await _path(ground, size, path, plain, result, rows, told, burst=size.burst if path == paths[-1] else 0)
    head = ["way", "whole", "delay p50, ms", "p99", "max", "first pieces p50", "max", "ping p50, ms", "p99", "max"]
    result.notes.append(table([*head, "PSS before, MiB", "after"], rows))
    result.notes.append(
        f"{size.streams} streams at once of {size.chunks} chunks, 5 a second, over {size.accounts} accounts at the "
        f"Kimi replica by fetch. Delay: from the site's write to the client's reading, without the first {DROPPED} "
        "pieces of each stream, which are “first pieces”. “straight” asks the site without a relay. Ping: `GET /ping` "
        "during the streams from a quiet process, an upper bound of the event loop's lag. PSS: the whole process tree "
        "at rest."
    )
    return result


async def _play(ground: Ground, count: int, gap_ms: float) -> None:
    await ground.replicas.play("kimi", "*", scenario(count, gap_ms))


async def _round(endpoint: Endpoint, width: int) -> Round:
    watch = Stopwatch()
    ended = await asyncio.gather(*(endpoint.ask() for _ in range(width)), return_exceptions=True)
    readings = [one for one in ended if isinstance(one, Reading)]
    return Round(readings, [repr(one) for one in ended if not isinstance(one, Reading)], watch.s)


def _row(
    name: str, made: Round, size: Size, pings_ms: list[float], memory: tuple[Footprint, Footprint] | None
) -> list[object]:
    cells: list[object] = [name, f"{sum(not faults_of(one, size) for one in made.readings)} of {size.streams}"]
    for values, shares in ((made.delays_ms(), (0.5, 0.99, 1)), (made.first_ms(), (0.5, 1)), (pings_ms, (0.5, 0.99, 1))):
        cells += [f"{quantile(values, share):.1f}" if values else "" for share in shares]
    return cells + ([f"{one.pss_mib:,.0f} ({one.tabs} pages)" for one in memory] if memory else ["", ""])


def faults_of(reading: Reading, size: Size) -> int:
    """Pieces lost, doubled or out of order; one more where the text is another."""
    text = " ".join(MARK.sub("", reading.text).split())
    return reading.faults(size.chunks) + (text != expected_text(size.chunks).strip())


async def _path(
    ground: Ground,
    size: Size,
    path: str,
    plain: Round,
    result: Result,
    rows: list[list[object]],
    told: Told,
    *,
    burst: int,
) -> None:
    settings = {
        "RELAY_BROWSER__DIRECT_CDP": str(path == "socket").lower(),
        "RELAY_BROWSER__MAX_OPEN_TABS": str(size.streams + 4),
        "RELAY_QUEUE__MAX_WAITING": str(WAITING),
    }
    made_server = ground.crowded({"kimi": size.accounts}, limit=size.limit, settings=settings)
    with serving(made_server, result, path) as server:
        relay, census = Relay(server.url), Census(server)
        await _warm(ground, relay, size, lambda line: told(f"{path}: {line}"))
        await census.rest()
        before = census.footprint(await relay.tabs())
        told(f"{path}: {size.streams} streams; {before.line()}")
        await _play(ground, size.chunks, GAP_MS)
        with Pulse(server.url) as pulse:
            made = await _round(relay, size.streams)
        rested = await census.rest()
        after = census.footprint(await relay.tabs())
        told(f"{path}: done in {made.took_s:.1f} s, {len(made.errors)} errors; {after.line()}")
        if burst:
            await _burst(ground, server, size, burst, result, told)
        await relay.close()
    rows.append(_row(path, made, size, pulse.found_ms, (before, after)))
    _judge(result, path, size, made, plain, pulse.found_ms)
    result.check(f"{path}: the server comes to rest", rested, rested)
    grown = after.pss_mib / before.pss_mib
    result.check(f"{path}: memory afterwards at most {MOST_GROWTH:.2f} of before", f"{grown:.3f}", grown <= MOST_GROWTH)


def _judge(result: Result, path: str, size: Size, made: Round, plain: Round, pings_ms: list[float]) -> None:
    faults = [f"{faults_of(one, size)} pieces wrong" for one in made.readings if faults_of(one, size)]
    result.none(f"{path}: streams that do not arrive whole", [*made.errors, *faults])
    if not made.readings:
        return
    p99_ms = quantile(made.delays_ms(), 0.99)
    added_ms = p99_ms - quantile(plain.delays_ms(), 0.99)
    result.check(
        f"{path}: p99 of the delay at most {MOST_DELAY_MS:g} ms",
        f"{p99_ms:.1f} ms ({added_ms:.1f} more than straight)",
        p99_ms <= MOST_DELAY_MS,
    )
    lag_ms = quantile(pings_ms, 0.99)
    result.check(f"{path}: p99 of a ping at most {MOST_LAG_MS:g} ms", f"{lag_ms:.1f} ms", lag_ms <= MOST_LAG_MS)
    most_s = size.chunks * GAP_MS / 1000
    found = f"{made.took_s:.1f} s for streams of {most_s:.1f} s"
    result.check(f"{path}: all run at once", found, made.took_s < 2 * most_s)


async def _warm(ground: Ground, relay: Relay, size: Size, told: Told) -> None:
    """Open every page before the measurement: answers that hold their pages until the others have theirs."""
    held = 0
    for number in range(WARM_ROUNDS):
        await _play(ground, 2, HOLD_MS)
        made = await _round(relay, size.streams)
        held = await relay.tabs()
        told(f"warm-up {number + 1}: {held} pages, {len(made.errors)} errors, {made.took_s:.0f} s {made.errors[:1]}")
        if held >= size.streams and not made.errors:
            return
    raise BenchError(f"only {held} of {size.streams} pages could be opened")


async def _burst(ground: Ground, server: RelayServer, size: Size, count: int, result: Result, told: Told) -> None:
    """More requests than places and queue together, all at once: each is answered, or refused at once."""
    await _play(ground, 3, 1000)
    async with Caller(server.url, deadline_s=BURST_S) as caller:
        ask = [caller.ask("kimi", [{"role": "user", "content": "hi"}], stream=bool(n % 2)) for n in range(count)]
        ended = await asyncio.gather(*ask)
    endings = Counter(one.code or one.ending for one in ended)
    told(f"burst: {dict(endings)}")
    refused = [one for one in ended if one.code == "queue_full"]
    told_s = sorted({int(one.retry_after) for one in refused if one.retry_after.isdigit()})
    odd = [one for one in ended if one.ending == "broken" or (one.code and one.code != "queue_full")]
    result.none(f"burst of {count}: requests neither answered nor refused with 429", [one.evidence() for one in odd])
    result.none(f"burst of {count}: refusals without a Retry-After", _without(refused))
    places = size.streams + WAITING
    result.check(
        f"burst of {count}: the {places} that fit are answered, the others refused",
        f"{endings['answer']} answered, {len(refused)} refused",
        endings["answer"] >= min(count, places) and endings["answer"] + len(refused) == count,
    )
    slowest_s = max((one.took_s for one in refused), default=0.0)
    result.notes.append(
        f"Burst of {count} against {places} places (`RELAY_QUEUE__MAX_WAITING={WAITING}`): {dict(endings)}; the "
        f"slowest refusal took {slowest_s:.2f} s, the slowest of all {max(one.took_s for one in ended):.1f} s; "
        f"Retry-After {told_s[:1] or '-'} to {told_s[-1:] or '-'} s."
    )


def _without(refused: Sequence[Outcome]) -> list[str]:
    return [one.evidence() for one in refused if one.status == 429 and not one.retry_after.isdigit()]
