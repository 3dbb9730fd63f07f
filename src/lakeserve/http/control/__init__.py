"""The control API, in the controller's process, behind its Unix socket.

One module for each family of routes; each only parses, calls a use case and renders. How a route is added, and what every route
has in common, is in :mod:`lakeserve.http.control.routes`.
"""

from __future__ import annotations

from dataclasses import dataclass

from lakeserve.control.descriptions import Descriptions
from lakeserve.control.endpoints import Endpoints
from lakeserve.control.metrics import Metrics
from lakeserve.http.asgi import App
from lakeserve.http.control import endpoints as endpoint_routes
from lakeserve.http.control import identity as identity_routes
from lakeserve.http.control import observability as observability_routes
from lakeserve.http.control.routes import ControlSettings, Principals, Routes, without_trailing_slash
from lakeserve.ports.clock import Clock

__all__ = ["ControlSettings", "Services", "create_app"]


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases that the routes call. ``principals`` gives the current table of token digest to principal."""

    principals: Principals
    clock: Clock
    endpoints: Endpoints
    metrics: Metrics
    descriptions: Descriptions


def create_app(services: Services, settings: ControlSettings) -> App:
    routes = Routes(settings, services.principals, services.clock)
    endpoint_routes.add(routes, services.endpoints)
    observability_routes.add(routes, services.metrics, services.descriptions)
    identity_routes.add(routes, settings)
    return without_trailing_slash(routes.app)
