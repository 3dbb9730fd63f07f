"""Lets the deployments of one endpoint grow and shrink with what the gateways report.

``consider`` is called about once a second, and at once when a request had to wait. It only decides; the deployment does the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from lakeserve.control.deployment import EntityDeployment
from lakeserve.control.usage import UsageBook
from lakeserve.domain.endpoint import ServedEntity
from lakeserve.domain.scaling import Load, ScalingLimits, decide
from lakeserve.domain.usage import UsageKey
from lakeserve.domain.workload import Concurrency
from lakeserve.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class Demand:
    """What the served entities that share a deployment ask for together."""

    bounds: Concurrency
    scale_to_zero: bool
    keys: frozenset[UsageKey]

    @property
    def lowest(self) -> int:
        """The size to begin with."""
        return max(self.bounds.minimum, 1)


def demand(endpoint_id: str, entities: Iterable[ServedEntity]) -> Demand:
    """The largest of the bounds; it may sleep only if all of them may."""
    served = list(entities)
    wanted = [entity.workload.concurrency for entity in served]
    bounds = Concurrency(max(each.minimum for each in wanted), max(each.maximum for each in wanted))
    keys = frozenset((endpoint_id, entity.name) for entity in served)
    return Demand(bounds, all(entity.scale_to_zero for entity in served), keys)


class Autoscaler:
    """For one deployment."""

    def __init__(self, deployment: EntityDeployment, usage: UsageBook, clock: Clock, limits: ScalingLimits) -> None:
        self._deployment = deployment
        self._usage = usage
        self._clock = clock
        self._limits = limits
        self._since = clock.monotonic()
        self._peaks: deque[tuple[float, int]] = deque()

    def consider(self, wanted: Demand) -> None:
        deployment = self._deployment
        if not deployment.proven:
            # What took long to load has not been idle for as long, and would fall asleep the moment it is ready.
            self._since = self._clock.monotonic()
            deployment.resize(wanted.lowest)
            return
        load = self._load(wanted.keys)
        target = decide(
            deployment.target, wanted.bounds, scale_to_zero=wanted.scale_to_zero, load=load, limits=self._limits
        )
        deployment.resize(target)

    def _load(self, keys: frozenset[UsageKey]) -> Load:
        now = self._clock.monotonic()
        activities = [self._usage.activity(key) for key in keys]
        in_flight = sum(activity.in_flight for activity in activities)
        queued = sum(activity.queued for activity in activities)
        idle_s = min((activity.idle_s for activity in activities), default=float("inf"))
        peak = self._peak(now, in_flight + queued)
        return Load(in_flight, queued, idle_s, peak, now - self._since)

    def _peak(self, now: float, busy: int) -> int:
        """The most within the window: a queue in which each entry is larger than all later ones."""
        peaks = self._peaks
        while peaks and peaks[-1][1] <= busy:
            peaks.pop()
        peaks.append((now, busy))
        while peaks[0][0] < now - self._limits.scale_down_s:
            peaks.popleft()
        return peaks[0][1]
