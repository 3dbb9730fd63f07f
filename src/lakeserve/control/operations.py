"""The permission table: every operation of the control API and what it needs. A route without an entry here does not start.

``None`` means that any authenticated caller may; ``PUBLIC`` that no credential is asked for; ``ADMIN`` that the caller must be in
``admins``. Levels are of the endpoint that the operation names, as in Databricks' table of serving endpoint permissions;
admins have every level on every endpoint.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from lakeserve.domain.errors import InternalError, PermissionDenied
from lakeserve.domain.principal import Level, Principal


class Public(Enum):
    PUBLIC = "public"


class AdminsOnly(Enum):
    ADMIN = "admin"


PUBLIC: Final = Public.PUBLIC
ADMIN: Final = AdminsOnly.ADMIN

NEEDS: Final[dict[str, Level | Public | AdminsOnly | None]] = {
    "discovery.host_metadata": PUBLIC,
    "oauth.metadata": PUBLIC,
    "oauth.token": PUBLIC,  # proves who asks by what it is sent, as logging in does
    "oauth.login_page": PUBLIC,
    "oauth.log_in": PUBLIC,
    "telemetry.send": None,
    "scim.me": None,
    "tokens.create": None,  # of the caller, for the caller, as the other three
    "tokens.list": None,
    "tokens.delete": None,
    "tokens.update": None,
    "token_management.create": ADMIN,
    "token_management.list": ADMIN,
    "token_management.get": ADMIN,
    "token_management.delete": ADMIN,
    "users.list": ADMIN,
    "users.create": ADMIN,
    "users.get": ADMIN,
    "users.replace": ADMIN,
    "users.patch": ADMIN,
    "users.delete": ADMIN,
    "service_principals.list": ADMIN,
    "service_principals.create": ADMIN,
    "service_principals.get": ADMIN,
    "service_principals.replace": ADMIN,
    "service_principals.patch": ADMIN,
    "service_principals.delete": ADMIN,
    "groups.list": ADMIN,
    "groups.create": ADMIN,
    "groups.get": ADMIN,
    "groups.replace": ADMIN,
    "groups.patch": ADMIN,
    "groups.delete": ADMIN,
    "client_secrets.create": ADMIN,
    "client_secrets.list": ADMIN,
    "client_secrets.delete": ADMIN,
    "permissions.get": Level.CAN_MANAGE,  # administrators also that of a deleted endpoint
    "permissions.set": Level.CAN_MANAGE,
    "permissions.update": Level.CAN_MANAGE,
    "permissions.levels": Level.CAN_VIEW,
    "endpoints.create": None,
    "endpoints.list": None,  # shows what the caller may view
    "endpoints.get": Level.CAN_VIEW,
    "endpoints.update_config": Level.CAN_MANAGE,
    "endpoints.stop": Level.CAN_MANAGE,
    "endpoints.start": Level.CAN_MANAGE,
    "endpoints.cancel_update": Level.CAN_MANAGE,
    "endpoints.delete": Level.CAN_MANAGE,
    "endpoints.build_logs": Level.CAN_VIEW,
    "endpoints.logs": Level.CAN_VIEW,
    "endpoints.metrics": Level.CAN_VIEW,
    "endpoints.openapi": Level.CAN_VIEW,
    "endpoints.events": Level.CAN_VIEW,
    "endpoints.patch_tags": Level.CAN_MANAGE,
    "endpoints.put_rate_limits": Level.CAN_MANAGE,
    "endpoints.put_ai_gateway": Level.CAN_MANAGE,
    "endpoints.get_ai_gateway": Level.CAN_VIEW,
    "endpoints.notifications": Level.CAN_MANAGE,
    "endpoints.telemetry": Level.CAN_MANAGE,
    "endpoints.system_metrics": Level.CAN_MANAGE,
    "endpoints.create_provisioned": None,
    "endpoints.update_provisioned": Level.CAN_MANAGE,
    "models.optimization_info": None,
    "models.list": None,  # shows what the caller may query
    "models.get": Level.CAN_QUERY,
    "external_function": None,
    "ai_gateway.ask": None,
    "server.metrics": ADMIN,
    # What is done with a scope needs a permission on that scope, which control/secrets.py asks for.
    "secrets.create_scope": None,
    "secrets.list_scopes": None,  # the names are no secret
    "secrets.delete_scope": None,
    "secrets.put": None,
    "secrets.get": None,
    "secrets.list": None,
    "secrets.delete": None,
    "secrets.put_acl": None,
    "secrets.get_acl": None,
    "secrets.list_acls": None,
    "secrets.delete_acl": None,
    # What gateways answer without the controller, held to the same by the test of this table.
    "gateway.probe": PUBLIC,
    "gateway.registry": None,
    "gateway.invocations": Level.CAN_QUERY,
    "gateway.openai": Level.CAN_QUERY,
}


def level_of(operation: str) -> Level:
    """The level that an operation on an endpoint needs."""
    needed = NEEDS[operation]
    if not isinstance(needed, Level):
        raise InternalError(f"{operation} has no level")
    return needed


def require_admin(caller: Principal) -> None:
    """
    :raises PermissionDenied: the caller does not belong to ``admins``.
    """
    if not caller.is_admin:
        raise PermissionDenied("Only workspace admins can do this.")
