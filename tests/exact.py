"""`scripts/exact`: many answers by every driver of every site, and a page that tells how many arrived exactly."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import platform
import random
import sys
import time
from pathlib import Path

from tests.e2e.world import GRADIO, PAIRS, World
from tests.exactness import ALTERED, AT_LARGEST, EXCEPTED, LARGEST_BYTES, Outcome, cases, run

PAGE = Path(__file__).parent.parent / "docs" / "exactness.md"


def main() -> None:
    """Entry point; exit status 1 where an answer was not exact."""
    parser = argparse.ArgumentParser(prog="scripts/exact", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="answers per site and driver (200)")
    parser.add_argument("--seed", type=int, help="of an earlier run, to repeat it")
    parser.add_argument("--only", action="append", metavar="SITE:DRIVER", help="one pair; may be repeated")
    parser.add_argument("--largest", type=int, default=LARGEST_BYTES, help="bytes of the largest answers (1 MB)")
    parser.add_argument("--no-page", action="store_true", help="do not write docs/exactness.md")
    arguments = parser.parse_args()
    names = {f"{site}:{driver}": (site, driver) for site, driver in PAIRS}
    if unknown := set(arguments.only or ()) - names.keys():
        parser.error(f"unknown: {', '.join(unknown)}. There are: {', '.join(names)}")
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**9)
    pairs = [names[name] for name in arguments.only or names]
    print(f"seed {seed}, {arguments.count} answers a pair", flush=True)
    outcomes = asyncio.run(measure(pairs, seed, arguments.count, arguments.largest))
    if not arguments.no_page:
        PAGE.write_text(page(outcomes, seed, arguments.largest), "utf-8")
        print(f"written: {PAGE}")
    sys.exit(any(outcome.failures for outcome in outcomes))


async def measure(pairs: list[tuple[str, str]], seed: int, count: int, largest_bytes: int) -> list[Outcome]:
    """All pairs, one after the other; a line each as it is done."""
    outcomes = []
    with World(first_byte_s=300, idle_s=300) as world:
        for site, driver in pairs:
            wanted = cases(site, driver, seed, count, largest_bytes=largest_bytes)
            began = time.monotonic()
            outcome = await run(world, site, driver, wanted, told=lambda line: print(f"  {line}", flush=True))
            took_s = time.monotonic() - began
            print(
                f"{site + ':' + driver:<20} {outcome.exact:>4} of {outcome.count} exact, "
                f"{outcome.total_bytes / 1e6:.1f} MB in {took_s:.0f} s",
                flush=True,
            )
            outcomes.append(outcome)
    return outcomes


def page(outcomes: list[Outcome], seed: int, largest_bytes: int) -> str:
    """docs/exactness.md."""
    rows = [
        f"| {one.site} | `{one.driver}` | {one.exact} of {one.count} | {one.total_bytes / 1e6:.1f} | "
        f"{', '.join(f'`{name}`' for name in EXCEPTED.get((one.site, one.driver), {})) or '–'} |"
        for one in outcomes
    ]
    failures = [f"- `{one.site}:{one.driver}` {failure}" for one in outcomes for failure in one.failures]
    excepted = [
        f"- `{site}:{driver}`, `{name}`: {why}."
        for (site, driver), names in EXCEPTED.items()
        for name, why in names.items()
    ]
    altered = [f"- `{site}:{driver}`: {how}." for (site, driver), how in ALTERED.items()]
    lines = [
        "# Exactness",
        "",
        "Written by `scripts/exact`. Answers made from a seed (English, Chinese, emoji, code, tables, lists, links, "
        f"maths), 1 byte to {largest_bytes:,} bytes, log-uniform, {AT_LARGEST} a pair of the largest size; the site's "
        "bytes are cut at random; half of the answers are asked for as a stream, half whole, with the `openai` SDK "
        "through `relay serve`. They must arrive byte by byte; by `dom`, which reads the rendered page, in the "
        "canonical form of `tests/corpus.py`.",
        "",
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, seed `{seed}`, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, Gradio {GRADIO}; Kimi is the replica of `tests/replicas`. "
        f"To repeat: `scripts/exact --seed {seed} --count {max((one.count for one in outcomes), default=0)}`.",
        "",
        "| site | driver | exact | MB | excepted constructs |",
        "| --- | --- | --- | --- | --- |",
        *rows,
        "",
        "## Failures",
        "",
        *(failures or ["None."]),
        "",
        "## Excepted, by name",
        "",
        "What these pages do not show cannot be read from them; the other drivers of the site give it.",
        "",
        *excepted,
        "",
        "## Altered by the site",
        "",
        *altered,
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
