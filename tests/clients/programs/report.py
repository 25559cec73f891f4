"""The table of docs/clients.md: a row for each program, of its last run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.endurance.report import table

PAGE = Path(__file__).resolve().parents[3] / "docs" / "clients.md"
BEGIN, END = "<!-- the table is written by scripts/clients -->", "<!-- end of the table -->"
HEAD = ("program", "version", "date", "what it did", "requests", "all valid")
_ROW = re.compile(r"^\| (?P<title>[^|]+?) \|.*\|$")


@dataclass(frozen=True)
class Result:
    """One program's run. `date` is a day as YYYY-MM-DD, `requests` how often it asked what."""

    title: str
    version: str
    date: str
    did: str
    requests: Mapping[str, int]
    faults: Sequence[str] = field(default=())
    """What was wrong with answers that it got."""
    failed: str = ""
    """Why it did not do its work."""

    @property
    def holds(self) -> bool:
        """Whether it did its work, and all that it got was valid."""
        return not (self.faults or self.failed)

    def row(self) -> str:
        """Its line of the table."""
        asked = ", ".join(f"{count} × `{what}`" for what, count in sorted(self.requests.items()))
        did = "**failed**" if self.failed else self.did
        cells = (self.title, self.version, self.date, did, asked or "none", "**no**" if self.faults else "yes")
        return table(HEAD, [cells]).splitlines()[-1]


def with_rows(page: str, results: Sequence[Result], order: Sequence[str]) -> str:
    """The page with these results' rows in its table; others stay. Raises ValueError where there is no table."""
    before, begun, rest = page.partition(BEGIN)
    old, ended, after = rest.partition(END)
    if not (begun and ended):
        raise ValueError(f"the page has no {BEGIN} … {END}")
    rows = {found["title"]: line for line in old.splitlines() if (found := _ROW.match(line))}
    rows |= {result.title: result.row() for result in results}
    head = table(HEAD, []).splitlines()
    lines = [*head, *(rows[title] for title in order if title in rows)]
    return f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}"
