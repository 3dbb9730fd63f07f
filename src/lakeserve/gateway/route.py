"""Which endpoint, may they, and which served entity."""

from __future__ import annotations

from collections.abc import Callable

from lakeserve.domain.errors import BadRequest, EndpointNotFound, PermissionDenied, TemporarilyUnavailable
from lakeserve.domain.principal import Level, Principal
from lakeserve.domain.routing import EndpointRoutes, EntityRoute, RoutingTable

Draw = Callable[[], float]
"""A uniform draw from [0, 1)."""


def resolve(table: RoutingTable, name: str) -> EndpointRoutes:
    """
    :raises EndpointNotFound: no endpoint of that name.
    """
    routes = table.endpoints.get(name)
    if routes is None:
        raise EndpointNotFound
    return routes


def authorise(routes: EndpointRoutes, principal: Principal) -> None:
    """
    :raises PermissionDenied: the caller may not query this endpoint.
    """
    if not routes.access.allows(principal, Level.CAN_QUERY):
        raise PermissionDenied(f"User {principal.name} does not have CAN_QUERY permission on endpoint {routes.name}.")


def choose(routes: EndpointRoutes, served_entity: str | None, draw: Draw) -> EntityRoute:
    """The named served entity, whatever its share; without a name, one by the traffic split.

    :raises EndpointNotFound: no such served entity, or nothing is deployed and nothing is about to be.
    :raises TemporarilyUnavailable: the first deployment is under way.
    :raises BadRequest: the endpoint is stopped (Databricks documents status 400 for it).
    """
    if not routes.entities and routes.updating:
        raise TemporarilyUnavailable(f"Endpoint {routes.name} is not ready yet: it is being deployed.", retry_after=2)
    if routes.stopped:
        raise BadRequest(f"Endpoint {routes.name} is stopped. Start it to query it.")
    entity = routes.pick(draw()) if served_entity is None else routes.entity(served_entity)
    if entity is None:
        raise EndpointNotFound
    return entity
