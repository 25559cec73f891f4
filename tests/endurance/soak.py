"""Soak: mixed load for a long time; the memory of the whole process tree must not grow."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tests.endurance.caller import Caller
from tests.endurance.crowd import Crowd, Told
from tests.endurance.dialogues import planned
from tests.endurance.ground import Ground, serving
from tests.endurance.isolation import KEYS
from tests.endurance.processes import Census, Footprint, Stopwatch, grown
from tests.endurance.report import Result, chart, slope, table

ACCOUNTS = {"demo": 4, "kimi": 4, "gradio": 2}
WIDTH = 6
SAMPLE_S = 10.0
WARM_MIN = 10.0
JUDGED_MIN = 20.0
"""A shorter run tells nothing of a slope."""
MOST_MIB_PER_MIN = 0.5
LEAVE_SHARE = 0.1
DEADLINE_S = 420.0
SETTINGS = {"RELAY_KEEP_CONVERSATIONS_S": "300", "RELAY_KEEPER__DELETE_GAP_S": "0.25"}
"""What is remembered of conversations grows until the first are deleted: here after five minutes, before those that are
judged, in place of an hour. And as many are deleted as begin."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at the tree."""

    minute: float
    footprint: Footprint
    requests: int


async def run(ground: Ground, minutes: float, seed: int, told: Told) -> Result:
    """Dialogues with files and thoughts on all sites, a tenth of the requests left by their client."""
    result = Result("soak", f"scripts/endure soak --minutes {minutes:g} --seed {seed}")
    await ground.kimi_repeats(gap_ms=50)
    with serving(ground.crowded(ACCOUNTS, keys=KEYS, settings=SETTINGS), result) as server:
        crowd = Crowd(
            server.url, KEYS, deadline_s=DEADLINE_S, told=lambda line: None, leave_share=LEAVE_SHARE, seed=seed
        )
        census, samples = Census(server), list[Sample]()
        load = asyncio.create_task(crowd.run(planned(seed, len(KEYS), list(ACCOUNTS)), width=WIDTH))
        async with Caller(server.url, KEYS[0], deadline_s=30) as asking:
            try:
                await _sample(census, asking, crowd, load, minutes, samples, told)
            finally:
                crowd.stop()
                tally = await load
            rested = await census.rest()
            last = census.footprint(await _tabs(asking))
        orphans = [repr(one) for one in census.orphans()]
    told(f"at rest: {last.line()}")
    _judge(result, minutes, samples, told)
    result.none("requests that end in neither an answer nor one honest error, or with wrong marks", tally.faults)
    result.check("the server comes to rest", rested, rested)
    if samples:
        result.none("more of it at rest than in mid-load", grown(_largest(samples), last))
    result.none("processes that lost their parent", orphans)
    result.notes.append(f"{tally.line()}. At rest in the end: {last.line()}.")
    result.evidence += [f"an error: {line}" for line in tally.errors]
    return result


async def _tabs(asking: Caller) -> int:
    return sum(account["tabs"] for account in (await asking.health())["accounts"])


async def _sample(
    census: Census,
    asking: Caller,
    crowd: Crowd,
    load: asyncio.Task[object],
    minutes: float,
    samples: list[Sample],
    told: Told,
) -> None:
    """Look every ten seconds, until the time is over or the load ends by itself."""
    watch = Stopwatch()
    while watch.s < minutes * 60 and not load.done():
        await asyncio.wait([load], timeout=min(SAMPLE_S, minutes * 60 - watch.s))
        footprint = census.footprint(await _tabs(asking))
        samples.append(Sample(watch.s / 60, footprint, crowd.tally.total))
        if len(samples) % 6 == 1:
            told(f"{footprint.line()}; {crowd.tally.line()}")


def _largest(samples: list[Sample]) -> Footprint:
    """The most of everything that was seen under load."""
    prints = [sample.footprint for sample in samples]
    names = {name for one in prints for name in one.processes}
    return Footprint(
        {name: max(one.processes.get(name, 0) for one in prints) for name in names},
        max(one.relay_descriptors for one in prints),
        max(one.driver_descriptors for one in prints),
        max((one.pss for one in prints), key=lambda pss: pss.total),
        max(one.tabs for one in prints),
    )


def _judge(result: Result, minutes: float, samples: list[Sample], told: Told) -> None:
    """The slope, its table and its chart."""
    points = [(sample.minute, sample.footprint.pss_mib) for sample in samples]
    warm = WARM_MIN if minutes >= JUDGED_MIN else minutes / 3
    settled = [point for point in points if point[0] >= warm]
    found = slope(settled)
    told(f"slope after minute {warm:.1f}: {found:+.2f} MiB/min")
    if minutes >= JUDGED_MIN:
        what = f"PSS of the process tree after minute {warm:g} grows by less than {MOST_MIB_PER_MIN:g} MiB/min"
        result.check(what, f"{found:+.2f} MiB/min", found < MOST_MIB_PER_MIN)
    else:
        result.notes.append(f"Slope after minute {warm:.1f}: {found:+.2f} MiB/min; too short a run to judge it.")
    every = max(len(samples) // 12, 1)
    rows = [
        [
            f"{one.minute:.1f}",
            f"{one.footprint.pss_mib:,.0f}",
            *(f"{part:,.0f}" for part in (one.footprint.pss.python, one.footprint.pss.node, one.footprint.pss.browser)),
            one.footprint.tabs,
            *(one.footprint.processes.get("renderer", 0), one.footprint.relay_descriptors, one.requests),
        ]
        for one in samples[every - 1 :: every]
    ]
    head = ["minute", "PSS, MiB", "relay", "driver", "browser", "pages", "renderers", "relay's descriptors", "requests"]
    result.notes.append(table(head, rows))
    if len(points) > 1:
        result.notes.append(chart(points, unit="MiB"))
    result.notes.append(
        f"{WIDTH} dialogues at a time of {len(KEYS)} callers over these accounts: "
        f"{', '.join(f'{count} {site}' for site, count in ACCOUNTS.items())}; by fetch. One request in "
        f"{1 / LEAVE_SHARE:.0f} is left by its client. Conversations are deleted after 300 s (by default an "
        "hour; what the relay remembers of them grows until then, less than 1 KiB each). PSS of the whole process tree "
        f"every {SAMPLE_S:g} s; the slope is the least-squares line's."
    )
