"""The use cases of serving endpoints. Each checks, commits one change, and hints the reconciler; none waits for processes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from lakeserve.control.operations import level_of
from lakeserve.control.reconciler import Reconcilers
from lakeserve.control.references import References
from lakeserve.domain import lifecycle
from lakeserve.domain.endpoint import Endpoint, EndpointConfig, ServedEntity
from lakeserve.domain.errors import (
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceConflict,
    ResourceDoesNotExist,
    TemporarilyUnavailable,
)
from lakeserve.domain.principal import AccessList, Level, Principal
from lakeserve.domain.requested import (
    ModelKey,
    RequestedConfig,
    RequestedEndpoint,
    check_endpoint,
    models_to_resolve,
    settle,
)
from lakeserve.ports.clock import Clock, Ids
from lakeserve.ports.logs import Logs
from lakeserve.ports.models import ModelNotFound, Models, ModelVersion, RegistryUnavailable
from lakeserve.ports.store import EndpointStore, NameTaken, StaleRevision

_ATTEMPTS = 5
_REGISTRY_WAIT_S = 20.0
_REGISTRY_RETRY_S = 0.25


class Endpoints:
    def __init__(
        self,
        *,
        store: EndpointStore,
        models: Models,
        references: References,
        logs: Logs,
        clock: Clock,
        ids: Ids,
        reconcilers: Reconcilers,
    ) -> None:
        self._store = store
        self._references = references
        self._models = models
        self._logs = logs
        self._clock = clock
        self._ids = ids
        self._reconcilers = reconcilers

    async def create(self, caller: Principal, requested: RequestedEndpoint) -> Endpoint:
        """
        :raises InvalidParameterValue: a rule is broken.
        :raises ResourceAlreadyExists: the name is in use.
        :raises ResourceDoesNotExist: no such model, version or alias; or a secret that is referred to does not exist.
        :raises PermissionDenied: the caller may not read such a secret.
        """
        check_endpoint(requested)
        if await self._store.find(requested.name) is not None:
            raise _taken(requested.name)
        now = self._clock.now_ms()
        endpoint = Endpoint(
            id=self._ids.hex32(),
            name=requested.name,
            creator=caller.name,
            created_at=now,
            updated_at=now,
            description=requested.description,
            route_optimized=requested.route_optimized,
            tags=requested.tags,
            extra=requested.extra,
        )
        if requested.config is not None:
            config = await self._settle(requested.config, version=1, creator=caller)
            endpoint = lifecycle.begin_update(endpoint, config, now=now)
        try:
            endpoint = await self._store.add(endpoint, AccessList({caller.id: Level.CAN_MANAGE}))
        except NameTaken:
            raise _taken(requested.name) from None
        self._reconcilers.hint(endpoint)
        return endpoint

    async def update_config(self, caller: Principal, name: str, requested: RequestedConfig) -> Endpoint:
        """
        :raises ResourceConflict: another update is running.
        :raises ResourceDoesNotExist: no such endpoint, model, version, alias or secret.
        :raises PermissionDenied: the caller may not manage the endpoint, or read a secret that is referred to.
        """

        async def updated(endpoint: Endpoint, now: int) -> Endpoint:
            if endpoint.updating:
                raise ResourceConflict(f"Endpoint {name} is currently updating.")
            version = endpoint.last_config_version + 1
            config = await self._settle(requested, version=version, creator=caller)
            return lifecycle.begin_update(endpoint, config, now=now)

        return await self._change(caller, name, "endpoints.update_config", updated)

    async def cancel_update(self, caller: Principal, name: str) -> Endpoint:
        """
        :raises ResourceConflict: no update is running.
        """

        async def canceled(endpoint: Endpoint, now: int) -> Endpoint:
            return lifecycle.cancel(endpoint, now=now)

        return await self._change(caller, name, "endpoints.cancel_update", canceled)

    async def stop(self, caller: Principal, name: str) -> Endpoint:
        """
        :raises ResourceConflict: an update is running.
        :raises InvalidParameterValue: it is not running.
        """

        async def stopped(endpoint: Endpoint, now: int) -> Endpoint:
            return lifecycle.stop(endpoint, now=now)

        return await self._change(caller, name, "endpoints.stop", stopped)

    async def start(self, caller: Principal, name: str) -> Endpoint:
        """
        :raises ResourceConflict: an update is running.
        :raises InvalidParameterValue: it is not stopped.
        """

        async def started(endpoint: Endpoint, now: int) -> Endpoint:
            return lifecycle.start(endpoint, now=now)

        return await self._change(caller, name, "endpoints.start", started)

    async def change(
        self, caller: Principal, name: str, operation: str, change: Callable[[Endpoint, int], Endpoint]
    ) -> Endpoint:
        """A change that concerns no config: ``change`` is one of :mod:`lakeserve.domain.changes`, given the time as epoch ms.

        :raises ResourceDoesNotExist: no such endpoint.
        """

        async def changed(endpoint: Endpoint, now: int) -> Endpoint:
            return change(endpoint, now)

        return await self._change(caller, name, operation, changed)

    async def delete(self, caller: Principal, name: str) -> None:
        """
        :raises ResourceDoesNotExist: no such endpoint.
        """
        endpoint = await self.authorised(caller, name, "endpoints.delete")
        if not await self._store.delete(endpoint.id):
            raise _missing(name)
        self._reconcilers.hint(endpoint)

    async def get(self, caller: Principal, name: str) -> tuple[Endpoint, Level]:
        """The endpoint and the caller's level on it."""
        endpoint = await self.authorised(caller, name, "endpoints.get")
        return endpoint, await self.level(caller, endpoint)

    async def list(self, caller: Principal, level: Level = Level.CAN_VIEW) -> list[Endpoint]:
        """Those on which the caller has at least that level."""
        endpoints = await self._store.list()
        if caller.is_admin:
            return endpoints
        granted = await self._store.access_lists()
        return [e for e in endpoints if e.id in granted and granted[e.id].allows(caller, level)]

    async def build_logs(self, caller: Principal, name: str, served_entity: str) -> str:
        endpoint = await self.authorised(caller, name, "endpoints.build_logs")
        return self._logs.read_build(endpoint.id, _served(endpoint, served_entity).fingerprint)

    async def server_logs(self, caller: Principal, name: str, served_entity: str) -> str:
        endpoint = await self.authorised(caller, name, "endpoints.logs")
        return self._logs.read_server(endpoint.id, _served(endpoint, served_entity).fingerprint)

    async def level(self, caller: Principal, endpoint: Endpoint) -> Level:
        """
        :raises PermissionDenied: the caller has none. Not "does not exist": see docs/decisions/0006-identity-and-permissions.md.
        """
        level = (await self._store.access(endpoint.id)).level_of(caller)
        if level is None:
            raise PermissionDenied(f"User {caller.name} does not have any permission on endpoint {endpoint.name}.")
        return level

    async def authorised(self, caller: Principal, name: str, operation: str) -> Endpoint:
        """The endpoint, if the caller may do that with it."""
        needed = level_of(operation)
        endpoint = await self._store.find(name)
        if endpoint is None:
            raise _missing(name)
        level = await self.level(caller, endpoint)
        if not level.covers(needed):
            raise PermissionDenied(f"User {caller.name} does not have {needed} permission on endpoint {name}.")
        return endpoint

    async def _change(
        self, caller: Principal, name: str, operation: str, change: Callable[[Endpoint, int], Awaitable[Endpoint]]
    ) -> Endpoint:
        """Read, change and store; from the beginning again when somebody else stored something meanwhile."""
        for _ in range(_ATTEMPTS):
            endpoint = await self.authorised(caller, name, operation)
            changed = await change(endpoint, self._clock.now_ms())
            try:
                endpoint = await self._store.save(changed)
            except StaleRevision:
                continue
            self._reconcilers.hint(endpoint)
            return endpoint
        raise TemporarilyUnavailable(f"Endpoint {name} is being changed by others at the same time.")

    async def _settle(self, requested: RequestedConfig, *, version: int, creator: Principal) -> EndpointConfig:
        resolved: dict[ModelKey, ModelVersion] = {}
        for key in models_to_resolve(requested):
            resolved[key] = await self._resolve(*key)
        config = settle(
            requested,
            resolved={key: model.version for key, model in resolved.items()},
            version=version,
            creator=creator.name,
            now=self._clock.now_ms(),
            new_id=self._ids.hex32,
        )
        entities = tuple(
            replace(entity, model_uid=resolved[entity.entity_name, entity.entity_version].uid, creator_id=creator.id)
            for entity in config.entities
        )
        await self._references.check(creator, entities)
        return replace(config, entities=entities)

    async def _resolve(self, name: str, version: str) -> ModelVersion:
        """Ask the registry; one that is just starting, as it is for some seconds after the server's start, is waited for."""
        deadline = self._clock.monotonic() + _REGISTRY_WAIT_S
        while True:
            try:
                return await self._models.resolve(name, version)
            except ModelNotFound as error:
                raise ResourceDoesNotExist(str(error)) from None
            except RegistryUnavailable as error:
                if self._clock.monotonic() >= deadline:
                    raise TemporarilyUnavailable(f"The model registry is not available: {error}") from None
            await asyncio.sleep(_REGISTRY_RETRY_S)


def _served(endpoint: Endpoint, name: str) -> ServedEntity:
    """The newest config that has such an entity wins: its logs are the ones that somebody waits for."""
    for config in (endpoint.pending, endpoint.active):
        if config is not None and (entity := config.entity(name)) is not None:
            return entity
    raise ResourceDoesNotExist(f"Served entity '{name}' does not exist in endpoint '{endpoint.name}'.")


def _missing(name: str) -> ResourceDoesNotExist:
    return ResourceDoesNotExist(f"Endpoint with name '{name}' does not exist.")


def _taken(name: str) -> ResourceAlreadyExists:
    return ResourceAlreadyExists(f"Endpoint with name '{name}' already exists.")
