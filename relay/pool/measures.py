"""What the pool measures: a time line per request, and what Prometheus is told of them all.

The distributions are plain lists: prometheus_client's own histograms take a lock per number and cost more than all
else that is done here for a request. Everything is called on the pool's event loop; only the text for Prometheus, which
takes a while, is written in a thread, from what the pool said before and from copies of what was counted.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from loguru import logger
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from relay.pool.face import PoolStatus
from relay.pool.memory import Memory

Mark = Literal["leased", "page", "sent", "first_byte", "first_token", "last_token", "end"]
PageEvent = Literal["opened", "closed", "crashed"]

BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900)
"""Upper bounds of the distributions: from a lease of an open page to the longest answer the clocks allow."""

STATES = ("new", "ready", "busy", "cooling", "login_needed", "challenged", "broken", "disabled")
"""Every state an account may show; those that no account is in are told as 0."""

_STEPS: tuple[tuple[str, Mark], ...] = (
    ("queue", "leased"),
    ("lease", "page"),
    ("prepare", "sent"),
    ("first_byte", "first_byte"),
    ("first_token", "first_token"),
    ("", "last_token"),
    ("end", "end"),
)
"""Each step with the mark that ends it; the answer between its first and last token is no step."""


@dataclass(slots=True)
class Timeline:
    """When what happened to one request; it begins when it is made. Times are seconds of `clock`.

    A mark counts once, so what a retry does again falls into the step in which it was needed. Only `last_token` moves
    on: per chunk, write it (`timeline.last_token = perf_counter()`) and add to `characters`.
    """

    clock: Callable[[], float] = time.perf_counter
    submitted: float = field(init=False)
    leased: float | None = None
    page: float | None = None
    sent: float | None = None
    first_byte: float | None = None
    first_token: float | None = None
    last_token: float | None = None
    end: float | None = None
    characters: int = 0
    """Length of the answer, reasoning not counted."""
    recorded: bool = False

    def __post_init__(self) -> None:
        self.submitted = self.clock()

    def mark(self, name: Mark) -> None:
        """It happened now. (What is known of later is written to the attribute.)"""
        if name == "last_token" or getattr(self, name) is None:
            setattr(self, name, self.clock())

    def steps_ms(self) -> dict[str, float]:
        """Milliseconds of each step that was reached, in order, and `total` (to the end, or to now).

        A step begins at the latest mark before its own, so a driver that cannot tell of the first byte puts that time
        into `first_token`. `end` needs a last token; a time-out without one is in `total` only.
        """
        begun = self.submitted
        steps: dict[str, float] = {}
        for step, mark in _STEPS:
            at: float | None = getattr(self, mark)
            if at is None or at < begun:
                continue
            if step and (step != "end" or self.last_token is not None):
                steps[step] = (at - begun) * 1000
            begun = at
        end = self.clock() if self.end is None else self.end
        steps["total"] = (end - self.submitted) * 1000
        return steps

    def summary(self) -> str:
        """`queue=0 lease=3 … total=2310 ms, 812 characters`"""
        steps = " ".join(f"{step}={ms:.0f}" for step, ms in self.steps_ms().items())
        return f"{steps} ms, {self.characters} characters"


class Distribution:
    """How many values fell under each bound, and their sum, in seconds."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0

    def __repr__(self) -> str:
        return f"<Distribution {sum(self.counts)} values, {self.sum_s:.3f} s in all>"

    def observe(self, value_s: float) -> None:
        """Count one."""
        self.counts[bisect_left(BUCKETS_S, value_s)] += 1
        self.sum_s += value_s

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus has them."""
        below, made = 0, []
        for bound, count in zip((*map(str, map(float, BUCKETS_S)), "+Inf"), self.counts, strict=True):
            below += count
            made.append((bound, float(below)))
        return made


@dataclass(frozen=True, slots=True)
class Family:
    """One metric as the documentation has it. `labels` by name, each with a bounded set of values."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    unit: str
    labels: tuple[str, ...]
    help: str

    def made(self) -> Metric:
        """An empty one, to be filled."""
        match self.kind:
            case "gauge":
                return GaugeMetricFamily(self.name, self.help, labels=self.labels)
            case "counter":
                return CounterMetricFamily(self.name, self.help, labels=self.labels)
            case "histogram":
                return HistogramMetricFamily(self.name, self.help, labels=self.labels)

    def counted(self, values: Iterable[tuple[Sequence[str], float]]) -> Metric:
        """A gauge or counter with its values by label values."""
        metric = self.made()
        assert isinstance(metric, GaugeMetricFamily | CounterMetricFamily)
        for labels, value in values:
            metric.add_metric(labels, value)
        return metric

    def spread(self, values: Iterable[tuple[Sequence[str], Distribution]]) -> Metric:
        """A histogram with its distributions by label values."""
        metric = self.made()
        assert isinstance(metric, HistogramMetricFamily)
        for labels, distribution in values:
            metric.add_metric(labels, distribution.buckets(), distribution.sum_s)
        return metric


ACCOUNTS = Family("relay_accounts", "gauge", "accounts", ("site", "state"), "Accounts by the state they are in.")
ACCOUNT_STATE = Family(
    "relay_account_state",
    "gauge",
    "1",
    ("site", "account", "state", "reason"),
    "1 for the state that each account is in, and why it takes no chat (empty: it may).",
)
QUEUE = Family("relay_queue_length", "gauge", "requests", (), "Requests that wait for a page.")
RUNNING = Family("relay_chats_running", "gauge", "chats", (), "Chats that hold an account's place now (leases).")
OPEN_PAGES = Family("relay_pages_open", "gauge", "pages", ("site",), "Pages open in the browser.")
IDLE_PAGES = Family("relay_pages_idle", "gauge", "pages", (), "Pages open that no chat holds.")
MEMORY = Family(
    "relay_memory_bytes",
    "gauge",
    "bytes",
    ("process", "measure"),
    "Memory of relay, driver (Playwright) and browser processes: pss where it may be read, of the others rss.",
)
CHATS = Family(
    "relay_chats_total",
    "counter",
    "chats",
    ("site", "driver", "code"),
    "Chats that ended, by driver (none: it never got that far) and code: ok, cancelled, or the error's code.",
)
RETRIES = Family("relay_retries_total", "counter", "retries", ("site",), "Chats sent on to another account.")
PAGES = Family(
    "relay_pages_total", "counter", "pages", ("site", "event"), "Pages opened, closed, and crashed (then closed too)."
)
RESTARTS = Family("relay_browser_restarts_total", "counter", "browsers", (), "Browsers launched in place of another.")
DELETED = Family(
    "relay_conversations_deleted_total", "counter", "conversations", ("site",), "Conversations deleted on their site."
)
STEP = Family(
    "relay_step_seconds",
    "histogram",
    "seconds",
    ("step", "site", "driver", "outcome"),
    "How long each step of a chat took; outcome is ok, cancelled or failed.",
)
FAMILIES = (
    *(ACCOUNTS, ACCOUNT_STATE, QUEUE, RUNNING, OPEN_PAGES, IDLE_PAGES, MEMORY),
    *(CHATS, RETRIES, PAGES, RESTARTS, DELETED),
    STEP,
)
"""Everything that `/metrics` tells; docs/metrics.md lists the same."""


class Measures:
    """One pool's numbers, in a registry of their own. `status` and `idle_pages` are asked at each scrape."""

    def __init__(
        self,
        status: Callable[[], PoolStatus],
        idle_pages: Callable[[], int],
        memory: Memory | None = None,
    ) -> None:
        self._status = status
        self._idle_pages = idle_pages
        self._memory = memory or Memory()
        self._chats: Counter[tuple[str, str, str]] = Counter()
        self._retries: Counter[tuple[str]] = Counter()
        self._pages: Counter[tuple[str, PageEvent]] = Counter()
        self._deleted: Counter[tuple[str]] = Counter()
        self._restarts = 0
        self._steps: dict[tuple[str, str, str], defaultdict[str, Distribution]] = {}
        self._now = (PoolStatus(False, 0, 0, "", ()), 0)
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def __repr__(self) -> str:
        failed = sum(count for (_, _, code), count in self._chats.items() if code != "ok")
        return f"<Measures {self._chats.total()} chats, {failed} not ok>"

    # what the pool tells

    def record(self, timeline: Timeline, *, site: str, driver: str, code: str) -> bool:
        """Count a request that is over; False if it was counted before.

        `code` is `ok`, `cancelled`, or a RelayError's code. A time line without an end ends here.
        """
        if timeline.recorded:
            return False
        timeline.recorded = True
        timeline.mark("end")
        self._chats[site, driver or "none", code] += 1
        steps = self._steps_of(site, driver, code)
        for step, ms in timeline.steps_ms().items():
            steps[step].observe(ms / 1000)
        return True

    def finish(
        self, timeline: Timeline, *, request_id: str, site: str, account: str, model: str, driver: str, code: str
    ) -> None:
        """`record`, and the request's one line in the log, with the same numbers and nothing of what was said."""
        if self.record(timeline, site=site, driver=driver, code=code):
            with logger.contextualize(request_id=request_id):
                who = f"{site}/{account or '-'} {model or '-'} {driver or '-'}"
                logger.info("{} {} {}", who, code, timeline.summary())

    def cleaned(self, seconds: float, *, site: str, driver: str, code: str = "ok") -> None:
        """Clean-up after an answer: a page brought back to an empty chat, or a conversation deleted."""
        self._steps_of(site, driver, code)["cleanup"].observe(seconds)

    def retried(self, site: str) -> None:
        """A chat was refused by one account and goes to another."""
        self._retries[site,] += 1

    def page(self, event: PageEvent, site: str) -> None:
        """A page was opened or closed, or its renderer crashed (it is closed after that, and told again)."""
        self._pages[site, event] += 1

    def browser_restarted(self) -> None:
        """A browser was launched in place of one that died or was retired."""
        self._restarts += 1

    def conversation_deleted(self, site: str) -> None:
        """A conversation was deleted on its site."""
        self._deleted[site,] += 1

    def _steps_of(self, site: str, driver: str, code: str) -> defaultdict[str, Distribution]:
        key = (site, driver or "none", code if code in ("ok", "cancelled") else "failed")
        found = self._steps.get(key)
        if found is None:
            found = self._steps[key] = defaultdict(Distribution)
        return found

    # what Prometheus is told

    async def exposition(self) -> bytes:
        """Everything, in Prometheus' text format; memory as it was some seconds ago."""
        self._now = (self._status(), self._idle_pages())
        return await asyncio.to_thread(self._written)

    def _written(self) -> bytes:
        self._memory.read()
        return generate_latest(self.registry)

    def describe(self) -> Iterable[Metric]:
        """The metrics without values: what registering needs."""
        return [family.made() for family in FAMILIES]

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now, the pool's as `exposition` found it. Copies, because the loop runs on."""
        yield from self._gauges(*self._now)
        yield CHATS.counted(tuple(self._chats.items()))
        yield RETRIES.counted(tuple(self._retries.items()))
        yield PAGES.counted(tuple(self._pages.items()))
        yield RESTARTS.counted([((), self._restarts)])
        yield DELETED.counted(tuple(self._deleted.items()))
        yield STEP.spread(
            ((step, *labels), distribution)
            for labels, steps in tuple(self._steps.items())
            for step, distribution in tuple(steps.items())
        )

    def _gauges(self, status: PoolStatus, idle_pages: int) -> Iterator[Metric]:
        states = Counter((account.site, account.state) for account in status.accounts)
        sites = dict.fromkeys(account.site for account in status.accounts)
        pages = {site: sum(account.tabs for account in status.accounts if account.site == site) for site in sites}
        yield ACCOUNTS.counted(((site, state), states[site, state]) for site in sites for state in STATES)
        yield ACCOUNT_STATE.counted(((one.site, one.account, one.state, one.reason), 1) for one in status.accounts)
        yield QUEUE.counted([((), status.waiting)])
        yield RUNNING.counted([((), status.running)])
        yield OPEN_PAGES.counted(((site,), count) for site, count in pages.items())
        yield IDLE_PAGES.counted([((), idle_pages)])
        yield MEMORY.counted(self._memory.used.items())
