"""A serving endpoint: what was asked for and what is serving.

An endpoint has an *active* config, which serves, and while an update runs a *pending* one, whose entities are being
deployed beside it. Each served entity of either config has a :class:`Deployment` record: its observed state. How one
state leads to the next is in :mod:`lakeserve.domain.lifecycle`.

Times are epoch milliseconds. ``revision`` grows by one with each stored change and fences stale writers. ``notifications`` are the
addresses set by their own call, None before that; they are kept and shown, and no mail is sent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from lakeserve.domain.workload import Workload


class Ready(StrEnum):
    READY = "READY"
    NOT_READY = "NOT_READY"


class UpdateState(StrEnum):
    NOT_UPDATING = "NOT_UPDATING"
    IN_PROGRESS = "IN_PROGRESS"
    UPDATE_FAILED = "UPDATE_FAILED"
    UPDATE_CANCELED = "UPDATE_CANCELED"


class DeploymentState(StrEnum):
    CREATING = "DEPLOYMENT_CREATING"
    READY = "DEPLOYMENT_READY"
    FAILED = "DEPLOYMENT_FAILED"
    RECOVERING = "DEPLOYMENT_RECOVERING"
    ABORTED = "DEPLOYMENT_ABORTED"


class Step(StrEnum):
    """How far a deployment has come; stored, so that a restarted controller knows what an operation had reached."""

    QUEUED = "queued"
    FETCHING_MODEL = "fetching_model"
    BUILDING_ENVIRONMENT = "building_environment"
    STARTING_WORKERS = "starting_workers"
    SERVING = "serving"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Deployment:
    """Observed state of one served entity of one config."""

    state: DeploymentState = DeploymentState.CREATING
    message: str = "Creating"
    step: Step = Step.QUEUED


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedEntity:
    """One model version behind an endpoint.

    ``entity_version`` is what the user wrote ("3" or "@champion") and is echoed as such; ``resolved_version`` is the
    version number that it meant when the config was accepted, and the one that is deployed; ``model_uid`` tells it from
    another version that gets the same number after the model was deleted and registered anew. ``creator`` is the name of
    whoever made the config and ``creator_id`` their account, whose rights to secrets the workers are started with. ``extra``
    holds fields that this version of lakeserve does not interpret, so that they survive.
    """

    id: str
    name: str
    entity_name: str
    entity_version: str
    resolved_version: str
    model_uid: str = ""
    workload: Workload
    scale_to_zero: bool = False
    environment_vars: Mapping[str, str] = field(default_factory=dict)
    creator: str = ""
    creator_id: str = ""
    created_at: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """Equal for two entities that the same workers can serve: a change of name or traffic alone restarts nothing."""
        runs = {
            "entity": self.entity_name,
            "version": self.resolved_version,
            "model_uid": self.model_uid,
            "environment_vars": dict(sorted(self.environment_vars.items())),
            "type": self.workload.type,
        }
        return hashlib.sha256(json.dumps(runs, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Route:
    """Share of the traffic, in whole percent, of the served entity with that name."""

    served_entity: str
    percentage: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointConfig:
    version: int
    entities: tuple[ServedEntity, ...]
    routes: tuple[Route, ...]
    started_at: int
    extra: Mapping[str, Any] = field(default_factory=dict)

    def entity(self, name: str) -> ServedEntity | None:
        return next((entity for entity in self.entities if entity.name == name), None)


@dataclass(frozen=True, slots=True)
class Tag:
    key: str
    value: str | None = None


DeploymentKey = tuple[int, str]
"""(config version, served entity name)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    id: str
    name: str
    creator: str
    created_at: int
    updated_at: int
    revision: int = 0
    description: str = ""
    route_optimized: bool = False
    tags: tuple[Tag, ...] = ()
    last_config_version: int = 0
    active: EndpointConfig | None = None
    pending: EndpointConfig | None = None
    update: UpdateState = UpdateState.NOT_UPDATING
    stopped: bool = False
    deployments: Mapping[DeploymentKey, Deployment] = field(default_factory=dict)
    notifications: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ready(self) -> Ready:
        """READY when every served entity of the active config serves; stays so while an update runs beside it."""
        if self.active is None or self.stopped:
            return Ready.NOT_READY
        states = {self.deployment(self.active, entity).state for entity in self.active.entities}
        return Ready.READY if states == {DeploymentState.READY} else Ready.NOT_READY

    @property
    def updating(self) -> bool:
        return self.update is UpdateState.IN_PROGRESS

    def deployment(self, config: EndpointConfig, entity: ServedEntity) -> Deployment:
        return self.deployments.get((config.version, entity.name), Deployment())

    def desired(self) -> Iterator[tuple[EndpointConfig, ServedEntity]]:
        """Every served entity that should run now: those of the active config, and while updating those of the pending one."""
        if self.active is not None and not self.stopped:
            yield from ((self.active, entity) for entity in self.active.entities)
        if self.pending is not None and self.updating:
            yield from ((self.pending, entity) for entity in self.pending.entities)
