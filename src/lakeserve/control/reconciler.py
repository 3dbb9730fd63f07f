"""Keeps every endpoint as it should be: one task for each, serial inside, parallel across.

A round reads the stored endpoint, makes sure that a deployment works on each served entity that is wanted, stores what the
deployments have come to (a write that is refused when somebody changed the endpoint meanwhile: then the round starts over),
publishes the routes, and only then ends what is wanted no longer. Rounds are started by hints: a committed change, or a deployment
whose status or workers changed. A round can be repeated at any time, so a killed controller simply begins again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from lakeserve.control.autoscaler import Autoscaler, Demand, demand
from lakeserve.control.deployment import EntityDeployment, Parts
from lakeserve.control.usage import UsageBook
from lakeserve.domain.endpoint import Deployment as Observed
from lakeserve.domain.endpoint import DeploymentKey, DeploymentState, Endpoint, EndpointConfig, ServedEntity, Step
from lakeserve.domain.lifecycle import observe
from lakeserve.domain.principal import AccessList
from lakeserve.domain.routing import EndpointRoutes, EntityRoute
from lakeserve.ports.publisher import Publisher
from lakeserve.ports.store import EndpointStore, StaleRevision, StoreUnavailable
from lakeserve.ports.workers import Worker

_log = logging.getLogger(__name__)
_RETRY_S = 1.0
_LOOK_S = 1.0


class Reconcilers:
    """All of them. ``hint`` is how the use cases say that something was committed."""

    def __init__(self, store: EndpointStore, publisher: Publisher, parts: Parts, usage: UsageBook) -> None:
        self._store = store
        self._publisher = publisher
        self._parts = parts
        self._usage = usage
        self._by_id: dict[str, EndpointReconciler] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._lost_early: set[str] = set()
        self._adopting = False

    async def start(self) -> None:
        """Take up every stored endpoint, with the workers of an earlier controller that still serve."""
        endpoints = await self._store.list()
        stored = frozenset(endpoint.id for endpoint in endpoints)
        self._adopting = True
        adopted = await self._parts.workers.adopt(stored, self._on_lost)
        self._parts.logs.keep(stored)
        first_rounds = []
        for endpoint in endpoints:
            workers = [w for w in adopted if w.endpoint_id == endpoint.id and w.id not in self._lost_early]
            first_rounds.append(self._take_up(endpoint, workers).first_round.wait())
        self._adopting = False
        await asyncio.gather(*first_rounds)
        self._publisher.complete()

    def hint(self, endpoint: Endpoint) -> None:
        reconciler = self._by_id.get(endpoint.id)
        if reconciler is None:
            self._take_up(endpoint, [])
        else:
            reconciler.wake()

    def on_queued(self, endpoint_ids: Iterable[str]) -> None:
        """Requests wait at these endpoints: growing cannot wait for the next look around."""
        for endpoint_id in endpoint_ids:
            if (reconciler := self._by_id.get(endpoint_id)) is not None:
                reconciler.consider()

    def workers(self) -> list[Worker]:
        """Every ready worker of every endpoint."""
        return [worker for reconciler in self._by_id.values() for worker in reconciler.workers]

    async def look_around(self) -> None:
        """Forever: let every endpoint consider its size now and then."""
        while True:
            await asyncio.sleep(_LOOK_S)
            for reconciler in list(self._by_id.values()):
                reconciler.consider()

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take_up(self, endpoint: Endpoint, adopted: list[Worker]) -> EndpointReconciler:
        reconciler = EndpointReconciler(endpoint, self._store, self._publisher, self._parts, self._usage)
        reconciler.adopt(adopted)
        self._by_id[endpoint.id] = reconciler
        task = asyncio.create_task(self._run(reconciler), name=f"endpoint {endpoint.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return reconciler

    async def _run(self, reconciler: EndpointReconciler) -> None:
        await reconciler.run()
        del self._by_id[reconciler.endpoint_id]
        self._usage.forget(reconciler.endpoint_id)

    async def _on_lost(self, worker: Worker, how: str) -> None:
        reconciler = self._by_id.get(worker.endpoint_id)
        if reconciler is not None:
            await reconciler.on_lost(worker, how)
        elif self._adopting:
            self._lost_early.add(worker.id)


class EndpointReconciler:
    def __init__(
        self, endpoint: Endpoint, store: EndpointStore, publisher: Publisher, parts: Parts, usage: UsageBook
    ) -> None:
        self.endpoint_id = endpoint.id
        self._name = endpoint.name
        self._store = store
        self._publisher = publisher
        self._parts = parts
        self._usage = usage
        self._adopted: list[Worker] = []
        self._deployments: dict[str, EntityDeployment] = {}
        self._scalers: dict[str, Autoscaler] = {}
        self._demands: dict[str, Demand] = {}
        self._endings: set[asyncio.Task[None]] = set()
        self._known: tuple[Endpoint, AccessList] | None = None
        self._wake = asyncio.Event()
        self.first_round = asyncio.Event()

    @property
    def workers(self) -> list[Worker]:
        return [worker for deployment in self._deployments.values() for worker in deployment.workers]

    def adopt(self, workers: list[Worker]) -> None:
        """Before the first round: workers of an earlier controller."""
        self._adopted = workers

    def wake(self) -> None:
        self._wake.set()

    async def on_lost(self, worker: Worker, how: str) -> None:
        """Of a worker that was adopted; the others tell their deployment themselves."""
        self._adopted = [other for other in self._adopted if other.id != worker.id]
        deployment = self._deployments.get(worker.fingerprint)
        if deployment is not None:
            await deployment.on_lost(worker, how)

    async def run(self) -> None:
        """Until the endpoint is deleted and its last worker has ended."""
        while True:
            self._wake.clear()
            try:
                goes_on = await self._round()
                self.first_round.set()
                if not goes_on:
                    return
            except StaleRevision:
                continue
            except StoreUnavailable as error:
                # Not a first round: the gateways' tables are better than one that lacks what could not be read.
                _log.warning("endpoint %s: %s", self._name, error)
                await asyncio.sleep(_RETRY_S)
                continue
            except Exception:  # noqa: BLE001
                # The boundary of this task: an endpoint must not be left alone because of a bug in one round.
                _log.exception("endpoint %s", self._name)
                self.first_round.set()
                await asyncio.sleep(_RETRY_S)
                continue
            await self._wake.wait()

    async def _round(self) -> bool:
        """False when the endpoint is gone."""
        self._publish()
        endpoint = await self._store.get(self.endpoint_id)
        if endpoint is None:
            await self._tear_down()
            return False
        self._align(endpoint)
        endpoint = await self._record(endpoint)
        self._known = endpoint, await self._store.access(endpoint.id)
        self._publish()
        self._retire(endpoint)
        return True

    def _publish(self) -> None:
        """By what was last read of the store, so that requests reach a worker's replacement also while the store is away."""
        if self._known is not None:
            endpoint, access = self._known
            routes = self._routes(endpoint)
            self._publisher.publish(
                EndpointRoutes(endpoint.id, endpoint.name, access, routes, endpoint.updating, endpoint.stopped)
            )

    def consider(self) -> None:
        """Let the deployments grow or shrink."""
        for fingerprint, scaler in self._scalers.items():
            scaler.consider(self._demands[fingerprint])

    def _align(self, endpoint: Endpoint) -> None:
        """A deployment for each wanted fingerprint, of the size that its entities ask for together."""
        wanted: dict[str, list[ServedEntity]] = {}
        for _, entity in endpoint.desired():
            wanted.setdefault(entity.fingerprint, []).append(entity)
        self._demands = {fingerprint: demand(endpoint.id, entities) for fingerprint, entities in wanted.items()}
        for fingerprint, entities in wanted.items():
            if fingerprint not in self._deployments:
                self._begin(endpoint, entities[0], self._demands[fingerprint].lowest)
            self._deployments[fingerprint].speak_for(entities[-1])
            self._scalers[fingerprint].consider(self._demands[fingerprint])

    def _begin(self, endpoint: Endpoint, entity: ServedEntity, target: int) -> None:
        deployment = EntityDeployment(
            self._parts, endpoint_id=endpoint.id, endpoint_name=endpoint.name, entity=entity, changed=self.wake
        )
        active = endpoint.active.entities if endpoint.active is not None and not endpoint.stopped else ()
        proven = any(other.fingerprint == entity.fingerprint for other in active)
        adopted = [worker for worker in self._adopted if worker.fingerprint == entity.fingerprint]
        self._adopted = [worker for worker in self._adopted if worker not in adopted]
        self._deployments[entity.fingerprint] = deployment
        self._scalers[entity.fingerprint] = Autoscaler(deployment, self._usage, self._parts.clock, self._parts.scaling)
        deployment.begin(proven=proven, adopted=adopted, target=max(target, len(adopted)))

    async def _record(self, endpoint: Endpoint) -> Endpoint:
        observed: dict[DeploymentKey, Observed] = {
            (config.version, entity.name): self._observed(endpoint, config, entity)
            for config, entity in endpoint.desired()
        }
        changed = observe(endpoint, observed, now=self._parts.clock.now_ms())
        return endpoint if changed == endpoint else await self._store.save(changed)

    def _observed(self, endpoint: Endpoint, config: EndpointConfig, entity: ServedEntity) -> Observed:
        """What replaces something that serves takes over all of its load at once, so it is ready when all of its workers are.

        One that never gets there has failed.
        """
        deployment = self._deployments[entity.fingerprint]
        serving = endpoint.active.entities if endpoint.active is not None and not endpoint.stopped else ()
        takes_over = config is endpoint.pending and bool(serving)
        kept = any(other.fingerprint == entity.fingerprint for other in serving)
        if (
            takes_over
            and not kept
            and not deployment.complete
            and deployment.status.state is not DeploymentState.FAILED
        ):
            if deployment.hopeless is not None:
                return Observed(DeploymentState.FAILED, deployment.hopeless, Step.ENDED)
            if deployment.status.state is not DeploymentState.READY:
                return deployment.status
            return Observed(DeploymentState.CREATING, "Starting its other workers", Step.STARTING_WORKERS)
        return deployment.status

    def _routes(self, endpoint: Endpoint) -> tuple[EntityRoute, ...]:
        if endpoint.active is None or endpoint.stopped:
            return ()
        shares = {route.served_entity: route.percentage for route in endpoint.active.routes}
        return tuple(
            EntityRoute(
                entity.name,
                entity.fingerprint,
                shares.get(entity.name, 0),
                tuple(worker.address for worker in self._deployments[entity.fingerprint].workers),
                entity.workload.concurrency.maximum,
            )
            for entity in endpoint.active.entities
        )

    def _retire(self, endpoint: Endpoint) -> None:
        wanted = {entity.fingerprint for _, entity in endpoint.desired()}
        for fingerprint in self._deployments.keys() - wanted:
            del self._scalers[fingerprint]
            self._later(self._deployments.pop(fingerprint).end())
        for worker in self._adopted:
            self._later(self._parts.workers.drain(worker, self._parts.drain_s))
        self._adopted = []

    async def _tear_down(self) -> None:
        self._publisher.withdraw(self._name, self.endpoint_id)
        await asyncio.gather(
            *(deployment.end() for deployment in self._deployments.values()),
            *(self._parts.workers.kill(worker) for worker in self._adopted),
            *self._endings,
            return_exceptions=True,
        )
        self._parts.logs.remove(self.endpoint_id)

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
