"""A publisher whose only gateway is its owner: the routing table as a gateway would have it."""

from __future__ import annotations

from collections.abc import Iterable

from lakeserve.domain.principal import Principal
from lakeserve.domain.routing import EndpointRoutes, RoutingTable


class MemoryPublisher:
    """``table`` is None until everything known at start has been published. ``history`` is every endpoint put, in order."""

    def __init__(self) -> None:
        self._endpoints: dict[str, EndpointRoutes] = {}
        self._principals: dict[str, Principal] = {}
        self._complete = False
        self.history: list[EndpointRoutes] = []

    @property
    def table(self) -> RoutingTable | None:
        return RoutingTable(dict(self._endpoints), dict(self._principals)) if self._complete else None

    def publish(self, routes: EndpointRoutes) -> None:
        self._endpoints[routes.name] = routes
        self.history.append(routes)

    def withdraw(self, endpoint_name: str, endpoint_id: str) -> None:
        current = self._endpoints.get(endpoint_name)
        if current is not None and current.id == endpoint_id:
            del self._endpoints[endpoint_name]

    def publish_principals(self, principals: Iterable[tuple[str, Principal]]) -> None:
        self._principals = dict(principals)

    def complete(self) -> None:
        self._complete = True
