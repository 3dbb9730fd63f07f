"""A controller without any process: the real use cases and reconcilers over the memory adapters, on virtual time."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from dataclasses import replace

from lakeserve.adapters.memory.models import MemoryEnvironments, MemoryModels
from lakeserve.adapters.memory.publisher import MemoryPublisher
from lakeserve.adapters.memory.store import MemoryEndpointStore
from lakeserve.adapters.memory.workers import MemoryLogs, MemoryWorkers
from lakeserve.control.deployment import Parts
from lakeserve.control.reconciler import Reconcilers
from lakeserve.control.usage import UsageBook
from lakeserve.domain import lifecycle
from lakeserve.domain.endpoint import DeploymentState, Endpoint, EndpointConfig, Route, ServedEntity
from lakeserve.domain.principal import AccessList
from lakeserve.domain.routing import EndpointRoutes
from lakeserve.domain.scaling import ScalingLimits
from lakeserve.domain.usage import EntityUsage
from lakeserve.domain.workload import Workload
from lakeserve.ports.store import StoreTrouble, StoreUnavailable
from support.clock import LoopClock, until
from support.endpoints import an_endpoint, an_entity

MODEL = "main.default.wine"
SCALING = ScalingLimits(scale_down_s=300.0, scale_to_zero_s=1_800.0)
START_LIMIT_S = 60.0


class FlakyStore(MemoryEndpointStore):
    """A memory store that can be away, for the next calls or until further notice."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.failures: deque[Exception] = deque()

    async def get(self, endpoint_id: str) -> Endpoint | None:
        self._fail()
        return await super().get(endpoint_id)

    async def save(self, endpoint: Endpoint) -> Endpoint:
        self._fail()
        return await super().save(endpoint)

    def _fail(self) -> None:
        if self.away:
            raise StoreUnavailable(StoreTrouble.LOCKED, "the test holds it")
        if self.failures:
            raise self.failures.popleft()


class World:
    """What outlives a controller: the store, the workers and the model files."""

    def __init__(self) -> None:
        self.store = FlakyStore()
        self.models = MemoryModels()
        self.environments = MemoryEnvironments()
        self.workers = MemoryWorkers()
        self.logs = MemoryLogs()
        self.secrets: dict[str, str | Exception] = {}
        """What stands for the whole value of a variable, or why it cannot be had."""
        self.resolved_for: list[str] = []
        """By whose rights, for each start of a worker."""
        for version in range(1, 6):
            self.models.add(MODEL, str(version))

    async def resolve(self, entity: ServedEntity) -> dict[str, str]:
        self.resolved_for.append(entity.creator_id)
        found = {name: self.secrets.get(value, value) for name, value in entity.environment_vars.items()}
        for value in found.values():
            if isinstance(value, Exception):
                raise value
        return {name: str(value) for name, value in found.items()}


class Controller:
    """One life of a controller in a world, and what a user does to endpoints in it."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        self.clock = LoopClock()
        self.publisher = MemoryPublisher()
        self.usage = UsageBook(self.clock)
        world = self.world
        self.parts = Parts(
            models=world.models, resolve=world.resolve, environments=world.environments, workers=world.workers, logs=world.logs,
            clock=self.clock, env_manager="uv", execution_s=60.0, load_s=60.0, drain_s=600.0, scaling=SCALING,
        )  # fmt: skip
        self.reconcilers = Reconcilers(world.store, self.publisher, self.parts, self.usage)
        self.usage.on_queued = self.reconcilers.on_queued
        self._looking: asyncio.Task[None] | None = None
        self._gateways = itertools.count(1)

    async def start(self) -> Controller:
        await self.reconcilers.start()
        self._looking = asyncio.create_task(self.reconcilers.look_around())
        return self

    async def stop(self) -> None:
        """As kill -9 would: nothing is tidied up."""
        if self._looking is not None:
            self._looking.cancel()
        await self.reconcilers.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    # What a user does

    async def create(self, *entities: ServedEntity, name: str = "wine") -> str:
        endpoint = an_endpoint(name)
        begun = lifecycle.begin_update(endpoint, config_of(1, *entities), now=self.clock.now_ms())
        added = await self.world.store.add(begun, AccessList())
        self.reconcilers.hint(added)
        return added.id

    async def change(
        self, endpoint_id: str, what: str, *entities: ServedEntity, routes: tuple[Route, ...] = ()
    ) -> None:
        endpoint, now = await self.get(endpoint_id), self.clock.now_ms()
        match what:
            case "update":
                config = config_of(endpoint.last_config_version + 1, *entities)
                changed = lifecycle.begin_update(endpoint, replace(config, routes=routes or config.routes), now=now)
            case "stop":
                changed = lifecycle.stop(endpoint, now=now)
            case "start":
                changed = lifecycle.start(endpoint, now=now)
            case _:
                changed = lifecycle.cancel(endpoint, now=now)
        self.reconcilers.hint(await self.world.store.save(changed))

    async def delete(self, endpoint_id: str) -> None:
        endpoint = await self.get(endpoint_id)
        assert await self.world.store.delete(endpoint_id)
        self.reconcilers.hint(endpoint)

    async def ready(self, endpoint_id: str) -> Endpoint:
        """Wait for it, and for all of its workers."""
        await until(lambda: self._is_ready(endpoint_id), START_LIMIT_S)
        await asyncio.sleep(0.1)
        return await self.get(endpoint_id)

    async def _is_ready(self, endpoint_id: str) -> bool:
        endpoint = await self.get(endpoint_id)
        return endpoint.ready.value == "READY" and not endpoint.updating

    # What is to be seen

    async def get(self, endpoint_id: str) -> Endpoint:
        endpoint = self.world.store._endpoints.get(endpoint_id)
        assert endpoint is not None
        return endpoint

    async def states(self, endpoint_id: str) -> dict[tuple[int, str], DeploymentState]:
        endpoint = await self.get(endpoint_id)
        return {key: deployment.state for key, deployment in endpoint.deployments.items()}

    async def message(self, endpoint_id: str, version: int, name: str = "a") -> str:
        return (await self.get(endpoint_id)).deployments[version, name].message

    def routes(self, name: str = "wine") -> EndpointRoutes:
        table = self.publisher.table
        assert table is not None
        return table.endpoints[name]

    def addresses(self, name: str = "wine") -> list[set[str]]:
        return [set(entity.workers) for entity in self.routes(name).entities]

    def living(self) -> set[str]:
        return {worker.address for worker in self.world.workers.living.values()}

    def reports(self, endpoint_id: str, *, entity: str = "a", gateway: str = "g", **counters: int) -> None:
        """A gateway says what goes on at a served entity."""
        self.usage.report(gateway, [((endpoint_id, entity), EntityUsage(**counters))])


def entity(name: str = "a", version: str = "1", *, units: int | tuple[int, int] = 1, **changes: object) -> ServedEntity:
    low, high = units if isinstance(units, tuple) else (units, units)
    workload = Workload(size=None, min_concurrency=low, max_concurrency=high)
    return an_entity(
        name, entity_name=MODEL, entity_version=version, resolved_version=version, workload=workload, **changes
    )


def config_of(version: int, *entities: ServedEntity) -> EndpointConfig:
    served = entities or (entity(),)
    share, rest = divmod(100, len(served))
    routes = tuple(Route(each.name, share + (rest if index == 0 else 0)) for index, each in enumerate(served))
    return EndpointConfig(version=version, entities=served, routes=routes, started_at=1_000)
