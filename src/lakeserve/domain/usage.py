"""What was asked of a served entity and how long it took, in a form that adds up.

A gateway counts into one :class:`EntityUsage` for each served entity and reports the totals since its own start; the controller
adds the gateways' differences up. Times are milliseconds.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

BOUNDS_MS: tuple[float, ...] = (
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000, 600_000,
)  # fmt: skip
"""Upper bounds of the histograms' buckets; one more bucket holds what is above the last."""


@dataclass(slots=True)
class Histogram:
    """``counts[i]`` values were at most ``BOUNDS_MS[i]`` and above the bound before it."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_MS) + 1))
    total: float = 0.0

    def add(self, value_ms: float) -> None:
        self.counts[bisect_left(BOUNDS_MS, value_ms)] += 1
        self.total += value_ms

    def merge(self, other: Histogram, sign: int = 1) -> None:
        for index, count in enumerate(other.counts):
            self.counts[index] += sign * count
        self.total += sign * other.total

    @property
    def count(self) -> int:
        return sum(self.counts)


@dataclass(slots=True)
class EntityUsage:
    """Counters only grow. ``in_flight`` and ``queued`` are how many there are at the moment.

    ``latency`` is from the request's arrival to its answer's end, ``queue`` the wait for a worker in it, ``model`` what the
    model itself took.
    """

    requests: int = 0
    client_errors: int = 0
    server_errors: int = 0
    in_flight: int = 0
    queued: int = 0
    latency: Histogram = field(default_factory=Histogram)
    queue: Histogram = field(default_factory=Histogram)
    model: Histogram = field(default_factory=Histogram)

    def answered(self, status: int, latency_ms: float) -> None:
        self.requests += 1
        if status >= 500:
            self.server_errors += 1
        elif status >= 400:
            self.client_errors += 1
        self.latency.add(latency_ms)

    def merge(self, other: EntityUsage, sign: int = 1) -> None:
        """Add the other's counters, or with ``sign=-1`` take them off. Leaves ``in_flight`` and ``queued`` alone."""
        self.requests += sign * other.requests
        self.client_errors += sign * other.client_errors
        self.server_errors += sign * other.server_errors
        self.latency.merge(other.latency, sign)
        self.queue.merge(other.queue, sign)
        self.model.merge(other.model, sign)

    def copy(self) -> EntityUsage:
        new = EntityUsage(in_flight=self.in_flight, queued=self.queued)
        new.merge(self)
        return new


UsageKey = tuple[str, str]
"""(endpoint id, served entity name)"""


def dump(usage: EntityUsage) -> list[Any]:
    """As JSON for the way between processes of the same version."""
    histograms = (usage.latency, usage.queue, usage.model)
    counters = (usage.requests, usage.client_errors, usage.server_errors, usage.in_flight, usage.queued)
    return [*counters, *([histogram.counts, histogram.total] for histogram in histograms)]


def load(data: Sequence[Any]) -> EntityUsage:
    """The reverse of :func:`dump`."""
    latency, queue, model = (Histogram(list(counts), float(total)) for counts, total in data[5:])
    requests, client_errors, server_errors, in_flight, queued = data[:5]
    return EntityUsage(requests, client_errors, server_errors, in_flight, queued, latency, queue, model)
