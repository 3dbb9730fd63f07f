"""How many workers a deployment should have: a table of cases, and what holds for all of them."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lakeserve.domain.scaling import Load, ScalingLimits, decide
from lakeserve.domain.workload import Concurrency

LIMITS = ScalingLimits(scale_down_s=300.0, scale_to_zero_s=1_800.0)
QUIET = Load(in_flight=0, queued=0, idle_s=inf, peak=0, age_s=100_000.0)
MEDIUM = Concurrency(8, 16)


def the(**changes: float) -> Load:
    return replace(QUIET, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("current", "bounds", "to_zero", "load", "expected"),
    [
        # Growing: as many as are in flight or wait, at once, within the bounds.
        (8, MEDIUM, False, the(in_flight=8, queued=1, idle_s=0, peak=9), 9),
        (8, MEDIUM, False, the(in_flight=8, queued=100, idle_s=0, peak=108), 16),
        (16, MEDIUM, False, the(in_flight=1, queued=1, idle_s=0, peak=2), 16),
        (4, Concurrency(4, 4), False, the(in_flight=4, queued=9, idle_s=0, peak=13), 4),
        # Shrinking: to the highest number of the last while, not below the lowest.
        (16, MEDIUM, False, the(in_flight=3, idle_s=0, peak=12), 12),
        (16, MEDIUM, False, the(idle_s=301, peak=0), 8),
        (16, MEDIUM, False, the(idle_s=301, peak=0, age_s=299), 16),
        # Zero: only where it is allowed, with nothing going on, long after the last request and the deployment's begin.
        (8, MEDIUM, True, the(idle_s=1_800), 0),
        (8, MEDIUM, True, the(idle_s=inf, age_s=1_800), 0),
        (8, MEDIUM, True, the(idle_s=inf, age_s=1_799), 8),
        (8, MEDIUM, True, the(idle_s=1_799), 8),
        (8, MEDIUM, True, the(in_flight=1, idle_s=0, peak=1), 8),
        (8, MEDIUM, False, the(idle_s=1_000_000), 8),
        # Asleep: stays so until somebody waits, and is then as large as at the start.
        (0, MEDIUM, True, the(idle_s=5), 0),
        (0, MEDIUM, True, the(queued=1, idle_s=0, peak=1), 8),
        (0, Concurrency(0, 4), True, the(queued=1, idle_s=0, peak=1), 1),
        (0, Concurrency(0, 4), True, the(queued=3, idle_s=0, peak=3), 3),
        # A config that no longer allows zero wakes what sleeps under the former one.
        (0, MEDIUM, False, the(idle_s=10_000), 8),
        (0, MEDIUM, False, the(idle_s=5, age_s=1), 8),
        # A minimum of none keeps one worker, unless zero is allowed.
        (3, Concurrency(0, 4), False, the(idle_s=10_000), 1),
        (3, Concurrency(0, 4), True, the(idle_s=10_000), 0),
        # A config with other bounds for the same workers.
        (4, MEDIUM, False, the(idle_s=0, age_s=1), 8),
        (30, MEDIUM, False, the(idle_s=0, age_s=1), 16),
    ],
)
def test_decides(current: int, bounds: Concurrency, to_zero: bool, load: Load, expected: int) -> None:
    assert decide(current, bounds, scale_to_zero=to_zero, load=load, limits=LIMITS) == expected


some_bounds = st.tuples(st.integers(0, 64), st.integers(0, 64)).map(lambda pair: Concurrency(min(pair), max(*pair, 1)))
seconds = st.floats(0, 1e6)


@st.composite
def loads(draw: st.DrawFn) -> Load:
    in_flight, queued = draw(st.integers(0, 100)), draw(st.integers(0, 100))
    busy = in_flight + queued
    idle_s = 0.0 if busy else draw(seconds | st.just(inf))
    return Load(in_flight, queued, idle_s, busy + draw(st.integers(0, 50)), draw(seconds))


some_limits = st.builds(ScalingLimits, seconds, seconds)


@given(st.integers(0, 64), some_bounds, st.booleans(), loads(), some_limits)
def test_holds_always(current: int, bounds: Concurrency, to_zero: bool, load: Load, limits: ScalingLimits) -> None:
    target = decide(current, bounds, scale_to_zero=to_zero, load=load, limits=limits)
    assert 0 <= target <= bounds.maximum
    if target:
        assert target >= min(max(bounds.minimum, 1), bounds.maximum)
    if load.queued:
        assert target >= min(current, bounds.maximum), "shrunk while requests wait"
        assert target >= min(load.in_flight + load.queued, bounds.maximum), "did not grow"
    if target == 0:
        assert to_zero
        assert load.queued == 0
        assert load.in_flight == 0 or current == 0, "put to sleep while it answers"
    if target < min(current, bounds.maximum) and target:
        assert load.age_s >= limits.scale_down_s
        assert target >= min(load.peak, bounds.maximum)


@given(st.integers(0, 64), some_bounds, st.booleans(), loads(), some_limits)
def test_deciding_again_changes_nothing(
    current: int, bounds: Concurrency, to_zero: bool, load: Load, limits: ScalingLimits
) -> None:
    once = decide(current, bounds, scale_to_zero=to_zero, load=load, limits=limits)
    assert decide(once, bounds, scale_to_zero=to_zero, load=load, limits=limits) == once
