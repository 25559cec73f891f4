"""What the endurance runs call foreign, lost, twice, leaked and grown: pure judgement, without a server."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from scripts.benchmarks.processes import Shares
from tests.endurance.caller import Outcome, dishonest, take
from tests.endurance.dialogues import (
    Asked,
    Delivery,
    Dialogue,
    Said,
    continued,
    delivery_faults,
    fault_of,
    planned,
)
from tests.endurance.ground import logged_errors
from tests.endurance.processes import Footprint, grown
from tests.endurance.report import Result, chart, replaced, slope, table, write

A, B, C = "mk00000000000a", "mk00000000000b", "mk00000000000c"
FILE = "fk00000000000f"
MINE = Dialogue(1, 0, "demo", (Said(A, f"{A}: hi", FILE), Said(B, f"{B}: more")), stream=True)
THEIRS = Dialogue(2, 1, "demo", (Said(C, f"{C}: hi"),), stream=True)


def answered(dialogue: Dialogue, turn: int, text: str) -> Asked:
    return Asked(dialogue, turn, Outcome("r", "demo", 200, text, finish="stop", done=True))


def refused(dialogue: Dialogue, turn: int) -> Asked:
    return Asked(dialogue, turn, Outcome("r", "demo", 502, code="browser_fault", message="it died"))


def chunk(**choice: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "conversation_id": "c", "choices": [{"index": 0, "delta": {}, **choice}]}


ERROR = {"error": {"message": "it died", "type": "server_error", "param": None, "code": "browser_fault"}}


@pytest.mark.parametrize(
    ("records", "done", "stream", "status", "says"),
    [
        ([chunk(delta={"content": "hi"}), chunk(finish_reason="stop")], True, True, 200, ""),
        ([chunk(delta={"content": "hi"}), chunk(finish_reason="stop")], False, True, 200, "without its end mark"),
        ([chunk(delta={"content": "hi"})], True, True, 200, "without finish_reason"),
        ([chunk(delta={"content": "hi"}), ERROR], False, True, 200, ""),
        ([ERROR, chunk(delta={"content": "hi"})], False, True, 200, "not one at the end"),
        ([ERROR, ERROR], False, True, 200, "2 errors"),
        ([chunk(finish_reason="stop"), ERROR], False, True, 200, "after finish_reason"),
        ([ERROR], True, False, 502, ""),
        ([ERROR], True, False, 200, "with HTTP 200"),
        ([ERROR], True, False, 429, "Retry-After"),
    ],
)
def test_an_ending_is_an_answer_or_one_error(
    records: list[dict[str, Any]], done: bool, stream: bool, status: int, says: str
) -> None:
    outcome = Outcome("r", "demo", status, done=done)
    for record in records:
        take(outcome, record)
    found = dishonest(outcome, stream=stream)
    assert says in found
    assert bool(says) == bool(found)


def test_an_error_without_a_code_is_none_of_openais() -> None:
    with pytest.raises(ValueError, match="not OpenAI's"):
        take(Outcome("r", "demo"), {"error": {"message": "hm", "type": "x", "param": None, "code": ""}})
    with pytest.raises(ValueError, match="not OpenAI's"):
        take(Outcome("r", "demo"), {"error": {"message": "hm"}})


def test_marks_tell_whose_an_answer_is() -> None:
    assert fault_of(answered(MINE, 0, f"{A} {FILE}")) == ""
    assert fault_of(answered(MINE, 1, f"{A} {B}")) == "", "a file of an earlier turn need not be repeated"
    assert fault_of(answered(MINE, 1, f"{A} {FILE} {B}")) == "", "but may be"
    assert "missing" in fault_of(answered(MINE, 1, B))
    assert "missing" in fault_of(answered(MINE, 0, A))
    assert "FOREIGN" in fault_of(answered(MINE, 1, f"{A} {B} {C}"))
    assert fault_of(refused(MINE, 0)) == ""
    leaking = refused(THEIRS, 0)
    leaking.outcome.message = f"it died while answering {A}"
    assert "FOREIGN" in fault_of(leaking)


def test_a_prompt_arrives_once() -> None:
    asked = [answered(MINE, 0, ""), answered(MINE, 1, ""), refused(THEIRS, 0)]
    first, second = Delivery("demo", "u", "1", A, (FILE,)), Delivery("demo", "u", "1", f"{A} said {A}, {B}")
    theirs = Delivery("demo", "u", "2", C)
    probe = Delivery("demo", "u", "3", "hi")
    assert delivery_faults(asked, [first, second, theirs, probe]) == []
    assert delivery_faults(asked, [first, second]) == [], "what failed may not have arrived"
    assert "arrived 0 times" in delivery_faults(asked, [first])[0]
    assert "arrived 2 times" in delivery_faults(asked, [first, first, second])[0]
    assert "arrived 2 times" in delivery_faults(asked, [first, second, theirs, theirs])[0]
    mixed = Delivery("demo", "u", "4", f"{C} {B}")
    assert "several dialogues" in delivery_faults(asked, [first, mixed])[0]
    assert continued([first, second, theirs, probe]) == 1


def test_a_conversation_belongs_to_one_dialogue() -> None:
    twin = Dialogue(3, 1, "demo", (MINE.turns[0], Said(C, C)), stream=True)
    asked = [answered(one, turn, "") for one in (MINE, twin) for turn in (0, 1)]
    mine = [Delivery("demo", "u", "1", A), Delivery("demo", "u", "1", B)]
    assert delivery_faults(asked, [*mine, Delivery("demo", "u", "2", A), Delivery("demo", "u", "2", C)]) == []
    shared = [*mine, Delivery("demo", "u", "2", A), Delivery("demo", "u", "1", C)]
    assert [fault for fault in delivery_faults(asked, shared) if "conversation" in fault]


def test_the_plan_has_what_it_should() -> None:
    made = list(itertools.islice(planned(7, 20, ["demo", "kimi", "gradio"]), 600))
    assert made == list(itertools.islice(planned(7, 20, ["demo", "kimi", "gradio"]), 600))
    assert {one.caller for one in made} == set(range(20))
    assert {one.site for one in made} == {"demo", "kimi", "gradio"}
    assert {len(one.turns) for one in made} == {1, 2, 3, 4}
    assert all(one.site == "demo" for one in made if any(turn.file for turn in one.turns))
    assert 0.05 < sum(any(turn.file for turn in one.turns) for one in made) / len(made) < 0.2
    openings: dict[str, list[Dialogue]] = {}
    for one in made:
        openings.setdefault(one.turns[0].text, []).append(one)
    twins = [group for group in openings.values() if len(group) == 2]
    assert twins
    for left, right in twins:
        assert left.caller != right.caller
        assert left.turns[1].mark != right.turns[1].mark


def test_kinds_of_logged_errors_are_counted() -> None:
    head = "2026-01-01 00:00:00.000"
    log = (
        f"{head} INFO    - relay.x fine\n"
        f"{head} ERROR   endure-0123456789abcdef relay.pool a chat failed after 12 ms: KeyError: 'x' [a.py:3]\n"
        f"{head} ERROR   endure-fedcba9876543210 relay.pool a chat failed after 7 ms: KeyError: 'x' [a.py:3]\n"
        f"{head} ERROR   - relay.pool saving failed: OSError: no [b.py:4]\n"
    )
    kinds = logged_errors(log)
    assert [kind.partition(" ")[0] for kind in kinds] == ["2", "1"]
    assert "endure-0123456789abcdef" in kinds[0]
    assert "KeyError" in kinds[0]


def footprint(tabs: int = 4, descriptors: int = 50, **processes: int) -> Footprint:
    return Footprint({"browser": 1, "renderer": tabs + 1, **processes}, descriptors, 30, Shares(400, 50, 50), tabs)


def test_leaks_are_what_there_is_more_of() -> None:
    before = footprint()
    assert grown(before, footprint()) == []
    assert grown(before, footprint(tabs=2)) == []
    assert grown(before, footprint(tabs=5)) == ["5 pages, before 4"]
    assert grown(before, footprint(renderer=9)) == ["9 renderers for 4 pages"]
    assert grown(before, footprint(browser=2)) == ["2 browser processes, before 1"]
    assert grown(before, footprint(descriptors=51)) == ["51 descriptors of relay, before 50"]


def test_the_slope_is_the_least_squares_line() -> None:
    assert slope([(0, 100), (10, 105), (20, 110)]) == pytest.approx(0.5)
    assert slope([(0, 1), (1, 3), (2, 2)]) == pytest.approx(0.5)
    assert (slope([]), slope([(3, 5)])) == (0, 0)


def test_the_chart_has_a_bar_for_each_part_of_the_time() -> None:
    bars = [
        line for line in chart([(n / 6, 100 + n) for n in range(61)], unit="MiB", rows=5).splitlines() if "█" in line
    ]
    assert len(bars) == 5
    assert bars[0].startswith("   0.0 min")
    assert bars[-1].count("█") > bars[0].count("█")
    assert "MiB" in chart([(0.1, 5)], unit="MiB")


def test_a_section_replaces_itself_only(tmp_path: Any) -> None:
    page = tmp_path / "endurance.md"
    mark, end = "<!-- load: written by scripts/endure -->", "<!-- end of load -->"
    page.write_text(f"# Endurance\n\nWords.\n\n## Load\n\n{mark}\nstale\n{end}\n\nAfter.\n")
    result = Result("load", "scripts/endure load")
    result.check("all | whole", "100 \\1 of 100", True)
    write(result, page)
    said = page.read_text()
    assert said.startswith("# Endurance\n\nWords.\n\n## Load\n")
    assert said.endswith("<!-- end of load -->\n\nAfter.\n")
    assert "stale" not in said
    assert "| all \\| whole | 100 \\1 of 100 | yes |" in said
    other = Result("soak", "scripts/endure soak")
    other.none("leaks", ["two", "three"])
    assert (result.holds, other.holds) == (True, False)
    write(other, page)
    assert said.rstrip() in page.read_text()
    assert "| leaks | 2 | **NO** |" in page.read_text()
    assert replaced(page.read_text(), "soak", "x\n").count("## Soak") == 1


def test_a_table_is_markdown() -> None:
    assert table(["a", "b"], [[1, "x\ny"]]) == "| a | b |\n| --- | --- |\n| 1 | x y |"
