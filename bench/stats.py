"""The few numbers that everything is told in. Pure."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

CURVE = (1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9)
"""Percentiles that describe a distribution of latencies."""


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest of the values that at least ``percent`` of them do not exceed (nearest rank: always one that was measured).

    :raises ValueError: there is no value.
    """
    if not ordered:
        raise ValueError("no values")
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over rounds of ours / theirs. Paired, because a round's two measurements were taken next to each other.

    Infinite where a peer measured nothing.
    """
    return median([our / their if their else math.inf for our, their in zip(ours, theirs, strict=True)])


def spread(values: Sequence[float]) -> float:
    """How far apart the rounds lie: (largest - smallest) / median."""
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else math.inf
