"""What a run yields: samples of each side, ratios between sides, and whether the aims are met. Pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from bench import stats


@dataclass(frozen=True, slots=True)
class Metric:
    key: str
    title: str
    unit: str
    more_is_better: bool = False


RATE = Metric("requests_per_s", "requests/s", "1/s", more_is_better=True)
P50 = Metric("p50_ms", "p50", "ms")
P99 = Metric("p99_ms", "p99", "ms")
CPU = Metric("cpu_ms_per_request", "CPU/request", "ms")
SERVING = (RATE, P50, P99, CPU)
"""What closed-loop load on a server is told in."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one side. ``curve`` has the latencies in ms at :data:`bench.stats.CURVE`."""

    values: dict[str, float]
    requests: int
    errors: int
    generator_cpu: float
    """Share of its core that the load generator used. Near 1 it is the generator that was measured."""
    curve: tuple[float, ...] = ()
    cpu_ms: dict[str, float] = field(default_factory=dict)
    """CPU time per request of each part of the peer."""


@dataclass(slots=True)
class Side:
    """One peer in one case; the sample of each round."""

    peer: str
    samples: list[Sample] = field(default_factory=list)

    def all(self, metric: Metric) -> list[float]:
        return [sample.values[metric.key] for sample in self.samples]

    def median(self, metric: Metric) -> float:
        return stats.median(self.all(metric))

    def curve(self) -> list[float]:
        return [stats.median(column) for column in zip(*(sample.curve for sample in self.samples), strict=True)]

    def cpu_parts(self) -> dict[str, float]:
        parts = self.samples[0].cpu_ms
        return {part: stats.median([sample.cpu_ms.get(part, 0.0) for sample in self.samples]) for part in parts}

    @property
    def errors(self) -> int:
        return sum(sample.errors for sample in self.samples)


@dataclass(frozen=True, slots=True)
class Aim:
    """What our ratio to every peer should be: at least the bound where more is better, else at most."""

    metric: Metric
    bound: float

    def met(self, ratio: float) -> bool:
        return ratio >= self.bound if self.metric.more_is_better else ratio <= self.bound

    def __str__(self) -> str:
        return f"{self.metric.title} {'≥' if self.metric.more_is_better else '≤'} {self.bound:g}x"


@dataclass(slots=True)
class CaseResult:
    """One case: our side, the others', and the aims. ``metrics`` is what its samples hold."""

    name: str
    title: str
    metrics: tuple[Metric, ...]
    ours: Side
    theirs: list[Side]
    aims: tuple[Aim, ...] = ()

    @property
    def errors(self) -> int:
        return sum(side.errors for side in (self.ours, *self.theirs))

    def ratio(self, metric: Metric, side: Side) -> float:
        return stats.ratio(self.ours.all(metric), side.all(metric))

    def missed(self) -> list[tuple[Aim, Side]]:
        return [(aim, side) for aim in self.aims for side in self.theirs if not aim.met(self.ratio(aim.metric, side))]

    def to_json(self) -> dict[str, Any]:
        return {
            "case": self.name,
            "title": self.title,
            "aims": [str(aim) for aim in self.aims],
            "sides": [asdict(side) for side in (self.ours, *self.theirs)],
            "medians": {
                side.peer: {metric.key: side.median(metric) for metric in self.metrics}
                for side in (self.ours, *self.theirs)
            },
            "ratios": {
                side.peer: {metric.key: self.ratio(metric, side) for metric in self.metrics} for side in self.theirs
            },
        }


@dataclass(slots=True)
class Run:
    """Everything that one command measured, and on what."""

    machine: dict[str, Any]
    cases: list[CaseResult] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)
    """Peers that could not take part, and why."""

    @property
    def errors(self) -> int:
        return sum(case.errors for case in self.cases)

    def to_json(self) -> dict[str, Any]:
        return {
            "machine": self.machine,
            "absent": self.absent,
            "percentiles": list(stats.CURVE),
            "cases": [case.to_json() for case in self.cases],
        }
