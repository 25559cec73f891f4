"""What people and machines read of a run: tables, `benchmarks.json`, and the tables inside `benchmarks.md`."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from relay import __version__
from scripts.benchmarks.decide import SIZE, TARGET_MS, Timing
from scripts.benchmarks.figures import KINDS, RIVAL, TARGETS, Figures, checks, shown
from scripts.benchmarks.measure import COUNT, GAP_MS, Plan

BEGIN, END = "<!-- figures: written by scripts/bench -->", "<!-- end of figures -->"
TITLES = {
    "fetch-socket": "fetch, socket",
    "fetch-pipe": "fetch, pipe",
    "screen-socket": "screen, socket",
    "screen-pipe": "screen, pipe",
    "dom-socket": "dom, socket",
    "idle": "idle accounts",
}


def _memory_mib() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def circumstances(plan: Plan, load: tuple[float, float, float]) -> dict[str, Any]:
    """When, with what, and on which machine; `load` is the load average before the run."""
    packages = ("playwright", "websockets", "fastapi", "uvicorn", "uvloop", "pydantic", "httpx")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {"relay": __version__, "python": platform.python_version()}
        | {name: version(name) for name in packages},
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "memory_mib": _memory_mib(),
            "system": f"{platform.system()} {platform.release()}",
        },
        "load_average_before": [round(value, 2) for value in load],
        "method": {
            "chunks": COUNT,
            "gap_ms": GAP_MS,
            "repetitions": plan.repeat,
            "first_tokens": plan.first_tokens,
            "idle_accounts": plan.idle_accounts,
        },
    }


def document(
    about: dict[str, Any], straight: Figures, subjects: dict[str, Figures], decisions: Sequence[Timing], raw: object
) -> dict[str, Any]:
    """The whole of `benchmarks.json`: every figure as measured, its difference from straight and its ratio to it."""

    def entry(key: str, value: float) -> dict[str, Any]:
        made: dict[str, Any] = {"title": KINDS[key].title, "unit": KINDS[key].unit, "measured": round(value, 3)}
        if KINDS[key].added and key in straight:
            made["straight"] = round(straight[key], 3)
            made["added"] = round(value - straight[key], 3)
            made["ratio"] = round(value / straight[key], 2)
        return made

    return {
        **about,
        "straight": {key: round(value, 3) for key, value in straight.items()},
        "subjects": {name: {key: entry(key, value) for key, value in got.items()} for name, got in subjects.items()},
        "fastest_known_relay": RIVAL,
        "targets": [
            {
                "subject": check.subject,
                "figure": check.key,
                "value": round(check.value, 3),
                "at_most": check.target,
                "passed": check.passed,
            }
            for check in checks(subjects, straight)
        ],
        "decisions": [
            {
                name: round(value, 3) if isinstance(value, float) else value
                for name, value in dataclasses.asdict(one).items()
            }
            | {"at_most_cpu_ms": TARGET_MS, "passed": one.passed}
            for one in decisions
        ],
        "repetitions": raw,
    }


def number(value: float) -> str:
    """A figure with as many digits as mean something."""
    if value == int(value):
        return str(int(value))
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 1 else f"{value:.2f}"


def _rows(straight: Figures, subjects: dict[str, Figures]) -> list[list[str]]:
    """Figure, straight, each subject (with its target and whether it was reached), fastest known."""
    rows = []
    for key, kind in KINDS.items():
        if not any(key in measured for measured in subjects.values()):
            continue
        cells = [f"{kind.title}{' (added)' if kind.added else ''}, {kind.unit}".rstrip(", ")]
        cells.append(number(straight[key]) if key in straight else "")
        for name, measured in subjects.items():
            value = shown(key, measured, straight)
            target = TARGETS.get(name, {}).get(key)
            if value is None:
                cells.append("")
            elif target is None:
                cells.append(number(value))
            else:
                cells.append(f"{number(value)} {'✓' if value <= target else '✗'} ≤ {number(target)}")
        cells.append(number(RIVAL[key]) if key in RIVAL else "")
        rows.append(cells)
    return rows


def _head(subjects: dict[str, Figures]) -> list[str]:
    return ["figure", "straight", *(TITLES[name] for name in subjects), "fastest known"]


DECISION_HEAD = ["one decision", "CPU, ms", "by the clock, ms", "worst", "chats begun"]


def _decision_rows(decisions: Sequence[Timing]) -> list[list[str]]:
    return [
        [
            one.title,
            f"{number(one.cpu_ms)} {'✓' if one.passed else '✗'} ≤ {number(TARGET_MS)}",
            *(number(one.wall_ms), number(one.worst_ms), str(one.leases)),
        ]
        for one in decisions
    ]


def _print(console: Console, title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    table = Table(title=title)
    for column, name in enumerate(head):
        table.add_column(name, justify="right" if column else "left")
    for row in rows:
        table.add_row(*(f"[green]{c}" if "✓" in c else f"[bold red]{c}" if "✗" in c else c for c in row))
    console.print(table)


def print_tables(
    console: Console, straight: Figures, subjects: dict[str, Figures], decisions: Sequence[Timing]
) -> None:
    """The tables, with each target beside its figure."""
    if subjects:
        title = "added = difference from plain httpx straight to the site, in this run"
        _print(console, title, _head(subjects), _rows(straight, subjects))
    if decisions:
        _print(console, SIZE, DECISION_HEAD, _decision_rows(decisions))
    made = checks(subjects, straight)
    missed = [check for check in made if not check.passed]
    slow = [one for one in decisions if not one.passed]
    count, failed = len(made) + len(decisions), len(missed) + len(slow)
    console.print(f"{count - failed} of {count} targets reached.", style="red" if failed else "green")
    for check in missed:
        title = KINDS[check.key].title
        console.print(f"  {TITLES[check.subject]}: {title} {number(check.value)} > {number(check.target)}")
    for one in slow:
        console.print(f"  decision, {one.title}: {number(one.cpu_ms)} ms > {number(TARGET_MS)}")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows)]


def markdown(
    document: dict[str, Any], straight: Figures, subjects: dict[str, Figures], decisions: Sequence[Timing]
) -> str:
    """The part of `benchmarks.md` that a run writes."""
    machine, versions = document["machine"], document["versions"]
    lines = [
        "![relay beside the fastest relay known](benchmarks.svg)",
        "",
        f"Run of {document['date']} on {machine['cores']} cores ({machine['cpu']}), {machine['memory_mib']} MiB, "
        f"load average before {document['load_average_before'][0]}; Python {versions['python']}, "
        f"Playwright {versions['playwright']}, Chromium {versions.get('chromium', 'unknown')}.",
        "",
    ]
    if subjects:
        lines += _table(_head(subjects), _rows(straight, subjects))
    if decisions:
        lines += ["", f"{SIZE}:", "", *_table(DECISION_HEAD, _decision_rows(decisions))]
    return "\n".join(lines)


def write(folder: Path, document: dict[str, Any], tables: str, chart: str) -> None:
    """`benchmarks.json`, `benchmarks.svg`, and the figures inside `benchmarks.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (folder / "benchmarks.json").write_text(text + "\n", encoding="utf-8")
    (folder / "benchmarks.svg").write_text(chart, encoding="utf-8")
    page = folder / "benchmarks.md"
    old = page.read_text(encoding="utf-8") if page.is_file() else f"{BEGIN}\n{END}\n"
    before, _, rest = old.partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n{tables}\n{END}{after}", encoding="utf-8")
