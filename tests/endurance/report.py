"""What a run says: checks, tables, a chart of characters, and its own section of docs/endurance.md."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "endurance.md"
BARS = 40
MOST_LINES = 20


@dataclass(frozen=True, slots=True)
class Check:
    """Something that must hold, what was found, and whether it does."""

    what: str
    found: str
    holds: bool


@dataclass
class Result:
    """One run of a sub-command. `again` is the command line that repeats it."""

    name: str
    again: str
    notes: list[str] = field(default_factory=list)
    """Paragraphs and tables, in Markdown."""
    checks: list[Check] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    """Faults and errors, one line each."""

    def __repr__(self) -> str:
        return f"<Result {self.name} {sum(check.holds for check in self.checks)} of {len(self.checks)} hold>"

    @property
    def holds(self) -> bool:
        """Whether everything does."""
        return all(check.holds for check in self.checks)

    def check(self, what: str, found: object, holds: bool) -> None:
        """One more check."""
        self.checks.append(Check(what, str(found), holds))

    def none(self, what: str, faults: Sequence[str]) -> None:
        """A check that there are no such faults; they become evidence."""
        self.check(what, len(faults) or "none", not faults)
        self.evidence += [f"{what}: {fault}" for fault in faults]

    def markdown(self) -> str:
        """The section, without its heading."""
        machine = (
            f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
        )
        rows = [[check.what, check.found, "yes" if check.holds else "**NO**"] for check in self.checks]
        lines = [
            f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {machine}. To repeat: `{self.again}`.",
            "",
            table(["must hold", "found", "holds"], rows),
            "",
        ]
        for note in self.notes:
            lines += [note, ""]
        if self.evidence:
            lines += ["Evidence:", "", *(f"- {one}" for one in self.evidence[:MOST_LINES])]
            if len(self.evidence) > MOST_LINES:
                lines.append(f"- and {len(self.evidence) - MOST_LINES} more")
            lines.append("")
        return "\n".join(lines).rstrip() + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table."""
    cells = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in (head, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], "|" + " --- |" * len(head), *lines[1:]])


def chart(points: Sequence[tuple[float, float]], *, unit: str, rows: int = 20) -> str:
    """Bars of characters: the mean of each of `rows` equal parts of the time (minutes), from zero."""
    first, last = points[0][0], points[-1][0]
    step = (last - first) / rows or 1.0
    groups: dict[int, list[float]] = {}
    for at, value in points:
        groups.setdefault(min(int((at - first) / step), rows - 1), []).append(value)
    most = max(value for _, value in points) or 1.0
    lines = []
    for number, values in sorted(groups.items()):
        mean = sum(values) / len(values)
        lines.append(f"{first + number * step:6.1f} min  {'█' * round(BARS * mean / most):<{BARS}} {mean:,.0f} {unit}")
    return "\n".join(["```text", *lines, "```"])


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line by least squares; 0 for fewer than two moments."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count if count else 0.0
    mean_y = sum(y for _, y in points) / count if count else 0.0
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def replaced(page: str, name: str, text: str) -> str:
    """The page with the section of that name replaced, or added at its end; the other sections are as they were."""
    begin, end = f"<!-- {name}: written by scripts/endure -->", f"<!-- end of {name} -->"
    section = f"{begin}\n{text}{end}"
    found = re.compile(re.escape(begin) + r".*?" + re.escape(end), re.DOTALL)
    if found.search(page):
        return found.sub(lambda _: section, page, count=1)
    return f"{page.rstrip()}\n\n## {name.capitalize()}\n\n{section}\n"


def write(result: Result, page: Path = PAGE) -> None:
    """Put a result in its section of the page."""
    old = page.read_text("utf-8") if page.exists() else "# Endurance\n"
    page.write_text(replaced(old, result.name, result.markdown()), "utf-8")
