"""What the metrics are made of: the gateways' counters, and what the workers' processes use of the machine.

The :class:`Sampler` looks at the processes every few seconds, so that a scrape is answered from memory and a mean over the last
minute can be told at all. Deployments are keyed by (endpoint id, fingerprint).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from lakeserve.control.endpoints import Endpoints
from lakeserve.control.usage import UsageBook
from lakeserve.domain.endpoint import Endpoint
from lakeserve.domain.metrics import Consumption, EntityMetrics, ProcessGroup, ServerMetrics
from lakeserve.domain.principal import Principal
from lakeserve.ports.clock import Clock
from lakeserve.ports.process_stats import ProcessSample, ProcessStats
from lakeserve.ports.workers import Worker

_INTERVAL_S = 5.0
_WINDOW_S = 60.0

DeploymentId = tuple[str, str]
"""(endpoint id, fingerprint)"""

LiveWorkers = Callable[[], Collection[Worker]]


@dataclass(frozen=True, slots=True)
class _Slot:
    """What one deployment's workers used between two looks."""

    seconds: float
    cpu_s: float
    memory_bytes: int


class Sampler:
    def __init__(self, stats: ProcessStats, workers: LiveWorkers, clock: Clock) -> None:
        self._stats = stats
        self._workers = workers
        self._clock = clock
        self._last: dict[str, float] = {}
        self._last_look: float | None = None
        self._slots: dict[DeploymentId, deque[_Slot]] = {}

    async def run(self) -> None:
        """Forever; returns at once where nothing can be measured."""
        while self._stats.machine() is not None:
            await self.look()
            await asyncio.sleep(_INTERVAL_S)

    async def look(self) -> None:
        """Sample every worker once."""
        workers = [worker for worker in self._workers() if worker.pid]
        samples = await asyncio.to_thread(self._stats.sample, [worker.pid for worker in workers])
        self._take({worker: samples[worker.pid] for worker in workers if worker.pid in samples})

    def consumption(self, deployment: DeploymentId) -> Consumption | None:
        machine = self._stats.machine()
        slots = self._slots.get(deployment)
        if machine is None or not slots:
            return None
        seconds = sum(slot.seconds for slot in slots)
        cpu_s = sum(slot.cpu_s for slot in slots)
        memory = sum(slot.memory_bytes for slot in slots) / len(slots)
        return Consumption(
            100 * cpu_s / (seconds * machine.cpus) if seconds else 0.0, 100 * memory / machine.memory_bytes
        )

    def _take(self, samples: Mapping[Worker, ProcessSample]) -> None:
        now = self._clock.monotonic()
        seconds = 0.0 if self._last_look is None else now - self._last_look
        self._last_look = now
        groups: dict[DeploymentId, list[tuple[Worker, ProcessSample]]] = {}
        for worker, sample in samples.items():
            groups.setdefault((worker.endpoint_id, worker.fingerprint), []).append((worker, sample))
        for deployment in groups.keys() | self._slots.keys():
            members = groups.get(deployment, [])
            # A worker's first sample holds what it used before anybody looked, which is another time's.
            cpu_s = sum(sample.cpu_s - self._last.get(worker.id, sample.cpu_s) for worker, sample in members)
            memory_bytes = sum(sample.memory_bytes for _, sample in members)
            slots = self._slots.setdefault(deployment, deque())
            slots.append(_Slot(seconds, cpu_s, memory_bytes))
            while len(slots) > _WINDOW_S / _INTERVAL_S:
                slots.popleft()
            if not any(slot.memory_bytes for slot in slots):
                del self._slots[deployment]
        self._last = {worker.id: sample.cpu_s for worker, sample in samples.items()}


class Metrics:
    def __init__(
        self, endpoints: Endpoints, usage: UsageBook, sampler: Sampler, stats: ProcessStats, workers: LiveWorkers
    ) -> None:
        self._endpoints = endpoints
        self._usage = usage
        self._sampler = sampler
        self._stats = stats
        self._workers = workers

    async def of_endpoint(self, caller: Principal, name: str) -> tuple[EntityMetrics, ...]:
        """
        :raises ResourceDoesNotExist: no such endpoint.
        :raises PermissionDenied: the caller may not view it.
        """
        endpoint = await self._endpoints.authorised(caller, name, "endpoints.metrics")
        return tuple(self._of_entities(endpoint))

    async def of_server(self, caller: Principal) -> ServerMetrics:
        """For admins, who see every endpoint."""
        endpoints = await self._endpoints.list(caller)
        entities = tuple(metrics for endpoint in endpoints for metrics in self._of_entities(endpoint))
        return ServerMetrics(entities, await asyncio.to_thread(self._of_processes))

    def _of_entities(self, endpoint: Endpoint) -> Iterable[EntityMetrics]:
        if endpoint.active is None:
            return
        living = [worker.fingerprint for worker in self._workers() if worker.endpoint_id == endpoint.id]
        for entity in endpoint.active.entities:
            key = (endpoint.id, entity.name)
            activity = self._usage.activity(key)
            yield EntityMetrics(
                endpoint=endpoint.name,
                served_entity=entity.name,
                consumption=self._sampler.consumption((endpoint.id, entity.fingerprint)),
                provisioned=living.count(entity.fingerprint),
                recent=self._usage.last_minute(key),
                total=self._usage.total(key),
                in_flight=activity.in_flight,
                queued=activity.queued,
            )

    def _of_processes(self) -> dict[str, ProcessGroup]:
        """Blocks, as sampling does."""
        kinds = {**self._stats.server(), **{worker.pid: "worker" for worker in self._workers() if worker.pid}}
        groups: dict[str, list[ProcessSample]] = {}
        for pid, sample in self._stats.sample(list(kinds)).items():
            groups.setdefault(kinds[pid], []).append(sample)
        return {
            kind: ProcessGroup(
                len(samples), sum(each.cpu_s for each in samples), sum(each.memory_bytes for each in samples)
            )
            for kind, samples in groups.items()
        }
