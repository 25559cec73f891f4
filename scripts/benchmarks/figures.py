"""From what was measured to figures: medians of repetitions, differences from the straight way, and targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from scripts.benchmarks.measure import Idle, Repetition, Results

DROPPED = 10
"""Pieces at the start of an answer that the delay per chunk leaves out; their worst is `first burst`."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A figure: how people read it, and its unit. `added` ones are shown as the difference from straight."""

    title: str
    unit: str
    added: bool = False


KINDS = {
    "first_token_p50": Kind("first token, p50", "ms", True),
    "first_token_p95": Kind("first token, p95", "ms", True),
    "first_of_8_p50": Kind("first token of 8 at once, p50", "ms", True),
    "first_of_8_p95": Kind("first token of 8 at once, p95", "ms", True),
    "first_of_32_p50": Kind("first token of 32 at once, p50", "ms", True),
    **{
        f"{key}_{width}{suffix}": Kind(f"{title}, {width} stream{'s' if width > 1 else ''}{shown}", "ms", True)
        for width in (1, 8, 32)
        for key, suffix, title, shown in (
            ("chunk", "_p50", "per chunk", ", p50"),
            ("chunk", "_p99", "per chunk", ", p99"),
            ("burst", "", "first burst", ""),
        )
    },
    "end_1": Kind("last byte to [DONE], 1 stream", "ms", True),
    "end_8": Kind("last byte to [DONE], 8 streams", "ms", True),
    **{
        f"abort{phase}_{suffix}": Kind(f"client gone to site aborted{when}, {shown}", "ms")
        for phase, when in (("", ""), ("_first", " before the first byte"), ("_opening", " while its page opens"))
        for suffix, shown in (("p50", "p50"), ("max", "worst"))
    },
    "faults_32": Kind("chunks lost or out of order, 32 streams", ""),
    "faults": Kind("chunks lost or out of order, all streams", ""),
    **{
        f"cpu_{width}_{part}": Kind(f"CPU per 1,000 chunks, {width} stream{'s' if width > 1 else ''}, {part}", "s")
        for width in (1, 8, 32)
        for part in ("browser", "node", "python")
    },
    "cold_start": Kind("process start to first token", "s"),
    "pss_fresh": Kind("PSS, 1 account, 1 page", "MiB"),
    "pss_tab": Kind("PSS per open page", "MiB"),
    "idle_pss": Kind("PSS, idle accounts, whole tree", "MiB"),
    "idle_pss_browser": Kind("PSS, idle accounts, browser", "MiB"),
    "idle_pss_each": Kind("PSS per idle account", "MiB"),
    "idle_cold_start": Kind("process start to first token, idle accounts beside it", "s"),
    "idle_checked": Kind("process start to all accounts checked", "s"),
}
Figures = dict[str, float]

RIVAL: Figures = {
    "first_token_p50": 35,
    "first_token_p95": 46,
    "chunk_1_p50": 3.3,
    "chunk_1_p99": 5.3,
    "chunk_8_p50": 4.9,
    "chunk_8_p99": 14,
    "first_of_8_p50": 175,
    "first_of_8_p95": 290,
    "end_1": 10,
    "pss_fresh": 570,
    "cold_start": 3.7,
}
"""The fastest relay known, measured on 2026-11-22 in the same way on two quiet cores. It never aborts the site."""
RIVAL_EACH_MIB = 172
"""What each further account takes there."""
SCREEN_RIVAL: Figures = {"first_token_p50": 519, "chunk_1_p50": 7.9, "chunk_8_p50": 11, "first_of_8_p50": 1977}
"""The best of the relays that drive the screen, figure by figure."""

_FETCH: Figures = {
    "first_token_p50": 15,
    "chunk_8_p50": 3,
    "chunk_8_p99": 12,
    "first_of_8_p50": 80,
    "end_1": 10,
    "abort_max": 100,
    "faults_32": 0,
    "cold_start": 3.5,
    "pss_tab": 90,
}
_SCREEN: Figures = {"first_token_p50": 250, "chunk_1_p50": 6, "chunk_8_p50": 6, "abort_max": 300, "faults_32": 0}
TARGETS: dict[str, Figures] = {
    "fetch-socket": _FETCH,
    "fetch-pipe": {key: RIVAL[key] for key in ("first_token_p50", "chunk_8_p50", "chunk_8_p99", "first_of_8_p50")}
    | {"end_1": RIVAL["end_1"], "cold_start": RIVAL["cold_start"], "abort_max": 100, "faults_32": 0},
    "screen-socket": _SCREEN,
    "screen-pipe": SCREEN_RIVAL | {"abort_max": 300, "faults_32": 0},
    "dom-socket": {"faults_32": 0},
    "idle": {"idle_pss": 500, "idle_pss_browser": 270, "idle_cold_start": 3.5},
}
"""At most so much; differences from straight where the kind is `added`."""


def quantile(values: Sequence[float], share: float) -> float:
    """By linear interpolation between the two nearest values."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _rounds(results: Results, width: int) -> list[Repetition]:
    return [made for made in results.rounds if made.width == width]


def _of_width(rounds: list[Repetition], width: int) -> Figures:
    """Each figure is taken per repetition; the median of the repetitions counts."""
    delays = [[d for reading in made.readings for d in reading.delays_ms[DROPPED:]] for made in rounds]
    bursts = [max(d for reading in made.readings for d in reading.delays_ms[:DROPPED]) for made in rounds]
    chunks = [sum(len(reading.marks) for reading in made.readings) for made in rounds]
    per_1000 = [made.cpu.scaled(1000 / count) for made, count in zip(rounds, chunks, strict=True)]
    found = {
        f"chunk_{width}_p50": median(quantile(values, 0.5) for values in delays),
        f"chunk_{width}_p99": median(quantile(values, 0.99) for values in delays),
        f"burst_{width}": median(bursts),
        f"end_{width}": median(quantile([reading.end_ms for reading in made.readings], 0.5) for made in rounds),
    }
    if width > 1:
        firsts = [[reading.first_token_ms for reading in made.readings] for made in rounds]
        found[f"first_of_{width}_p50"] = median(quantile(values, 0.5) for values in firsts)
        found[f"first_of_{width}_p95"] = median(quantile(values, 0.95) for values in firsts)
    if any(used.total for used in per_1000):
        for part in ("browser", "node", "python"):
            found[f"cpu_{width}_{part}"] = median(getattr(used, part) for used in per_1000)
    return found


def figures_of(results: Results) -> Figures:
    """Every figure of a subject, as measured."""
    found: Figures = {}
    if results.first_tokens_ms:
        found["first_token_p50"] = quantile(results.first_tokens_ms, 0.5)
        found["first_token_p95"] = quantile(results.first_tokens_ms, 0.95)
    for width in (1, 8, 32):
        if rounds := _rounds(results, width):
            found |= _of_width(rounds, width)
    if results.rounds:
        found["faults"] = sum(made.faults for made in results.rounds)
    if wide := _rounds(results, 32):
        found["faults_32"] = sum(made.faults for made in wide)
    for phase, aborts_ms in results.aborts_ms.items():
        name = "abort" if phase == "stream" else f"abort_{phase}"
        found[f"{name}_p50"], found[f"{name}_max"] = median(aborts_ms), max(aborts_ms)
    if results.cold_starts_s:
        found["cold_start"] = median(results.cold_starts_s)
    if results.pss_fresh:
        found["pss_fresh"] = results.pss_fresh.total
        if results.pss_tabs:
            found["pss_tab"] = (results.pss_tabs.total - results.pss_fresh.total) / (results.tabs - 1)
    return {key: value for key, value in found.items() if key in KINDS}


def idle_figures(idle: Idle, fresh_mib: float | None) -> Figures:
    """The figures of a server full of idle accounts; `fresh_mib` is the PSS with one account."""
    found = {
        "idle_pss": idle.pss.total,
        "idle_pss_browser": idle.pss.browser,
        "idle_cold_start": idle.cold_start_s,
        "idle_checked": idle.checked_s,
    }
    if fresh_mib is not None and idle.accounts > 1:
        found["idle_pss_each"] = (idle.pss.total - fresh_mib) / (idle.accounts - 1)
    return found


def shown(key: str, measured: Figures, straight: Figures) -> float | None:
    """The figure as it is judged: the difference from straight, or itself; None where it was not measured."""
    if key not in measured:
        return None
    if not KINDS[key].added:
        return measured[key]
    return measured[key] - straight[key] if key in straight else None


@dataclass(frozen=True, slots=True)
class Check:
    """One target and whether it was reached."""

    subject: str
    key: str
    value: float
    target: float

    @property
    def passed(self) -> bool:
        """At most the target."""
        return self.value <= self.target


def checks(subjects: dict[str, Figures], straight: Figures) -> list[Check]:
    """Every target of what was measured."""
    return [
        Check(name, key, value, target)
        for name, measured in subjects.items()
        for key, target in TARGETS.get(name, {}).items()
        if (value := shown(key, measured, straight)) is not None
    ]
