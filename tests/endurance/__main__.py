"""`scripts/endure`: the pool under load, faults and time; each sub-command writes its section of docs/endurance.md."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from tests.endurance import chaos, isolation, load, soak
from tests.endurance.ground import Ground
from tests.endurance.report import PAGE, Result, write

TEACH = """\
isolation  no caller ever gets what is another's; no prompt is lost or runs twice
load       100 streams at once: the delay of each chunk, the memory afterwards; a full queue refuses
chaos      kills, hangs and damages things in mid-load: every request ends honestly, the pool heals, nothing leaks
soak       mixed load for an hour: the memory of the whole process tree must not grow

All sites are local (the demo site, the Kimi replica, a real Gradio app), the relay is a real `relay serve`. A run says
how far it is, and at its end what held; the exit status is 1 where something did not. Run one at a time, on a machine
that does nothing else.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="scripts/endure", description=TEACH, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--seed", type=int, help="of an earlier run, to repeat its choices")
    common.add_argument("--no-page", action="store_true", help="do not write docs/endurance.md")
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    one = commands.add_parser("isolation", parents=[common], help="whose answer reaches whom")
    one.add_argument("--chats", type=int, default=10_000, help="requests (10000)")
    one.add_argument("--no-screen", action="store_true", help="leave out the demo site's screen driver")
    one = commands.add_parser("load", parents=[common], help="100 streams at once, and a full queue")
    one.add_argument("--streams", type=int, default=100, help="at once (100)")
    one.add_argument("--accounts", type=int, default=20, help="that they share (20)")
    one.add_argument("--seconds", type=float, default=30, help="length of each stream (30)")
    one.add_argument("--burst", type=int, default=600, help="requests at once against a short queue (600)")
    one.add_argument("--path", choices=("socket", "pipe", "both"), default="both", help="byte path (both)")
    one = commands.add_parser("chaos", parents=[common], help="faults in mid-load")
    one.add_argument("--rounds", type=int, default=5, help="each fault once a round, in a random order (5)")
    one.add_argument("--only", action="append", choices=chaos.FAULTS, metavar="FAULT", help=", ".join(chaos.FAULTS))
    one = commands.add_parser("soak", parents=[common], help="memory over time")
    one.add_argument("--minutes", type=float, default=60, help="of load (60)")
    return made


def job_of(options: argparse.Namespace, told: Callable[[str], None]) -> Coroutine[Any, Any, Result]:
    """The chosen sub-command."""
    seed: int = options.seed
    match options.command:
        case "isolation":
            return _isolation(options, seed, told)
        case "load":
            paths = ("socket", "pipe") if options.path == "both" else (options.path,)
            size = load.Size(options.streams, options.accounts, options.seconds, options.burst)
            return _load(size, paths, told)
        case "chaos":
            return _chaos(options.rounds, options.only or list(chaos.FAULTS), seed, told)
        case _:
            return _soak(options.minutes, seed, told)


async def _isolation(options: argparse.Namespace, seed: int, told: Callable[[str], None]) -> Result:
    with Ground() as ground:
        return await isolation.run(ground, options.chats, seed, told, screen=not options.no_screen)


async def _load(size: load.Size, paths: tuple[str, ...], told: Callable[[str], None]) -> Result:
    with Ground() as ground:
        return await load.run(ground, size, paths, told)


async def _chaos(rounds: int, faults: list[str], seed: int, told: Callable[[str], None]) -> Result:
    with chaos.ground() as ground:
        return await chaos.run(ground, rounds, faults, seed, told)


async def _soak(minutes: float, seed: int, told: Callable[[str], None]) -> Result:
    with Ground(piece_ms=20) as ground:
        return await soak.run(ground, minutes, seed, told)


def main() -> None:
    """Entry point."""
    options = parser().parse_args()
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10**6)
    began = time.monotonic()

    def told(line: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {line}", flush=True)

    told(f"{options.command}, seed {options.seed}")
    result = asyncio.run(job_of(options, told))
    print(f"\n{result.markdown()}", flush=True)
    if not options.no_page:
        write(result)
        print(f"written: {PAGE}")
    sys.exit(not result.holds)


if __name__ == "__main__":
    main()
