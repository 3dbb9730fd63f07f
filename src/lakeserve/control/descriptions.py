"""What an endpoint's models say about themselves, for its OpenAPI document."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from lakeserve.control.endpoints import Endpoints
from lakeserve.domain.endpoint import Ready, ServedEntity
from lakeserve.domain.errors import InvalidParameterValue, ResourceDoesNotExist, TemporarilyUnavailable
from lakeserve.domain.principal import Principal
from lakeserve.ports.models import (
    ModelNotFound,
    ModelPackage,
    Models,
    ModelUnusable,
    ModelVersion,
    RegistryUnavailable,
)


@dataclass(frozen=True, slots=True)
class Description:
    """Of the active config: its version, and each served entity's name with its model."""

    endpoint: str
    version: int
    models: tuple[tuple[str, ModelPackage], ...]


class Descriptions:
    def __init__(self, endpoints: Endpoints, models: Models) -> None:
        self._endpoints = endpoints
        self._models = models

    async def describe(self, caller: Principal, name: str) -> Description:
        """The models' files are cached since they were deployed, so this usually asks nobody.

        :raises InvalidParameterValue: the endpoint is not ready.
        :raises ResourceDoesNotExist: no such endpoint, or its model is gone from the registry and from the cache.
        :raises PermissionDenied: the caller may not view it.
        :raises TemporarilyUnavailable: the files are not cached and the registry cannot be asked.
        """
        endpoint = await self._endpoints.authorised(caller, name, "endpoints.openapi")
        config = endpoint.active
        if config is None or endpoint.ready is not Ready.READY:
            raise InvalidParameterValue(f"The schema of endpoint {name} is not available: the endpoint is not ready.")
        packages = await asyncio.gather(*(self._package(entity) for entity in config.entities))
        names = (entity.name for entity in config.entities)
        return Description(endpoint.name, config.version, tuple(zip(names, packages, strict=True)))

    async def _package(self, entity: ServedEntity) -> ModelPackage:
        try:
            return await self._models.fetch(ModelVersion(entity.entity_name, entity.resolved_version, entity.model_uid))
        except (ModelNotFound, ModelUnusable) as error:
            raise ResourceDoesNotExist(str(error)) from None
        except RegistryUnavailable as error:
            raise TemporarilyUnavailable(f"The model registry is not available at the moment: {error}") from None
