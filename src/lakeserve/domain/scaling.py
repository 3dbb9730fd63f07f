"""How many workers a deployment should have. A pure decision from what is wanted, what there is and what is going on.

Growing is immediate: a request that waits is reason enough. Shrinking is slow: workers are given up only after a time in which they
were not needed, and the last one only by an entity that may scale to zero, after a longer time without any request.
"""

from __future__ import annotations

from dataclasses import dataclass

from lakeserve.domain.workload import Concurrency


@dataclass(frozen=True, slots=True)
class ScalingLimits:
    """Seconds; see :class:`lakeserve.settings.Limits`."""

    scale_down_s: float
    scale_to_zero_s: float


@dataclass(frozen=True, slots=True)
class Load:
    """``idle_s``: since the last request; infinity when there never was one. ``peak``: most in flight or waiting within the last
    ``scale_down_s``, now included. ``age_s``: since the deployment was first ready, which is as good as a request for not
    shrinking."""

    in_flight: int
    queued: int
    idle_s: float
    peak: int
    age_s: float


def decide(current: int, bounds: Concurrency, *, scale_to_zero: bool, load: Load, limits: ScalingLimits) -> int:
    """The number of workers to work towards; ``current`` is the number worked towards until now."""
    lowest = max(bounds.minimum, 1)
    if load.queued > 0:
        needed = load.in_flight + load.queued
        return min(bounds.maximum, max(needed, current, lowest))
    quiet_s = min(load.idle_s, load.age_s)
    if scale_to_zero and load.in_flight == 0 and quiet_s >= limits.scale_to_zero_s:
        return 0
    if current == 0 and scale_to_zero:
        return 0
    if load.age_s >= limits.scale_down_s:
        return min(max(lowest, load.peak), max(current, lowest), bounds.maximum)
    return min(max(current, lowest), bounds.maximum)
