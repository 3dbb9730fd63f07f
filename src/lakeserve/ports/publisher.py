"""How what the controller decided reaches the gateways."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from lakeserve.domain.principal import Principal
from lakeserve.domain.routing import EndpointRoutes


class Publisher(Protocol):
    """Keeps the latest of everything, so that a gateway that connects later gets the whole."""

    def publish(self, routes: EndpointRoutes) -> None:
        """Put or replace one endpoint."""

    def withdraw(self, endpoint_name: str, endpoint_id: str) -> None:
        """Remove an endpoint, unless another id has taken its name since."""

    def publish_principals(self, principals: Iterable[tuple[str, Principal]]) -> None:
        """Replace the table of (token digest, principal)."""

    def complete(self) -> None:
        """Everything known at start has been published: gateways may take the table into use."""
