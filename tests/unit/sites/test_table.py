"""docs/sites.md lists every site, and is what docs/sites.json says."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from relay.sites.registry import SITES
from tests.sites.table import KEPT, PAGE, Collector, page


def test_every_site_is_listed() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|", PAGE.read_text("utf-8"), re.MULTILINE)
    assert rows == list(SITES), "run scripts/sites --only SITE"


def test_the_page_is_what_was_kept() -> None:
    assert PAGE.read_text("utf-8") == page(json.loads(KEPT.read_text("utf-8"))), "run scripts/sites"


def report(when: Any, outcome: Any, **told: str) -> pytest.TestReport:
    return pytest.TestReport("n", ("f", 1, "n"), {}, outcome, None, when, user_properties=list(told.items()))


def test_what_fails_in_any_phase_has_failed() -> None:
    where = {"site": "demo", "driver": "fetch"}
    collector = Collector()
    for when, outcome, told in (
        ("call", "passed", {**where, "case": "a"}),
        ("teardown", "passed", {**where, "case": "a"}),
        ("call", "failed", {**where, "case": "b"}),
        ("teardown", "passed", {**where, "case": "b", "result": "passed"}),
        ("teardown", "passed", {**where, "case": "c", "result": "refused"}),
        ("teardown", "passed", {"other": "test"}),
    ):
        collector.pytest_runtest_logreport(report(when, outcome, **told))
    assert {case: drivers["fetch"] for case, drivers in collector.found["demo"].items()} == {
        "a": "passed",
        "b": "failed",
        "c": "refused",
    }
    assert page({"demo": {"date": "2026-11-25", "cases": collector.found["demo"]}}).count("| ✗ |") == 1
