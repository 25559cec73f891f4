"""All sites: what a chat asks of its site before the first token, what of it was done ahead, and what that saves.

`scripts/bench sites` measures, prints, and writes its section of docs/benchmarks.md. Every site by its
first driver, and by `screen` where it has one: `relay serve` as it is, beside one that does nothing ahead
(`scripts.benchmarks.unprepared`), in turns. The replicas stand in for the sites, beside it and far away: then each of
the site's answers begins `FAR_MS` later. Gradio is a real app, which cannot be put far away.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx

from relay.browser.chromium import Chromium
from relay.settings import BrowserSettings
from relay.sites.deepseek.messages import Challenge
from relay.sites.deepseek.proof import solve
from relay.sites.registry import SITES
from scripts.benchmarks.client import BenchError
from scripts.benchmarks.figures import quantile
from scripts.benchmarks.remote import write_section
from tests.e2e.world import World
from tests.replicas import Answer, Piece, Scenario
from tests.replicas.deepseek.proofs import Proofs
from tests.sites.stage import Stage, opened

ROOT = Path(__file__).resolve().parents[2]
BEGIN, END = "<!-- sites: written by scripts/bench sites -->", "<!-- end of sites -->"
FAR_MS = 100
DIFFICULTY = 144_000
"""The site's own (fact sheet of DeepSeek, section 4)."""
PROOF_TARGET_MS = 1000
ANSWER = [Piece(text=f"piece {number} ", after_ms=100 if number else 0) for number in range(15)]
"""It lasts as a short answer of a model does: some of what is done ahead is done while it comes."""
MODULES = {"ahead": "relay", "nothing ahead": "scripts.benchmarks.unprepared"}


@dataclass
class Way:
    """A site by a driver, with or without what is done ahead, beside it or far away."""

    first_ms: list[float] = field(default_factory=list)
    calls: list[tuple[str, ...]] = field(default_factory=list)
    """Of each chat, what the site was asked between the client's call and its first token."""

    @property
    def p50_ms(self) -> float:
        """Of the first tokens."""
        return quantile(self.first_ms, 0.5)

    @property
    def usual(self) -> str:
        """The calls of most chats."""
        [(calls, _)] = Counter(self.calls).most_common(1)
        return ", ".join(f"{name} ×{count}" if count > 1 else name for name, count in Counter(calls).items())


def pairs() -> list[tuple[str, str]]:
    """Each site with its first driver, and with `screen`."""
    return [(site, driver) for site in SITES for driver in dict.fromkeys((SITES[site].drivers[0], "screen"))]


async def first_token(url: str, model: str) -> int:
    """Ask and read to the end; when the first text came (`time.time_ns()`). Raises BenchError."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "why is the sky blue"}]}
    came = 0
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as client,
        client.stream("POST", "/v1/chat/completions", json=body) as answer,
    ):
        async for line in answer.aiter_lines():
            if not line.startswith("data: {"):
                continue
            chunk = json.loads(line[6:])
            if "error" in chunk:
                raise BenchError(f"{model}: {chunk['error']}")
            came = came or (time.time_ns() if chunk["choices"] and chunk["choices"][0]["delta"].get("content") else 0)
    if not came:
        raise BenchError(f"{model}: HTTP {answer.status_code} without an answer")
    return came


async def measure(world: World, stage: Stage, way: Way, repeat: int, delay_ms: int) -> None:
    """So many chats, with time between them for what is done ahead."""
    await stage.play(Scenario(answer=Answer(pieces=ANSWER), delay_ms=delay_ms))
    for number in range(repeat + 1):
        began = time.time_ns()
        came = await first_token(stage.relay.url, stage.model)
        records = await world.replicas.records(account=stage.account)
        await asyncio.sleep(0.7 + 20 * delay_ms / 1000)
        if number:  # the first finds nothing done ahead
            way.first_ms.append((came - began) / 1e6)
            asked = (one for one in records if began < one.received.time_ns < came)
            way.calls.append(tuple(one.operation or one.path for one in asked))


async def proofs_ms(count: int) -> list[float]:
    """How long DeepSeek's proof of work takes in a page."""
    browser, made = Chromium(BrowserSettings(sandbox=os.geteuid() != 0)), Proofs()
    await browser.start()
    try:
        tab = await (await browser.context()).tab()
        found = []
        for _ in range(count):
            fields = made.challenge("bench", "/api/v0/chat/completion", DIFFICULTY, 300_000).wire()
            challenge = Challenge.model_validate(fields)
            began = time.perf_counter()
            await solve(tab, challenge)
            found.append((time.perf_counter() - began) * 1000)
    finally:
        await browser.stop()
    return found


async def run(chosen: Sequence[tuple[str, str]], repeat: int) -> dict[tuple[str, str, str, int], Way]:
    """Everything, by site, driver, module and delay."""
    ways: dict[tuple[str, str, str, int], Way] = {}
    with World() as world:
        for site, driver in chosen:
            with ExitStack() as stack:
                stages = {
                    name: stack.enter_context(opened(world, site, driver, {"PYTHONPATH": str(ROOT)}, module))
                    for name, module in MODULES.items()
                }
                for delay_ms in (0,) if site == "gradio" else (0, FAR_MS):
                    for name, stage in stages.items():
                        way = ways[site, driver, name, delay_ms] = Way()
                        await measure(world, stage, way, repeat, delay_ms)
                        print(f"{site} {driver}, {name}, {delay_ms} ms away: {way.p50_ms:.0f} ms; {way.usual}")
    return ways


def markdown(ways: dict[tuple[str, str, str, int], Way], solved_ms: list[float], load: float) -> str:
    """The section of docs/benchmarks.md."""
    ahead, none = MODULES
    lines = [
        f"Run of {datetime.now(UTC).isoformat(timespec='seconds')} on {os.cpu_count()} cores, load average before "
        f"{load:.1f}. First token, p50 of {len(next(iter(ways.values())).first_ms)}, ms, from the client's call on. "
        f"Far: each of the site's answers begins {FAR_MS} ms later.",
        "",
        "| site | driver | asked before the first token | asked where nothing was done ahead "
        "| beside it: ahead | nothing ahead | ratio | far: ahead | nothing ahead | ratio |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for site, driver in dict.fromkeys((site, driver) for site, driver, *_ in ways):
        cells = [site, driver, ways[site, driver, ahead, 0].usual or "–", ways[site, driver, none, 0].usual or "–"]
        for delay_ms in (0, FAR_MS):
            if (site, driver, ahead, delay_ms) in ways:
                with_it = ways[site, driver, ahead, delay_ms].p50_ms
                without = ways[site, driver, none, delay_ms].p50_ms
                cells += [f"{with_it:.0f}", f"{without:.0f}", f"{with_it / without:.2f}"]
            else:
                cells += ["–"] * 3
        lines.append(f"| {' | '.join(cells)} |")
    if solved_ms:
        p50, worst = quantile(solved_ms, 0.5), max(solved_ms)
        mark = "✓" if p50 <= PROOF_TARGET_MS else "✗"
        lines += [
            "",
            f"DeepSeek's proof of work at the site's difficulty ({DIFFICULTY:,}), solved in the page, of "
            f"{len(solved_ms)}: p50 {p50:.0f} ms {mark} ≤ {PROOF_TARGET_MS}, worst {worst:.0f} ms.",
        ]
    return "\n".join(lines)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="scripts/bench sites", description=__doc__)
    parser.add_argument("--only", action="append", choices=SITES, metavar="SITE", help="one site; may be repeated")
    parser.add_argument("--repeat", type=int, default=7, help="chats of each way (7)")
    parser.add_argument("--no-write", action="store_true", help="leave docs/benchmarks.md as it is")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    chosen = [pair for pair in pairs() if not options.only or pair[0] in options.only]
    ways = asyncio.run(run(chosen, options.repeat))
    solved_ms = asyncio.run(proofs_ms(10 * options.repeat)) if ("deepseek", "fetch") in chosen else []
    section = markdown(ways, solved_ms, load)
    print(section)
    if not options.no_write and not options.only:
        write_section(section, ROOT / "docs" / "benchmarks.md", BEGIN, END)


if __name__ == "__main__":
    main()
