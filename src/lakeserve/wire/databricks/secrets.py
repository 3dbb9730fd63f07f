"""Secrets, as the Secrets API 2.0 writes them. A value travels as text or base64 one way, and as base64 the other."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from lakeserve.domain.errors import InvalidParameterValue, NotImplementedYet
from lakeserve.domain.secrets import MalformedRequest, Permission, Scope, Secret
from lakeserve.ports.secrets import SecretKey
from lakeserve.wire.databricks.fields import LiteralText, Text, WireModel, read

_BACKEND = "DATABRICKS"


class CreateScope(WireModel):
    scope: Text = None
    initial_manage_principal: Text = None
    scope_backend_type: Text = None
    backend_azure_keyvault: dict[str, Any] | None = None


class SecretFields(WireModel):
    """What the other calls say, each some of it."""

    scope: Text = None
    key: Text = None
    principal: Text = None
    permission: Text = None
    string_value: LiteralText | None = None
    bytes_value: LiteralText | None = None


class NewScope(NamedTuple):
    name: str
    initial_manage_principal: str | None


class NewSecret(NamedTuple):
    scope: str
    key: str
    value: Secret


class NewGrant(NamedTuple):
    scope: str
    principal: str
    permission: Permission


def parse_create_scope(body: Mapping[str, Any]) -> NewScope:
    """
    :raises NotImplementedYet: its secrets are to lie in Azure Key Vault.
    """
    request = read(CreateScope, body)
    backend = (request.scope_backend_type or _BACKEND).upper()
    if backend == "AZURE_KEYVAULT" or request.backend_azure_keyvault is not None:
        raise NotImplementedYet("Scopes backed by Azure Key Vault are not implemented; leave scope_backend_type out.")
    if backend != _BACKEND:
        raise InvalidParameterValue(f"scope_backend_type must be {_BACKEND}.")
    return NewScope(_required("scope", request.scope), request.initial_manage_principal)


def parse_put(body: Mapping[str, Any]) -> NewSecret:
    """
    :raises MalformedRequest: there is no value, or two.
    :raises InvalidParameterValue: ``bytes_value`` is not base64.
    """
    request = read(SecretFields, body)
    if (request.string_value is None) == (request.bytes_value is None):
        raise MalformedRequest("Exactly one of string_value and bytes_value must be given.")
    scope, key = _required("scope", request.scope), _required("key", request.key)
    if request.string_value is not None:
        return NewSecret(scope, key, Secret(request.string_value.encode()))
    try:
        return NewSecret(scope, key, Secret(base64.b64decode(request.bytes_value or "", validate=True)))
    except (binascii.Error, ValueError):
        # Without the cause, which would carry the value.
        raise InvalidParameterValue("bytes_value must be base64.") from None


def parse_put_acl(body: Mapping[str, Any]) -> NewGrant:
    """
    :raises InvalidParameterValue: the permission is none of READ, WRITE and MANAGE.
    """
    request = read(SecretFields, body)
    if request.permission not in tuple(Permission):
        raise InvalidParameterValue(f"permission must be one of {', '.join(Permission)}.")
    scope, principal = _required("scope", request.scope), _required("principal", request.principal)
    return NewGrant(scope, principal, Permission(request.permission))


def named(fields: Mapping[str, Any], *names: str) -> tuple[str, ...]:
    """These fields of a body or a query, all of which must be there.

    :raises InvalidParameterValue: one is not.
    """
    request = read(SecretFields, dict(fields))
    return tuple(_required(name, getattr(request, name)) for name in names)


def render_scopes(scopes: Iterable[Scope]) -> dict[str, Any]:
    return {"scopes": [{"name": scope.name, "backend_type": _BACKEND} for scope in scopes]}


def render_value(key: str, value: Secret) -> dict[str, Any]:
    """The one answer that holds a value."""
    return {"key": key, "value": base64.b64encode(value.reveal()).decode()}


def render_keys(keys: Iterable[SecretKey]) -> dict[str, Any]:
    """Times are epoch milliseconds."""
    return {"secrets": [{"key": each.key, "last_updated_timestamp": each.updated_at} for each in keys]}


def render_acl(principal: str, permission: Permission) -> dict[str, Any]:
    return {"principal": principal, "permission": permission}


def render_acls(grants: Mapping[str, Permission]) -> dict[str, Any]:
    return {"items": [render_acl(principal, permission) for principal, permission in grants.items()]}


def _required(name: str, value: str | None) -> str:
    if value is None:
        raise InvalidParameterValue(f"{name} is required.")
    return value
