"""How often an account may start a chat, and how long it rests after a failure. Times are monotonic seconds."""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

FIRST_REST_S = 30.0
LONGEST_REST_S = 30 * 60.0


def backoff_s(failures: int) -> float:
    """Rest after so many failures in a row where the site names no time: 30 s, doubled each time, at most 30 min."""
    if failures < 1:
        return 0.0
    doublings = min(failures - 1, 10)  # more would only make a large number that the limit cuts
    return min(FIRST_REST_S * (1 << doublings), LONGEST_REST_S)


@dataclass(frozen=True, slots=True)
class Rate:
    """Raises ValueError for a gap below zero, a count below one or a window without length."""

    min_gap_s: float = 0.0
    """Between the starts of two chats."""
    windows: tuple[tuple[int, float], ...] = ()
    """(count, window_s): at most so many starts in any stretch of that length."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_gap_s < math.inf:
            raise ValueError(f"the gap between two chats must be 0 s or more, not {self.min_gap_s}")
        for count, window_s in self.windows:
            if count < 1 or not 0 < window_s < math.inf:
                raise ValueError(
                    f"a window must hold at least 1 chat and last longer than 0 s, not {count}, {window_s}"
                )


@dataclass(frozen=True, slots=True)
class Limits(Rate):
    """An account's: over all its models, and for single ones beside that."""

    models: Mapping[str, Rate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Allowance:
    """So many chats may start now; once they have, one more from `next_at` on (monotonic seconds)."""

    starts: int
    next_at: float


UNPACED = Allowance(sys.maxsize, -math.inf)


class _History:
    """The latest starts under one rate. A gap is a window that holds one."""

    def __init__(self, rate: Rate) -> None:
        gap = ((1, rate.min_gap_s),) if rate.min_gap_s else ()
        self.windows = (*gap, *rate.windows)
        self.longest_s = max((window_s for _, window_s in self.windows), default=0.0)
        # A window is judged by its latest `count` starts, so no more than that are ever kept.
        self.starts: deque[float] = deque(maxlen=max((count for count, _ in self.windows), default=0))

    def allowance(self, now: float) -> Allowance:
        if not self.windows:
            return UNPACED
        past = len(self.starts)
        left = min(count - past + self._expired(window_s, now) for count, window_s in self.windows)
        may = max(0, left)
        next_at = -math.inf
        for count, window_s in self.windows:
            oldest = past + may - count  # of the latest `count` starts, as if those that may had started now
            if oldest >= 0:
                next_at = max(next_at, (self.starts[oldest] if oldest < past else now) + window_s)
        return Allowance(may, next_at)

    def _expired(self, window_s: float, now: float) -> int:
        # Compares at + window, as next_at does: a difference would round otherwise and refuse at its own time.
        return bisect_right(self.starts, now, key=lambda at: at + window_s)

    def prune(self, now: float) -> None:
        while self.starts and self.starts[0] + self.longest_s <= now:
            self.starts.popleft()


class Pace:
    """One account's starts under its limits. Note each chat when it is leased, so that the next decision knows."""

    def __init__(self, limits: Limits) -> None:
        self._all = _History(limits)
        self._models = {model: _History(rate) for model, rate in limits.models.items()}

    def __repr__(self) -> str:
        models = "".join(f" {model}={len(history.starts)}" for model, history in self._models.items())
        return f"<Pace starts={len(self._all.starts)}{models}>"

    @property
    def horizon_s(self) -> float:
        """Starts that are older than this matter to no limit."""
        return max(history.longest_s for history in (self._all, *self._models.values()))

    def allowance(self, now: float) -> Allowance:
        """What the account's own limits allow, whichever the model."""
        return self._all.allowance(now)

    def models(self, now: float) -> dict[str, Allowance]:
        """What the limits of single models allow, for each that has some: both must be kept."""
        return {model: history.allowance(now) for model, history in self._models.items()}

    def next_at(self, model: str, now: float) -> float:
        """When a chat with this model may start: `now`, or later."""
        histories = [self._all, *([self._models[model]] if model in self._models else [])]
        allowances = [history.allowance(now) for history in histories]
        return max((each.next_at for each in allowances if not each.starts), default=now)

    def started(self, model: str, now: float) -> None:
        """A chat with this model starts now."""
        self._all.starts.append(now)
        if model in self._models:
            self._models[model].starts.append(now)

    def restore(self, starts: Iterable[tuple[str, float]], now: float) -> None:
        """Begin with these (model, time) of an earlier run, in any order; a time to come (the clock was set) is now."""
        for model, at in sorted(((model, min(at, now)) for model, at in starts), key=lambda start: start[1]):
            self.started(model, at)
        self.prune(now)

    def prune(self, now: float) -> None:
        """Forget what no window holds any more."""
        for history in (self._all, *self._models.values()):
            history.prune(now)
