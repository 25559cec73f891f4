"""How often an account may start a chat."""

import math
from collections.abc import Sequence
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.pool.pacing import UNPACED, Limits, Pace, Rate, backoff_s

# Eighths of a second are exact in binary: the tests compare times without a tolerance.
TIMES = st.integers(0, 400).map(lambda eighths: eighths / 8)
SPANS = st.integers(1, 160).map(lambda eighths: eighths / 8)
GAPS = st.one_of(st.just(0.0), SPANS)
WINDOWS = st.lists(st.tuples(st.integers(1, 5), SPANS), max_size=3).map(tuple)
RATES = st.builds(Rate, GAPS, WINDOWS)
LIMITS = st.builds(Limits, GAPS, WINDOWS, st.dictionaries(st.sampled_from("mn"), RATES))
MODELS = st.sampled_from("mno")
WISHES = st.lists(st.tuples(MODELS, TIMES), max_size=40).map(lambda wishes: sorted(wishes, key=lambda wish: wish[1]))


def kept(rate: Rate, starts: Sequence[float]) -> bool:
    """By brute force: no window holds too many, no two are too near."""
    near = any(later - earlier < rate.min_gap_s for earlier, later in pairwise(starts))
    crowded = any(
        sum(first <= at < first + window_s for at in starts) > count
        for count, window_s in rate.windows
        for first in starts
    )
    return not near and not crowded


def run(pace: Pace, wishes: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    """Start each as soon as the pace allows, one after the other."""
    starts: list[tuple[str, float]] = []
    now = 0.0
    for model, wished in wishes:
        now = pace.next_at(model, max(now, wished))
        pace.started(model, now)
        starts.append((model, now))
    return starts


@settings(deadline=None)
@given(LIMITS, WISHES)
def test_permitted_starts_keep_every_limit(limits: Limits, wishes: list[tuple[str, float]]) -> None:
    starts = run(Pace(limits), wishes)
    assert kept(limits, [at for _, at in starts])
    for model, rate in limits.models.items():
        assert kept(rate, [at for name, at in starts if name == model])


@settings(deadline=None)
@given(LIMITS, WISHES, MODELS, TIMES)
def test_it_waits_no_longer_than_the_limits_want(
    limits: Limits, wishes: list[tuple[str, float]], model: str, later: float
) -> None:
    pace = Pace(limits)
    starts = run(pace, wishes)
    now = (starts[-1][1] if starts else 0.0) + later
    next_at = pace.next_at(model, now)
    assert next_at >= now
    if next_at > now:
        early = [*starts, (model, next_at - 1 / 8)]
        own = limits.models.get(model, Rate())
        assert not (kept(limits, [at for _, at in early]) and kept(own, [at for name, at in early if name == model]))


@settings(deadline=None)
@given(LIMITS, WISHES, TIMES)
def test_an_allowance_is_how_many_may_start_at_once_and_when_the_next_may(
    limits: Limits, wishes: list[tuple[str, float]], later: float
) -> None:
    pace = Pace(limits)
    starts = [at for _, at in run(pace, wishes)]
    now = (starts[-1] if starts else 0.0) + later
    allowance = pace.allowance(now)
    if allowance == UNPACED:
        assert kept(limits, [*starts, *[now] * 50])
        return
    starts += [now] * allowance.starts
    assert kept(limits, starts)
    assert not kept(limits, [*starts, now])
    assert allowance.next_at > now
    assert kept(limits, [*starts, allowance.next_at])
    assert not kept(limits, [*starts, allowance.next_at - 1 / 8])


@settings(deadline=None)
@given(LIMITS, WISHES, st.randoms(use_true_random=False), TIMES)
def test_what_was_restored_counts_as_if_it_had_been_seen(
    limits: Limits, wishes: list[tuple[str, float]], dice: Random, later: float
) -> None:
    first, second = Pace(limits), Pace(limits)
    starts = run(first, wishes)
    now = (starts[-1][1] if starts else 0.0) + later
    shuffled = list(starts)
    dice.shuffle(shuffled)
    second.restore([(model, at) for model, at in shuffled if at >= now - second.horizon_s], now)
    first.prune(now)
    assert second.allowance(now) == first.allowance(now)
    assert second.models(now) == first.models(now)


def test_more_than_the_limits_allow_may_have_been_restored() -> None:
    pace = Pace(Limits(windows=((2, 60),)))
    pace.restore([("m", at) for at in (10, 20, 30, 40)], 50)
    assert pace.allowance(50).starts == 0
    assert pace.next_at("m", 50) == 30 + 60


def test_a_start_in_the_time_to_come_counts_from_now() -> None:
    pace = Pace(Limits(min_gap_s=5))
    pace.restore([("m", 1_000_000)], 10)
    assert pace.next_at("m", 10) == 15


def test_a_model_has_limits_beside_the_account() -> None:
    pace = Pace(Limits(min_gap_s=1, models={"deep": Rate(windows=((1, 3600),))}))
    pace.started("deep", 100)
    assert pace.next_at("quick", 100) == 101
    assert pace.next_at("deep", 100) == 3700
    assert pace.models(100)["deep"].starts == 0
    assert repr(pace) == "<Pace starts=1 deep=1>"


def test_no_limits_ask_for_no_memory() -> None:
    pace = Pace(Limits())
    for at in range(1000):
        pace.started("m", at)
    assert pace.allowance(1000) is UNPACED
    assert repr(pace) == "<Pace starts=0>"
    assert pace.horizon_s == 0


def test_what_no_window_holds_is_forgotten() -> None:
    pace = Pace(Limits(windows=((100, 60),)))
    for at in range(100):
        pace.started("m", at)
    pace.prune(99)
    assert repr(pace) == "<Pace starts=60>"


@pytest.mark.parametrize(
    ("gap", "windows"),
    [(-1, ()), (math.inf, ()), (math.nan, ()), (0, ((0, 60),)), (0, ((1, 0),)), (0, ((1, math.inf),))],
)
def test_limits_without_sense_are_refused(gap: float, windows: tuple[tuple[int, float], ...]) -> None:
    with pytest.raises(ValueError, match="must"):
        Limits(gap, windows)


def test_back_off_doubles_from_half_a_minute_to_half_an_hour() -> None:
    assert [backoff_s(failures) for failures in range(9)] == [0, 30, 60, 120, 240, 480, 960, 1800, 1800]
    assert backoff_s(10**9) == 1800
