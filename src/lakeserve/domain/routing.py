"""What a gateway knows: the immutable routing table, and which served entity a request goes to.

The controller publishes one :class:`EndpointRoutes` per endpoint; a gateway keeps them in a :class:`RoutingTable` that it
replaces whole on every change, so that a request sees one consistent picture from its first step to its last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from lakeserve.domain.principal import AccessList, Principal


@dataclass(frozen=True, slots=True)
class EntityRoute:
    """One served entity: its share of traffic in percent, and the socket addresses of its ready workers."""

    name: str
    fingerprint: str
    percentage: int
    workers: tuple[str, ...]
    concurrency: int


@dataclass(frozen=True, slots=True)
class EndpointRoutes:
    """What a request to one endpoint needs. ``entities`` is empty while nothing has been deployed yet."""

    id: str
    name: str
    access: AccessList
    entities: tuple[EntityRoute, ...] = ()
    updating: bool = False
    stopped: bool = False

    def entity(self, name: str) -> EntityRoute | None:
        return next((entity for entity in self.entities if entity.name == name), None)

    def pick(self, point: float) -> EntityRoute | None:
        """The entity whose share covers ``point``, a uniform draw from [0, 1); None when no entity takes traffic."""
        total = sum(entity.percentage for entity in self.entities)
        reached = 0.0
        for entity in self.entities:
            reached += entity.percentage
            if point * total < reached:
                return entity
        return None


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """``principals`` is keyed by token digest. Replaced whole, never changed."""

    endpoints: Mapping[str, EndpointRoutes] = field(default_factory=dict)
    principals: Mapping[str, Principal] = field(default_factory=dict)
