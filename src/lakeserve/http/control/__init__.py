"""The control API, in the controller's process, behind its Unix socket.

One module for each family of routes; each only parses, calls a use case and renders. How a route is added, and what every route
has in common, is in :mod:`lakeserve.http.control.routes`.
"""

from __future__ import annotations

from dataclasses import dataclass

from lakeserve.control.descriptions import Descriptions
from lakeserve.control.directory import DirectoryChanges
from lakeserve.control.endpoints import Endpoints
from lakeserve.control.login import Logins
from lakeserve.control.metrics import Metrics
from lakeserve.control.oauth import AccessTokens, ClientSecrets
from lakeserve.control.permissions import Permissions
from lakeserve.control.secrets import Secrets
from lakeserve.control.tokens import PersonalTokens, TokenManagement
from lakeserve.http.asgi import App
from lakeserve.http.control import blocks as block_routes
from lakeserve.http.control import directory as directory_routes
from lakeserve.http.control import endpoints as endpoint_routes
from lakeserve.http.control import identity as identity_routes
from lakeserve.http.control import later as later_routes
from lakeserve.http.control import models as model_routes
from lakeserve.http.control import observability as observability_routes
from lakeserve.http.control import permissions as permission_routes
from lakeserve.http.control import secrets as secret_routes
from lakeserve.http.control.routes import ControlSettings, Principals, Routes, without_trailing_slash
from lakeserve.ports.clock import Clock

__all__ = ["ControlSettings", "Identity", "Services", "create_app"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Who there is, how they prove it, and what they may do."""

    directory: DirectoryChanges
    tokens: PersonalTokens
    token_management: TokenManagement
    secrets: ClientSecrets
    access: AccessTokens
    logins: Logins
    permissions: Permissions


@dataclass(frozen=True, slots=True)
class Services:
    """The use cases that the routes call. ``principals`` gives the current table of token digest to principal."""

    principals: Principals
    clock: Clock
    identity: Identity
    endpoints: Endpoints
    secrets: Secrets
    metrics: Metrics
    descriptions: Descriptions


def create_app(services: Services, settings: ControlSettings) -> App:
    routes = Routes(settings, services.principals, services.clock)
    endpoint_routes.add(routes, services.endpoints)
    block_routes.add(routes, services.endpoints)
    later_routes.add(routes, services.endpoints)
    model_routes.add(routes, services.endpoints)
    observability_routes.add(routes, services.metrics, services.descriptions)
    identity_routes.add_discovery(routes, settings)
    identity_routes.add_oauth(routes, services.identity.access, services.identity.logins)
    identity_routes.add_tokens(routes, services.identity.tokens)
    identity_routes.add_token_management(routes, services.identity.token_management)
    identity_routes.add_secrets(routes, services.identity.secrets)
    directory_routes.add(routes, services.identity.directory)
    permission_routes.add(routes, services.identity.permissions)
    secret_routes.add(routes, services.secrets)
    return without_trailing_slash(routes.app)
