"""The usage that all gateways report, added up: totals for the metrics, and what is going on now for the autoscaler.

A gateway reports its totals since its start. What is new in a report is the difference to its former one; a gateway that
was started again has a new name and begins at zero. When one is gone, what it had in flight is gone with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lakeserve.domain.usage import EntityUsage, UsageKey
from lakeserve.ports.clock import Clock

_WINDOW_S = 60.0
_SLOT_S = 5.0
_REMEMBERED_GATEWAYS = 128


@dataclass(frozen=True, slots=True)
class Activity:
    """At this moment. ``idle_s`` is how long ago the last request was in flight; infinity when there never was one."""

    in_flight: int
    queued: int
    idle_s: float


class UsageBook:
    """``on_queued`` is called with the ids of the endpoints at which requests wait, right after such a report."""

    def __init__(self, clock: Clock, on_queued: Callable[[set[str]], None] = lambda _: None) -> None:
        self._clock = clock
        self.on_queued = on_queued
        self._reports: dict[str, dict[UsageKey, EntityUsage]] = {}
        self._totals: dict[UsageKey, EntityUsage] = {}
        self._past: dict[UsageKey, deque[tuple[float, EntityUsage]]] = {}
        self._last_busy: dict[UsageKey, float] = {}

    def report(self, gateway: str, usage: Iterable[tuple[UsageKey, EntityUsage]]) -> None:
        """Take in a gateway's totals; entities that it does not mention have not changed.

        Its first report is what it had counted before it met this controller.
        """
        now = self._clock.monotonic()
        first = gateway not in self._reports
        known = self._reports.setdefault(gateway, {})
        waiting: set[str] = set()
        for key, current in usage:
            before = known.get(key)
            total = self._totals.setdefault(key, EntityUsage())
            if before is None or current.requests != before.requests or current.in_flight or current.queued:
                self._last_busy[key] = now
            total.merge(current)
            if before is not None:
                total.merge(before, -1)
            known[key] = current
            if first:
                self._backdate(key, current, now)
            else:
                self._remember(key, now)
            if current.queued:
                waiting.add(key[0])
        if waiting:
            self.on_queued(waiting)

    def gone(self, gateway: str) -> None:
        """Its connection is closed, and nothing is in flight there any more. Its counters are kept, should it come back."""
        for usage in self._reports.get(gateway, {}).values():
            usage.in_flight = usage.queued = 0
        while len(self._reports) > _REMEMBERED_GATEWAYS:
            del self._reports[next(iter(self._reports))]

    def forget(self, endpoint_id: str) -> None:
        """The endpoint was deleted."""
        tables: tuple[dict[UsageKey, Any], ...] = (self._totals, self._past, self._last_busy, *self._reports.values())
        for table in tables:
            for key in [key for key in table if key[0] == endpoint_id]:
                del table[key]

    def activity(self, key: UsageKey) -> Activity:
        current = [report[key] for report in self._reports.values() if key in report]
        last = self._last_busy.get(key)
        idle = float("inf") if last is None else self._clock.monotonic() - last
        in_flight, queued = sum(usage.in_flight for usage in current), sum(usage.queued for usage in current)
        return Activity(in_flight, queued, 0.0 if in_flight or queued else idle)

    def total(self, key: UsageKey) -> EntityUsage:
        """Since the controller's start."""
        return self._totals.get(key, EntityUsage()).copy()

    def last_minute(self, key: UsageKey) -> EntityUsage:
        """What was added within the last minute, to within five seconds."""
        recent = self.total(key)
        horizon = self._clock.monotonic() - _WINDOW_S
        before = [usage for begin, usage in self._past.get(key, ()) if begin + _SLOT_S <= horizon]
        if before:
            recent.merge(before[-1], -1)
        return recent

    def _backdate(self, key: UsageKey, brought: EntityUsage, now: float) -> None:
        """What a gateway brings along is in the totals; nobody knows of when it is, so it is not of the last minute."""
        past = self._past.setdefault(key, deque())
        for _, usage in past:
            usage.merge(brought)
        long_ago = now - _WINDOW_S - _SLOT_S
        if not past or past[0][0] > long_ago:
            past.appendleft((long_ago, brought.copy()))

    def _remember(self, key: UsageKey, now: float) -> None:
        """Keep the totals at the end of each slot of time, by the slot's begin."""
        past = self._past.setdefault(key, deque())
        begin = past.pop()[0] if past and now - past[-1][0] < _SLOT_S else now
        past.append((begin, self._totals[key].copy()))
        while len(past) > 1 and past[1][0] + _SLOT_S <= now - _WINDOW_S:
            past.popleft()
