"""`scripts/sites`: the contract suite, and a page that tells what each case came to at each site by each driver.

The page is drawn from docs/sites.json, which keeps the newest run of each site.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from relay.sites.registry import SITES

HERE = Path(__file__).resolve().parent
DOCS = HERE.parents[1] / "docs"
PAGE, KEPT = DOCS / "sites.md", DOCS / "sites.json"
MARKS = {"passed": "●", "refused": "○", "absent": "·", "failed": "✗"}
IN_ORDER = "in order"

Results = dict[str, dict[str, dict[str, str]]]
"""By site, case and driver: one of `MARKS`."""


class Collector:
    """A pytest plugin that keeps what each case came to; with several workers it sits in the first process."""

    def __init__(self) -> None:
        self.found: Results = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """One phase of a test: what fails in any is a failure."""
        told: dict[str, Any] = dict(report.user_properties)
        if "case" not in told or (report.when != "teardown" and not report.failed):
            return
        cases = self.found.setdefault(told["site"], {})
        drivers = cases.setdefault(told["case"], {})
        result = "failed" if report.failed else str(told.get("result", "passed"))
        if drivers.get(told["driver"]) != "failed":
            drivers[told["driver"]] = result


def main() -> None:
    """Entry point; exit status 1 where a case failed."""
    parser = argparse.ArgumentParser(prog="scripts/sites", description=__doc__)
    parser.add_argument("--only", action="append", choices=SITES, metavar="SITE", help="one site; may be repeated")
    parser.add_argument("--workers", type=int, default=4, help="servers tested beside each other (4)")
    parser.add_argument("--no-page", action="store_true", help="do not write docs/sites.md")
    arguments = parser.parse_args()
    chosen = arguments.only or list(SITES)
    files = sorted(str(file) for file in HERE.glob("test_*.py"))
    os.environ["RELAY_CONTRACT_SITES"] = ",".join(chosen)
    workers = ["-n", str(arguments.workers), "--dist", "loadgroup", "--no-loadscope-reorder"]
    collector = Collector()
    spread = workers if arguments.workers > 1 else ["-n", "0"]
    status = pytest.main([*files, "-m", "", *spread], [collector])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        sys.exit(int(status))
    if not arguments.no_page:
        kept = json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}
        today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
        kept |= {site: {"date": today, "cases": cases} for site, cases in collector.found.items()}
        kept = {site: kept[site] for site in SITES if site in kept}
        KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False, sort_keys=True) + "\n", "utf-8")
        PAGE.write_text(page(kept), "utf-8")
        print(f"written: {KEPT} and {PAGE}")
    sys.exit(int(status))


def page(kept: dict[str, Any]) -> str:
    """docs/sites.md."""
    cases = sorted({case for site in kept.values() for case in site["cases"]})
    lines = [
        "# Sites",
        "",
        "Written by `scripts/sites`, which runs the contract suite (`tests/sites`): every case through `relay serve`, "
        "a real Chromium and the `openai` SDK, with one driver forced. `demo` is its own code, `gradio` the real "
        "package; the others are strict local replicas, written from what is known of the sites. What a replica cannot "
        "show is whether the live site still is so: `relay doctor SITE` ([doctor.md](doctor.md)).",
        "",
        f"{MARKS['passed']} passed, {MARKS['refused']} the site declares that it cannot, and it was refused clearly "
        f"(or done the way that is left), {MARKS['absent']} there is nothing of the kind to try, "
        f"{MARKS['failed']} failed.",
        "",
        "| site | drivers | passed | refused as declared | nothing to try | failed | evidence | seen live | run |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_row(site, kept.get(site)) for site in SITES),
        "",
        "## Cases",
        "",
        "The marks of a site stand in the order of its drivers above; of cases with all drivers at once there is one.",
        "",
        "| case | " + " | ".join(SITES) + " |",
        "| --- |" + " --- |" * len(SITES),
        *(f"| {case} | " + " | ".join(_marks(site, case, kept.get(site)) for site in SITES) + " |" for case in cases),
        "",
    ]
    return "\n".join(lines)


def _row(site: str, run: dict[str, Any] | None) -> str:
    kind = SITES[site]
    results = [result for drivers in run["cases"].values() for result in drivers.values()] if run else []
    counts = [str(results.count(result)) if run else "–" for result in MARKS]
    drivers = ", ".join(f"`{driver}`" for driver in kind.drivers)
    cells = [f"`{site}`", drivers, *counts, kind.evidence or "–", "yes" if kind.seen_live else "no"]
    return "| " + " | ".join([*cells, run["date"] if run else "–"]) + " |"


def _marks(site: str, case: str, run: dict[str, Any] | None) -> str:
    found = run["cases"].get(case, {}) if run else {}
    order = [*SITES[site].drivers, IN_ORDER]
    return " ".join(MARKS[found[driver]] for driver in order if driver in found)


if __name__ == "__main__":
    main()
