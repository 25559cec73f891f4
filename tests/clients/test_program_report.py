"""The table that scripts/clients writes: a run replaces its own row, and says what was wrong."""

from __future__ import annotations

import pytest

from tests.clients.programs.report import BEGIN, END, Result, with_rows

PAGE = f"# Clients\n\n{BEGIN}\n{END}\n\nMore.\n"
ORDER = ("Codex CLI", "aider")


def result(title: str, date: str = "2026-11-25", **changes: object) -> Result:
    """Of a run in which all went well."""
    return Result(title, "1.2", date, "ran a command", {"POST /v1/responses": 2}, **changes)  # type: ignore[arg-type]


def rows(page: str) -> list[str]:
    """The table's, without its head."""
    return page.partition(BEGIN)[2].partition(END)[0].splitlines()[3:]


def test_a_row() -> None:
    page = with_rows(PAGE, [result("Codex CLI")], ORDER)
    assert rows(page) == ["| Codex CLI | 1.2 | 2026-11-25 | ran a command | 2 × `POST /v1/responses` | yes |"]
    assert page.startswith("# Clients\n") and page.endswith(f"{END}\n\nMore.\n")


def test_rows_of_others_stay_and_the_order_is_one() -> None:
    page = with_rows(with_rows(PAGE, [result("aider")], ORDER), [result("Codex CLI")], ORDER)
    again = with_rows(page, [result("aider", "2026-12-01")], ORDER)
    assert [row.split(" | ")[::2][:2] for row in rows(again)] == [
        ["| Codex CLI", "2026-11-25"],
        ["| aider", "2026-12-01"],
    ]


def test_what_went_wrong_is_seen() -> None:
    good, failed, invalid = result("aider"), result("aider", failed="no file"), result("aider", faults=["no id"])
    assert (good.holds, failed.holds, invalid.holds) == (True, False, False)
    assert "| **failed** |" in failed.row()
    assert failed.row().endswith("| yes |")
    assert invalid.row().endswith("| **no** |")


def test_a_page_without_the_table() -> None:
    with pytest.raises(ValueError, match="the page has no"):
        with_rows(f"# Clients\n{BEGIN}\n", [result("aider")], ORDER)
