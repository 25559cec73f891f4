"""What is measured: time lines, what Prometheus is told, memory, and the page that lists it all."""

from __future__ import annotations

import asyncio
import io
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger
from prometheus_client.parser import text_string_to_metric_families

from relay.pool.face import AccountStatus, PoolStatus
from relay.pool.measures import BUCKETS_S, FAMILIES, STATES, Distribution, Measures, Timeline
from relay.pool.memory import FRESH_S, PAGE_BYTES, Memory, memory_in_use

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
ACCOUNTS = (
    AccountStatus("kimi", "main", "busy", "", "Ann Example", 2, 3),
    AccountStatus("kimi", "spare", "login_needed", "expired for ann@example.org", reason="expired"),
    AccountStatus("demo", 'we"ird\\', "ready", tabs=1),
)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Clock:
    """Stands still unless moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def measures() -> Measures:
    status = PoolStatus(True, 4, 2, "chromium", ACCOUNTS)
    return Measures(lambda: status, lambda: 3, Memory(lambda: {("browser", "pss"): 5, ("browser", "rss"): 7}))


def chat(clock: Clock) -> Timeline:
    """A chat with 2 s in the queue, 4 for a page... and an answer of 100 s."""
    steps = Timeline(clock)
    for mark, seconds in (("leased", 2), ("page", 4), ("sent", 8), ("first_byte", 16), ("first_token", 32)):
        clock.now += seconds
        steps.mark(mark)  # type: ignore[arg-type]
    clock.now += 100
    steps.last_token = clock.now
    clock.now += 0.5
    steps.mark("end")
    return steps


async def told(measures: Measures) -> Samples:
    """Every sample by its name and labels, read by Prometheus' own parser."""
    text = (await measures.exposition()).decode()
    families = list(text_string_to_metric_families(text))
    samples = [sample for family in families for sample in family.samples]
    found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(found) == len(samples), "each series once"
    return found


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


# time lines


def test_steps_follow_each_other(clock: Clock) -> None:
    steps = chat(clock).steps_ms()
    assert list(steps) == ["queue", "lease", "prepare", "first_byte", "first_token", "end", "total"]
    assert list(steps.values()) == [2000, 4000, 8000, 16000, 32000, 500, 162_500]


def test_a_mark_counts_once_and_only_the_last_token_moves(clock: Clock) -> None:
    steps = chat(clock)
    before = steps.steps_ms()
    clock.now += 50
    for mark in ("leased", "page", "sent", "first_byte", "first_token", "end"):
        steps.mark(mark)
    assert steps.steps_ms() == before
    steps.mark("last_token")
    assert steps.last_token == clock.now


def test_a_step_that_cannot_be_told_apart_is_part_of_the_next(clock: Clock) -> None:
    steps = Timeline(clock)
    clock.now += 1
    steps.mark("leased")
    clock.now += 3
    steps.mark("first_token")
    assert steps.steps_ms() == {"queue": 1000, "first_token": 3000, "total": 4000}


def test_a_mark_may_be_told_late(clock: Clock) -> None:
    steps = Timeline(clock)
    clock.now += 3
    steps.mark("first_byte")
    steps.sent = 101.0
    assert steps.steps_ms() == {"prepare": 1000, "first_byte": 2000, "total": 3000}


def test_marks_out_of_order_make_no_negative_step(clock: Clock) -> None:
    steps = Timeline(clock)
    clock.now += 1
    steps.mark("first_byte")
    clock.now += 1
    steps.mark("sent")
    assert steps.steps_ms() == {"prepare": 2000, "total": 2000}


def test_a_failure_before_the_answer_has_no_end_but_a_total(clock: Clock) -> None:
    steps = Timeline(clock)
    steps.mark("leased")
    clock.now += 90
    assert steps.steps_ms() == {"queue": 0, "total": 90_000}
    steps.mark("end")
    clock.now += 5
    assert steps.steps_ms() == {"queue": 0, "total": 90_000}


# what Prometheus is told


async def test_gauges_are_read_at_each_scrape(measures: Measures) -> None:
    samples = await told(measures)
    assert value(samples, "relay_accounts", site="kimi", state="busy") == 1
    assert value(samples, "relay_accounts", site="kimi", state="ready") == 0
    assert value(samples, "relay_account_state", site="kimi", account="spare", state="login_needed", reason="expired")
    assert value(samples, "relay_account_state", site="demo", account='we"ird\\', state="ready", reason="") == 1
    assert value(samples, "relay_queue_length") == 4
    assert value(samples, "relay_chats_running") == 2
    assert value(samples, "relay_pages_open", site="kimi") == 3
    assert value(samples, "relay_pages_idle") == 3
    assert value(samples, "relay_memory_bytes", process="browser", measure="rss") == 7


async def test_a_chat_is_counted_once_with_all_its_steps(measures: Measures, clock: Clock) -> None:
    steps = chat(clock)
    assert measures.record(steps, site="kimi", driver="fetch", code="ok")
    assert not measures.record(steps, site="kimi", driver="fetch", code="answer_cut")
    samples = await told(measures)
    assert value(samples, "relay_chats_total", site="kimi", driver="fetch", code="ok") == 1
    assert not any(name == "relay_chats_total" and ("code", "answer_cut") in labels for name, labels in samples)
    labels = {"site": "kimi", "driver": "fetch", "outcome": "ok"}
    for step, ms in steps.steps_ms().items():
        assert value(samples, "relay_step_seconds_sum", step=step, **labels) == ms / 1000
        assert value(samples, "relay_step_seconds_count", step=step, **labels) == 1
    assert value(samples, "relay_step_seconds_bucket", step="queue", le="1.0", **labels) == 0
    assert value(samples, "relay_step_seconds_bucket", step="queue", le="2.5", **labels) == 1
    assert value(samples, "relay_step_seconds_bucket", step="queue", le="+Inf", **labels) == 1


@pytest.mark.parametrize(
    ("code", "outcome"),
    [("ok", "ok"), ("cancelled", "cancelled"), ("queue_full", "failed"), ("idle_timeout", "failed")],
)
async def test_outcomes_are_kept_apart(measures: Measures, clock: Clock, code: str, outcome: str) -> None:
    steps = Timeline(clock)
    clock.now += 7
    measures.record(steps, site="kimi", driver="", code=code)
    samples = await told(measures)
    assert value(samples, "relay_chats_total", site="kimi", driver="none", code=code) == 1
    labels = {"step": "total", "site": "kimi", "driver": "none", "outcome": outcome}
    assert value(samples, "relay_step_seconds_sum", **labels) == 7


async def test_counters_count(measures: Measures) -> None:
    assert value(await told(measures), "relay_browser_restarts_total") == 0
    measures.browser_restarted()
    measures.retried("kimi")
    measures.conversation_deleted("demo")
    measures.cleaned(0.75, site="demo", driver="fetch")
    for event in ("opened", "opened", "crashed", "closed"):
        measures.page(event, "kimi")
    samples = await told(measures)
    assert value(samples, "relay_browser_restarts_total") == 1
    assert value(samples, "relay_retries_total", site="kimi") == 1
    assert value(samples, "relay_conversations_deleted_total", site="demo") == 1
    assert [value(samples, "relay_pages_total", site="kimi", event=e) for e in ("opened", "closed", "crashed")] == [
        2,
        1,
        1,
    ]
    labels = {"step": "cleanup", "site": "demo", "driver": "fetch", "outcome": "ok"}
    assert value(samples, "relay_step_seconds_sum", **labels) == 0.75


@pytest.mark.parametrize("number", range(len(BUCKETS_S)))
def test_a_bound_belongs_to_its_bucket(number: int) -> None:
    distribution = Distribution()
    distribution.observe(BUCKETS_S[number])
    distribution.observe(BUCKETS_S[-1] + 1)
    counts = [count for _, count in distribution.buckets()]
    assert counts == [0] * number + [1] * (len(BUCKETS_S) - number) + [2]


async def test_pools_share_nothing(measures: Measures) -> None:
    other = Measures(lambda: PoolStatus(False, 0, 0, "", ()), lambda: 0, Memory(dict))
    measures.browser_restarted()
    assert value(await told(measures), "relay_browser_restarts_total") == 1
    assert value(await told(other), "relay_browser_restarts_total") == 0


async def test_nothing_is_told_of_callers_and_people(measures: Measures, clock: Clock) -> None:
    measures.record(chat(clock), site="kimi", driver="fetch", code="ok")
    text = (await measures.exposition()).decode()
    assert "Ann" not in text and "example.org" not in text
    for line in text.splitlines():
        assert "main" not in line or line.startswith("relay_account_state{"), line


def test_every_state_of_an_account_is_known() -> None:
    from relay.pool.account import State

    assert {state.value for state in State} | {"busy", "cooling"} <= set(STATES)


# the log


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the measures log, as `<level> <request id> <message>`."""
    sink = io.StringIO()
    number = logger.add(sink, format="{level} {extra[request_id]} {message}", filter="relay.pool.measures")
    yield sink
    logger.remove(number)


def test_one_line_for_each_request(measures: Measures, clock: Clock, log: io.StringIO) -> None:
    steps = chat(clock)
    steps.characters = 812
    for _ in range(2):
        measures.finish(
            steps, request_id="r-1", site="kimi", account="main", model="k2d6-chat", driver="fetch", code="ok"
        )
    numbers = "queue=2000 lease=4000 prepare=8000 first_byte=16000 first_token=32000 end=500 total=162500 ms"
    assert log.getvalue() == f"INFO r-1 kimi/main k2d6-chat fetch ok {numbers}, 812 characters\n"


def test_the_line_of_a_failure_names_its_code(measures: Measures, clock: Clock, log: io.StringIO) -> None:
    steps = Timeline(clock)
    clock.now += 3
    measures.finish(steps, request_id="r-2", site="kimi", account="", model="", driver="", code="queue_full")
    assert log.getvalue() == "INFO r-2 kimi/- - - queue_full total=3000 ms, 0 characters\n"


# memory


def process(proc: Path, pid: int, parent: int, name: str, *, pss_kib: int = 0, rss_pages: int = 0) -> None:
    """A process as /proc has it; without a PSS it is one that may not be read."""
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "stat").write_text(f"{pid} ({name}) S {parent} 1 1 0")
    (folder / "statm").write_text(f"9999 {rss_pages} 5 1 0 2 0")
    if pss_kib:
        (folder / "smaps_rollup").write_text(
            f"00400000-7fff00000000 ---p 00000000 00:00 0    [rollup]\nRss:  1 kB\nPss:  {pss_kib} kB\nPss_Anon: 1 kB\n"
        )


def test_memory_of_the_whole_tree_by_kind(tmp_path: Path) -> None:
    process(tmp_path, 10, 1, "relay", pss_kib=100)
    process(tmp_path, 11, 10, "MainThread", pss_kib=50)
    process(tmp_path, 12, 11, "headless_shell", pss_kib=30, rss_pages=90)
    process(tmp_path, 13, 12, "odd) (name", pss_kib=7)
    process(tmp_path, 14, 12, "headless_shell", rss_pages=3)
    process(tmp_path, 15, 10, "Xvfb", pss_kib=2)
    process(tmp_path, 16, 1, "chrome", pss_kib=1000)
    (tmp_path / "self").mkdir()
    (tmp_path / "17").mkdir()  # it ended between two looks
    assert memory_in_use(10, tmp_path) == {
        ("relay", "pss"): 100 * 1024,
        ("driver", "pss"): 50 * 1024,
        ("browser", "pss"): 37 * 1024,
        ("browser", "rss"): 3 * PAGE_BYTES,
        ("other", "pss"): 2 * 1024,
    }


def test_without_proc_nothing_is_told(tmp_path: Path) -> None:
    assert memory_in_use(10, tmp_path / "none") == {}


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_memory_of_this_process_and_its_children() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        used = memory_in_use()
        child.communicate(b"\n")
    kinds = {process for process, _ in used}
    assert {"relay", "other"} <= kinds
    assert sum(size for (process, _), size in used.items() if process == "relay") > 2**20


def test_memory_is_not_read_at_each_scrape(clock: Clock) -> None:
    readings = iter(range(1, 9))
    memory = Memory(lambda: {("browser", "pss"): next(readings)}, clock)
    assert [memory.read()["browser", "pss"] for _ in range(3)] == [1, 1, 1]
    clock.now += FRESH_S
    assert memory.read()["browser", "pss"] == 2


async def test_the_event_loop_runs_on_while_memory_is_read() -> None:
    looked, let_go = threading.Event(), threading.Event()

    def look() -> dict[tuple[str, str], int]:
        looked.set()
        assert let_go.wait(10)
        return {("browser", "pss"): 1}

    measures = Measures(lambda: PoolStatus(True, 0, 0, "", ()), lambda: 0, Memory(look))
    scrape = asyncio.create_task(measures.exposition())
    assert await asyncio.to_thread(looked.wait, 10)
    assert not scrape.done()
    let_go.set()
    assert b'relay_memory_bytes{measure="pss",process="browser"} 1.0' in await scrape


# the page


def rows() -> list[str]:
    """The lines of the table as the code has it."""
    made = []
    for family in FAMILIES:
        labels = ", ".join(f"`{label}`" for label in family.labels) or "-"
        made.append(f"| `{family.name}` | {family.kind} | {family.unit} | {labels} | {family.help} |")
    return made


def test_the_page_lists_what_there_is() -> None:
    page = PAGE.read_text("utf-8")
    assert [line for line in page.splitlines() if line.startswith("| `relay_")] == rows()
    assert ", ".join(f"{bound:g}" for bound in BUCKETS_S) + "." in page


def test_the_page_has_every_step_and_a_true_log_line(clock: Clock) -> None:
    page = PAGE.read_text("utf-8")
    steps = list(chat(clock).steps_ms())
    assert re.findall(r"^\| `([a-z_]+)` \|", page.partition("## Steps")[2], re.MULTILINE) == [*steps, "cleanup"]
    assert re.findall(r"([a-z_]+)=\d+", page) == steps


async def test_names_units_and_labels_are_as_told(measures: Measures, clock: Clock) -> None:
    measures.record(chat(clock), site="kimi", driver="fetch", code="ok")
    measures.retried("kimi")
    measures.page("opened", "kimi")
    measures.conversation_deleted("kimi")
    await measures.exposition()  # reads the memory
    told_families = {family.name: family for family in measures.registry.collect()}
    assert len(told_families) == len(FAMILIES)
    for family in FAMILIES:
        told_family = told_families[family.name.removesuffix("_total")]
        assert told_family.samples, family.name
        for sample in told_family.samples:
            assert set(sample.labels) - {"le"} == set(family.labels)
        assert family.name.endswith("_total") == (family.kind == "counter")
        if family.unit in ("seconds", "bytes"):
            assert family.name.endswith(f"_{family.unit}")
