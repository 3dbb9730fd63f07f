"""Builders and Hypothesis strategies of stored values. A builder fills in what a test does not care about."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from hypothesis import strategies as st

from lakeserve.domain.directory import Account, Group
from lakeserve.domain.endpoint import (
    Deployment,
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
from lakeserve.domain.workload import SIZES, TYPES, Workload
from lakeserve.ports.store import Token, TokenKind


def an_entity(name: str = "wine-3", **changes: Any) -> ServedEntity:
    values: dict[str, Any] = {
        "id": "e" * 32,
        "name": name,
        "entity_name": "main.default.wine",
        "entity_version": "3",
        "resolved_version": "3",
        "workload": Workload(),
    }
    return ServedEntity(**{**values, **changes})


def a_config(version: int = 1, *entities: ServedEntity, **changes: Any) -> EndpointConfig:
    served = entities or (an_entity(),)
    routes = tuple(Route(entity.name, 100 if index == 0 else 0) for index, entity in enumerate(served))
    values: dict[str, Any] = {"version": version, "entities": served, "routes": routes, "started_at": 1_000}
    return EndpointConfig(**{**values, **changes})


def an_endpoint(name: str = "wine", **changes: Any) -> Endpoint:
    """An endpoint whose id follows from its name, so that two names make two endpoints."""
    identity = name.encode().hex()[:32].rjust(32, "0")
    values: dict[str, Any] = {
        "id": identity,
        "name": name,
        "creator": "ada@example.com",
        "created_at": 1_000,
        "updated_at": 1_000,
    }
    return Endpoint(**{**values, **changes})


def a_token(digest: str = "d" * 64, **changes: Any) -> Token:
    """A token whose id follows from its digest, so that two digests make two tokens."""
    values: dict[str, Any] = {"digest": digest, "id": f"id of {digest}", "kind": TokenKind.PERSONAL, "owner": "1"}
    return Token(**{**values, **changes})


# Lone surrogates are left out of names only, which the API restricts anyway; free text may hold anything JSON can.
names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
texts = st.text(st.characters(exclude_categories=[]), max_size=60)
times = st.integers(0, 2**53)
scalars = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False) | texts
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
extras = st.dictionaries(texts, json_values, max_size=3)

workloads = st.builds(
    Workload,
    size=st.none() | st.sampled_from(sorted(SIZES)),
    type=st.sampled_from(TYPES),
    min_concurrency=st.none() | st.integers(0, 1024),
    max_concurrency=st.none() | st.integers(0, 1024),
)
deployments = st.builds(Deployment, state=st.sampled_from(DeploymentState), message=texts, step=st.sampled_from(Step))
tags = st.builds(Tag, key=texts, value=st.none() | texts)
routes = st.builds(Route, served_entity=texts, percentage=st.integers(0, 100))


def _entity_strategies() -> dict[str, st.SearchStrategy[Any]]:
    return {
        "id": names,
        "name": texts,
        "entity_name": texts,
        "entity_version": texts,
        "resolved_version": texts,
        "model_uid": texts,
        "workload": workloads,
        "scale_to_zero": st.booleans(),
        "environment_vars": st.dictionaries(texts, texts, max_size=3),
        "creator": texts,
        "creator_id": texts,
        "created_at": times,
        "extra": extras,
    }


entities = st.builds(ServedEntity, **_entity_strategies())


def _config_strategies() -> dict[str, st.SearchStrategy[Any]]:
    return {
        "version": st.integers(0, 2**31),
        "entities": st.lists(entities, max_size=2).map(tuple),
        "routes": st.lists(routes, max_size=2).map(tuple),
        "started_at": times,
        "extra": extras,
    }


configs = st.builds(EndpointConfig, **_config_strategies())


def _endpoint_strategies() -> dict[str, st.SearchStrategy[Any]]:
    return {
        "id": names,
        "name": names,
        "creator": names,
        "created_at": times,
        "updated_at": times,
        "revision": st.integers(0, 2**31 - 2),
        "description": texts,
        "route_optimized": st.booleans(),
        "tags": st.lists(tags, max_size=3).map(tuple),
        "last_config_version": st.integers(0, 2**31),
        "active": st.none() | configs,
        "pending": st.none() | configs,
        "update": st.sampled_from(UpdateState),
        "stopped": st.booleans(),
        "deployments": st.dictionaries(st.tuples(st.integers(0, 2**31), texts), deployments, max_size=3),
        "notifications": st.none() | extras,
        "extra": extras,
    }


endpoints = st.builds(Endpoint, **_endpoint_strategies())
grants = st.dictionaries(texts, st.sampled_from(Level), max_size=3)
access_lists = st.builds(AccessList, principals=grants, groups=grants)
tokens = st.builds(
    Token,
    digest=names,
    id=names,
    kind=st.sampled_from(TokenKind),
    owner=names,
    comment=names,
    created_at=times,
    expires_at=st.none() | times,
)
accounts = st.builds(
    Account,
    id=names,
    kind=st.sampled_from(Kind),
    name=names,
    display_name=texts,
    active=st.booleans(),
    created_at=times,
    extra=extras,
)
groups = st.builds(
    Group, id=names, name=names, members=st.frozensets(names, max_size=3), created_at=times, extra=extras
)


def fields_without_strategy() -> set[str]:
    """Fields that were added to the domain and that the strategies above would leave at their default."""
    known = {
        Endpoint: _endpoint_strategies(),
        EndpointConfig: _config_strategies(),
        ServedEntity: _entity_strategies(),
        Workload: {"size", "type", "min_concurrency", "max_concurrency"},
        Deployment: {"state", "message", "step"},
        Tag: {"key", "value"},
        Route: {"served_entity", "percentage"},
        AccessList: {"principals", "groups"},
        Token: {"digest", "id", "kind", "owner", "comment", "created_at", "expires_at"},
        Account: {"id", "kind", "name", "display_name", "active", "created_at", "extra"},
        Group: {"id", "name", "members", "created_at", "extra"},
    }
    return {f"{kind.__name__}.{field.name}" for kind, has in known.items() for field in fields(kind)} - {
        f"{kind.__name__}.{name}" for kind, has in known.items() for name in has
    }
