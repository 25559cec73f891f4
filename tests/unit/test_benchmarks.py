"""The benchmark's own arithmetic: what it calls a delay, a lost chunk, a reached target."""

from __future__ import annotations

import pytest

from scripts.benchmarks import report
from scripts.benchmarks.client import BenchError, ConnectTexts, Reading, SseTexts
from scripts.benchmarks.decide import Timing
from scripts.benchmarks.figures import checks, figures_of, quantile
from scripts.benchmarks.measure import Repetition, Results
from tests.replicas.kimi.frames import END, envelope, error

MS = 1_000_000


def reading(delays_ms: list[int], *, end_ms: int = 0) -> Reading:
    """An answer whose pieces took so long, written 33 ms apart."""
    marks = [(index, index * 33 * MS, (index * 33 + delay) * MS) for index, delay in enumerate(delays_ms)]
    return Reading(asked_ns=-5 * MS, marks=marks, done_ns=marks[-1][1] + end_ms * MS)


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_texts_do_not_depend_on_cuts(size: int) -> None:
    sse = 'data: {"choices":[{"delta":{"content":"⟨0:1⟩ 天"}}]}\n\n: alive\n\ndata: [DONE]\n\n'.encode()
    frames = envelope({"block": {"text": {"content": "⟨0:1⟩ 天"}}}) + envelope({"done": {}}) + END
    for texts, data in ((SseTexts(), sse), (ConnectTexts(), frames)):
        text = "".join(texts.feed(data[at : at + size]) for at in range(0, len(data), size))
        assert (text, texts.done) == ("⟨0:1⟩ 天", True)


def test_errors_are_no_answers() -> None:
    with pytest.raises(BenchError, match="refused"):
        ConnectTexts().feed(error("internal", "no"))
    with pytest.raises(BenchError, match="failed"):
        SseTexts().feed(b'data: {"error":{"code":"answer_cut"}}\n\n')


@pytest.mark.parametrize(
    ("indexes", "faults"), [([0, 1, 2, 3], 0), ([0, 2, 1, 3], 2), ([0, 1, 2], 1), ([0, 1, 2, 3, 3], 1), ([], 4)]
)
def test_lost_doubled_and_reordered_pieces_count(indexes: list[int], faults: int) -> None:
    assert Reading(0, marks=[(index, 0, 0) for index in indexes]).faults(4) == faults


def test_figures_are_medians_of_repetitions_and_targets_are_of_the_difference() -> None:
    def results(name: str, extra_ms: int) -> Results:
        made = Results(name)
        for delay in (1, 2, 40):  # one bad repetition changes nothing
            answer = reading([30] * 10 + [delay + extra_ms] * 80, end_ms=delay + extra_ms)
            made.rounds.append(Repetition(8, [answer] * 8))
        return made

    straight, fetch = figures_of(results("straight", 0)), figures_of(results("fetch-socket", 4))
    assert (straight["chunk_8_p50"], fetch["chunk_8_p50"], fetch["burst_8"], fetch["end_8"]) == (2, 6, 30, 6)
    assert fetch["first_of_8_p50"] == 35
    found = {check.key: check for check in checks({"fetch-socket": fetch}, straight)}
    assert (found["chunk_8_p50"].value, found["chunk_8_p50"].passed) == (4, False)
    assert (found["chunk_8_p99"].value, found["chunk_8_p99"].passed) == (4, True)


def test_quantile_interpolates() -> None:
    assert [quantile([4, 1, 3, 2], share) for share in (0, 0.5, 1)] == [1, 2.5, 4]
    assert quantile([7], 0.99) == 7


def test_each_phase_in_which_clients_leave_has_figures() -> None:
    made = Results("fetch-socket", aborts_ms={"stream": [1, 2, 6], "first": [3], "opening": [4, 8]})
    found = figures_of(made)
    assert (found["abort_p50"], found["abort_max"]) == (2, 6)
    assert (found["abort_first_max"], found["abort_opening_p50"]) == (3, 6)


def test_a_decision_is_judged_by_its_cpu_time() -> None:
    fast, slow = Timing("fast", 80.0, 90.0, 9.9, 1000), Timing("slow", 11.0, 12.0, 10.1, 0)
    assert (fast.passed, slow.passed) == (True, False)
    document = report.document({}, {}, {}, [fast, slow], {})
    assert [one["passed"] for one in document["decisions"]] == [True, False]
    machine = {"cores": 2, "cpu": "x", "memory_mib": 1}
    about = {"machine": machine, "versions": {"python": "3", "playwright": "1"}, "date": "", "load_average_before": [0]}
    text = report.markdown(about, {}, {}, [fast, slow])
    assert "| fast | 9.9 ✓ ≤ 10 | 80 | 90 | 1000 |" in text and "| slow | 10.1 ✗ ≤ 10 |" in text
