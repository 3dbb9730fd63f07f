"""Counting what passes through this gateway, and saying so when it matters.

The counters are plain numbers in this process; the adapter that carries them to the controller takes what has changed
once a second. It is woken at once when a request has to wait, because that is when a sleeping or a small endpoint must
grow.
"""

from __future__ import annotations

import asyncio

from lakeserve.domain.usage import EntityUsage, UsageKey


class Meter:
    def __init__(self) -> None:
        self._usage: dict[UsageKey, EntityUsage] = {}
        self._changed: set[UsageKey] = set()
        self.urgent = asyncio.Event()

    def of(self, key: UsageKey) -> EntityUsage:
        """The entity's counters, to be changed in place; they will be part of the next report."""
        self._changed.add(key)
        usage = self._usage.get(key)
        if usage is None:
            usage = self._usage[key] = EntityUsage()
        return usage

    def take(self) -> list[tuple[UsageKey, EntityUsage]]:
        """What has changed since the last call, and what is still going on."""
        taken = [(key, self._usage[key]) for key in self._changed]
        self._changed = {key for key, usage in taken if usage.in_flight or usage.queued}
        self.urgent.clear()
        return taken

    def take_all(self) -> list[tuple[UsageKey, EntityUsage]]:
        """Everything, for a controller that knows nothing yet."""
        self._changed = set(self._usage)
        return self.take()

    def forget(self, endpoint_id: str) -> None:
        """The endpoint is gone; requests that are still under way count for nobody."""
        for key in [key for key in self._usage if key[0] == endpoint_id]:
            del self._usage[key]
            self._changed.discard(key)
