"""Rows to domain values and back, field by field.

A stored document may be older or newer than this code. Keys that the code does not know are ignored, and a key that an
older document lacks gets the default it had before the field existed. So adding a field needs no migration; renaming
one does, because the names below are what is on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Row

from lakeserve.domain.directory import Account, Group
from lakeserve.domain.endpoint import (
    Deployment,
    DeploymentKey,
    DeploymentState,
    Endpoint,
    EndpointConfig,
    Route,
    ServedEntity,
    Step,
    Tag,
    UpdateState,
)
from lakeserve.domain.principal import AccessList, Kind, Level
from lakeserve.domain.secrets import Permission, Scope, fold
from lakeserve.domain.workload import DEFAULT_TYPE, Workload
from lakeserve.ports.store import StoreTrouble, StoreUnavailable, Token, TokenKind

Document = Mapping[str, Any]


def endpoint_values(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "name": endpoint.name,
        "creator": endpoint.creator,
        "created_at": endpoint.created_at,
        "updated_at": endpoint.updated_at,
        "revision": endpoint.revision,
        "update_state": endpoint.update.value,
        "document": {
            "description": endpoint.description,
            "route_optimized": endpoint.route_optimized,
            "tags": [{"key": tag.key, "value": tag.value} for tag in endpoint.tags],
            "last_config_version": endpoint.last_config_version,
            "active": None if endpoint.active is None else _config_document(endpoint.active),
            "stopped": endpoint.stopped,
            "pending": None if endpoint.pending is None else _config_document(endpoint.pending),
            "deployments": [_deployment_document(key, value) for key, value in endpoint.deployments.items()],
            **({} if endpoint.notifications is None else {"notifications": _plain(endpoint.notifications)}),
            "extra": _plain(endpoint.extra),
        },
    }


def endpoint_from_row(row: Row[Any]) -> Endpoint:
    with _understood(f"endpoint {row.id}"):
        return _endpoint(row, row.document)


def _endpoint(row: Row[Any], document: Document) -> Endpoint:
    active, pending = document.get("active"), document.get("pending")
    return Endpoint(
        id=row.id,
        name=row.name,
        creator=row.creator,
        created_at=row.created_at,
        updated_at=row.updated_at,
        revision=row.revision,
        update=UpdateState(row.update_state),
        description=document.get("description", ""),
        route_optimized=document.get("route_optimized", False),
        tags=tuple(Tag(key=tag["key"], value=tag.get("value")) for tag in document.get("tags", ())),
        last_config_version=document.get("last_config_version", 0),
        active=None if active is None else _config(active),
        pending=None if pending is None else _config(pending),
        stopped=document.get("stopped", False),
        deployments=dict(_deployment(item) for item in document.get("deployments", ())),
        notifications=document.get("notifications"),
        extra=document.get("extra", {}),
    )


def _config_document(config: EndpointConfig) -> dict[str, Any]:
    return {
        "version": config.version,
        "entities": [_entity_document(entity) for entity in config.entities],
        "routes": [{"served_entity": route.served_entity, "percentage": route.percentage} for route in config.routes],
        "started_at": config.started_at,
        "extra": _plain(config.extra),
    }


def _config(document: Document) -> EndpointConfig:
    routes = document.get("routes", ())
    return EndpointConfig(
        version=document["version"],
        entities=tuple(_entity(entity) for entity in document.get("entities", ())),
        routes=tuple(Route(served_entity=item["served_entity"], percentage=item["percentage"]) for item in routes),
        started_at=document.get("started_at", 0),
        extra=document.get("extra", {}),
    )


def _entity_document(entity: ServedEntity) -> dict[str, Any]:
    return {
        "id": entity.id,
        "name": entity.name,
        "entity_name": entity.entity_name,
        "entity_version": entity.entity_version,
        "resolved_version": entity.resolved_version,
        "model_uid": entity.model_uid,
        "workload": {
            "size": entity.workload.size,
            "type": entity.workload.type,
            "min_concurrency": entity.workload.min_concurrency,
            "max_concurrency": entity.workload.max_concurrency,
        },
        "scale_to_zero": entity.scale_to_zero,
        "environment_vars": dict(entity.environment_vars),
        "creator": entity.creator,
        "creator_id": entity.creator_id,
        "created_at": entity.created_at,
        "extra": _plain(entity.extra),
    }


def _entity(document: Document) -> ServedEntity:
    return ServedEntity(
        id=document["id"],
        name=document["name"],
        entity_name=document["entity_name"],
        entity_version=document["entity_version"],
        resolved_version=document["resolved_version"],
        model_uid=document.get("model_uid", ""),
        workload=_workload(document["workload"]),
        scale_to_zero=document.get("scale_to_zero", False),
        environment_vars=document.get("environment_vars", {}),
        creator=document.get("creator", ""),
        creator_id=document.get("creator_id", ""),
        created_at=document.get("created_at", 0),
        extra=document.get("extra", {}),
    )


def _workload(document: Document) -> Workload:
    return Workload(
        size=document.get("size"),
        type=document.get("type", DEFAULT_TYPE),
        min_concurrency=document.get("min_concurrency"),
        max_concurrency=document.get("max_concurrency"),
    )


def _deployment_document(key: DeploymentKey, deployment: Deployment) -> dict[str, Any]:
    version, entity = key
    return {
        "config_version": version,
        "entity": entity,
        "state": deployment.state.value,
        "message": deployment.message,
        "step": deployment.step.value,
    }


def _deployment(document: Document) -> tuple[DeploymentKey, Deployment]:
    key = (document["config_version"], document["entity"])
    return key, Deployment(
        state=DeploymentState(document["state"]),
        message=document.get("message", ""),
        step=Step(document["step"]),
    )


def access_document(access: AccessList) -> dict[str, Any]:
    return {
        "principals": {name: level.value for name, level in access.principals.items()},
        "groups": {name: level.value for name, level in access.groups.items()},
    }


def access_from_row(row: Row[Any]) -> AccessList:
    with _understood(f"access list of endpoint {row.endpoint_id}"):
        return AccessList(
            principals={name: Level(level) for name, level in row.document.get("principals", {}).items()},
            groups={name: Level(level) for name, level in row.document.get("groups", {}).items()},
        )


def token_values(token: Token) -> dict[str, Any]:
    return {
        "digest": token.digest,
        "id": token.id,
        "kind": token.kind.value,
        "owner": token.owner,
        "comment": token.comment,
        "created_at": token.created_at,
        "expires_at": token.expires_at,
    }


def token_from_row(row: Row[Any]) -> Token:
    with _understood(f"token {row.id}"):
        return Token(
            digest=row.digest,
            id=row.id,
            kind=TokenKind(row.kind),
            owner=row.owner,
            comment=row.comment,
            created_at=row.created_at,
            expires_at=row.expires_at,
        )


def account_values(account: Account, key: str) -> dict[str, Any]:
    return {
        "id": account.id,
        "kind": account.kind.value,
        "name": account.name,
        "name_key": key,
        "created_at": account.created_at,
        "document": {
            "display_name": account.display_name,
            "active": account.active,
            "extra": _plain(account.extra),
        },
    }


def account_from_row(row: Row[Any]) -> Account:
    with _understood(f"account {row.id}"):
        return Account(
            id=row.id,
            kind=Kind(row.kind),
            name=row.name,
            display_name=row.document.get("display_name", ""),
            active=row.document.get("active", True),
            created_at=row.created_at,
            extra=row.document.get("extra", {}),
        )


def group_values(group: Group, key: str) -> dict[str, Any]:
    return {
        "id": group.id,
        "name": group.name,
        "name_key": key,
        "created_at": group.created_at,
        "document": {"extra": _plain(group.extra)},
    }


def group_from_row(row: Row[Any], members: frozenset[str]) -> Group:
    with _understood(f"group {row.id}"):
        return Group(
            id=row.id,
            name=row.name,
            members=members,
            created_at=row.created_at,
            extra=row.document.get("extra", {}),
        )


def scope_values(scope: Scope) -> dict[str, Any]:
    return {
        "fold": fold(scope.name),
        "name": scope.name,
        "created_at": scope.created_at,
        "document": grants_document(scope.grants),
    }


def grants_document(grants: Mapping[str, Permission]) -> dict[str, Any]:
    return {"grants": {principal: permission.value for principal, permission in grants.items()}}


def scope_from_row(row: Row[Any]) -> Scope:
    with _understood(f"secret scope {row.name}"):
        grants = row.document.get("grants", {})
        return Scope(row.name, {key: Permission(value) for key, value in grants.items()}, row.created_at)


@contextmanager
def _understood(what: str) -> Iterator[None]:
    """Refuse what this code cannot have written, such as a state of a newer version, rather than guess at it."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise StoreUnavailable(StoreTrouble.CORRUPT, f"The stored {what} is not understood: {error!r}") from error


def _plain(value: Any) -> Any:
    """JSON values with every mapping as a dictionary: the encoder knows no other mapping."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
