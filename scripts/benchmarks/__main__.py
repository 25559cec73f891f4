"""`scripts/bench`: one run, and what comes of it."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from scripts.benchmarks import chart, decide, report
from scripts.benchmarks.bed import TOKEN_TTL_S, USER, Subject
from scripts.benchmarks.client import BenchError, Straight
from scripts.benchmarks.figures import Figures, checks, figures_of, idle_figures
from scripts.benchmarks.measure import Bench, Plan, Results
from tests.replicas import Replicas
from tests.replicas.kimi import login

SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject("fetch", True),
        Subject("fetch", False),
        Subject("screen", True),
        Subject("screen", False),
        Subject("dom", True),
    )
}
COLD = ("fetch-socket", "fetch-pipe")
"""Whose start is measured."""
IDLE = "idle"
DECIDE = "decide"
RUN_S = 1500.0
QUICK = Plan(repeat=2, first_tokens=5, idle_accounts=12, widths=(1, 8))
ROOT = Path(__file__).resolve().parents[2]
BUSY = 0.5


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    names = [*SUBJECTS, IDLE, DECIDE]
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=f"one of {', '.join(names)}")
    parser.add_argument("--repeat", type=int, default=5, metavar="N", help="repetitions of everything (5)")
    parser.add_argument("--quick", action="store_true", help="few repetitions, to try this script itself")
    parser.add_argument("--out", type=Path, help="where the results go (docs/ for a whole run, else nowhere)")
    options = parser.parse_args(given)
    if options.repeat < 1:
        parser.error("--repeat must be at least 1")
    return options


def plan_of(options: argparse.Namespace) -> Plan:
    """How much is measured."""
    return QUICK if options.quick else Plan(repeat=options.repeat, first_tokens=2 * options.repeat)


def raw_of(every: list[Results]) -> dict[str, Any]:
    """Each repetition by itself, for who wants to see the spread."""
    return {
        results.name: {
            "first_tokens_ms": [round(value, 2) for value in results.first_tokens_ms],
            "aborts_ms": {phase: [round(value, 2) for value in values] for phase, values in results.aborts_ms.items()},
            "cold_starts_s": [round(value, 2) for value in results.cold_starts_s],
            "rounds": [
                {"width": made.width, "faults": made.faults}
                | {"first_tokens_ms": [round(reading.first_token_ms, 2) for reading in made.readings]}
                for made in results.rounds
            ],
        }
        for results in every
    }


async def run(
    replicas: Replicas, console: Console, plan: Plan, names: list[str]
) -> tuple[list[Results], dict[str, Figures], str]:
    """Measure the subjects by name; what was measured, all figures, and the browser's version."""
    straight = Straight(replicas, login(USER, access_ttl_s=TOKEN_TTL_S))
    bench = Bench(replicas, straight, plan, lambda text: console.print(text, style="dim"))
    chosen = [SUBJECTS[name] for name in names if name in SUBJECTS]
    every: list[Results] = []
    figures: dict[str, Figures] = {}
    for subject in chosen:
        await bench.measure_straight(-(-plan.repeat // len(chosen)))
        results = await bench.measure(subject)
        if subject.name in COLD:
            await bench.measure_cold_starts(subject, results, plan.repeat)
        every.append(results)
        figures[subject.name] = figures_of(results)
    if IDLE in names:
        idle = await bench.measure_idle(SUBJECTS["fetch-socket"])
        figures[IDLE] = idle_figures(idle, figures.get("fetch-socket", {}).get("pss_fresh"))
    await straight.close()
    return [bench.straight, *every], figures, bench.browser


async def main(options: argparse.Namespace) -> int:
    """Run, print, write; the exit status is 1 when a target was missed."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    plan, load = plan_of(options), os.getloadavg()
    if load[0] > BUSY:
        console.print(f"The machine is busy (load average {load[0]:.1f}): times will be too long.", style="yellow")
    names = options.only or [*SUBJECTS, IDLE, DECIDE]
    about = report.circumstances(plan, load)
    every, figures = [Results("straight")], dict[str, Figures]()
    if set(names) - {DECIDE}:
        with Replicas() as replicas:
            async with asyncio.timeout(RUN_S):
                every, figures, about["versions"]["chromium"] = await run(replicas, console, plan, names)
    decisions = decide.measure() if DECIDE in names else []
    straight = figures_of(every[0])
    report.print_tables(console, straight, figures, decisions)
    out = options.out or (None if options.quick or options.only else ROOT / "docs")
    if out is not None:
        made = report.document(about, straight, figures, decisions, raw_of(every))
        note = f"{about['date'][:10]}, {about['machine']['cores']} cores; made by scripts/bench"
        report.write(
            out, made, report.markdown(made, straight, figures, decisions), chart.draw(figures, straight, note)
        )
        console.print(f"written: {out}/benchmarks.json, .svg, .md")
    reached = [one.passed for one in checks(figures, straight)] + [one.passed for one in decisions]
    return 0 if all(reached) else 1


if __name__ == "__main__":
    try:
        sys.exit(asyncio.run(main(arguments())))
    except BenchError as error:
        sys.exit(f"scripts/bench: {error}")
    except TimeoutError:
        sys.exit("scripts/bench: something did not end in its time")
    except KeyboardInterrupt:
        sys.exit(130)
