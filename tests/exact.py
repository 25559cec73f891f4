"""`scripts/exact`: many answers by every driver of every site, and a page that tells how many arrived exactly.

The page is drawn from docs/exactness.json, which keeps the newest run of each pair.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import platform
import random
import sys
import time
from pathlib import Path
from typing import Any

from tests.e2e.world import GRADIO, PAIRS, World
from tests.exactness import ALTERED, AT_LARGEST, EXCEPTED, LARGEST_BYTES, Outcome, cases, run

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "exactness.md"
KEPT = DOCS / "exactness.json"


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
        kept = {**(json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}), **rows(outcomes, seed)}
        kept = {name: kept[name] for name in names if name in kept}
        KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", "utf-8")
        PAGE.write_text(page(kept, arguments.largest), "utf-8")
        print(f"written: {KEPT} and {PAGE}")
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


def rows(outcomes: list[Outcome], seed: int) -> dict[str, dict[str, Any]]:
    """What is kept of a run, by pair."""
    today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    return {
        f"{one.site}:{one.driver}": {
            "date": today,
            "seed": seed,
            "exact": one.exact,
            "count": one.count,
            "bytes": one.total_bytes,
            "failures": one.failures,
        }
        for one in outcomes
    }


def page(kept: dict[str, dict[str, Any]], largest_bytes: int) -> str:
    """docs/exactness.md."""
    table = []
    for name, one in kept.items():
        site, _, driver = name.partition(":")
        constructs = ", ".join(f"`{construct}`" for construct in EXCEPTED.get((site, driver), {})) or "–"
        table.append(
            f"| {site} | `{driver}` | {one['exact']} of {one['count']} | {one['bytes'] / 1e6:.1f} | {constructs} | "
            f"{one['date']} | {one['seed']} |"
        )
    failures = [f"- `{name}` {failure}" for name, one in kept.items() for failure in one["failures"]]
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
        f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, Gradio {GRADIO}; Kimi is the "
        "replica of `tests/replicas`. To repeat a row: `scripts/exact --only SITE:DRIVER --seed SEED --count COUNT`.",
        "",
        "| site | driver | exact | MB | excepted constructs | day | seed |",
        "| --- | --- | --- | --- | --- | --- | --- |",
        *table,
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
