"""Stored documents are read by code that is newer or older than the one that wrote them."""

from __future__ import annotations

from typing import Any, cast

import pytest
from sqlalchemy import Row

from lakeserve.adapters.sql import rows
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
from lakeserve.domain.workload import Workload
from lakeserve.ports.store import StoreTrouble, StoreUnavailable, Token, TokenKind


class FakeRow:
    def __init__(self, **columns: Any) -> None:
        self.__dict__ = columns


def _row(**columns: Any) -> Row[Any]:
    return cast("Row[Any]", FakeRow(**columns))


# As version 0.1.0 writes them. Databases in the field hold these: a change that makes this test fail needs a migration.
ENTITY = {
    "id": "e1",
    "name": "wine-3",
    "entity_name": "main.default.wine",
    "entity_version": "@champion",
    "resolved_version": "3",
    "model_uid": "5f2c",
    "workload": {"size": None, "type": "CPU", "min_concurrency": 4, "max_concurrency": 8},
    "scale_to_zero": True,
    "environment_vars": {"A": "1"},
    "creator": "ada",
    "creator_id": "7",
    "created_at": 5,
    "extra": {"e": 1},
}
CONFIG = {
    "version": 2,
    "entities": [ENTITY],
    "routes": [{"served_entity": "wine-3", "percentage": 100}],
    "started_at": 6,
    "extra": {"c": 1},
}
DEPLOYMENT = {
    "config_version": 2,
    "entity": "wine-3",
    "state": "DEPLOYMENT_RECOVERING",
    "message": "again",
    "step": "starting_workers",
}
DOCUMENT = {
    "description": "about",
    "route_optimized": True,
    "tags": [{"key": "team", "value": None}],
    "last_config_version": 2,
    "active": CONFIG,
    "stopped": False,
    "pending": None,
    "deployments": [DEPLOYMENT],
    "extra": {"x": 1},
}
COLUMNS = {
    "id": "i",
    "name": "wine",
    "creator": "ada",
    "created_at": 1,
    "updated_at": 2,
    "revision": 3,
    "update_state": "UPDATE_FAILED",
}
ENDPOINT = Endpoint(
    id="i",
    name="wine",
    creator="ada",
    created_at=1,
    updated_at=2,
    revision=3,
    update=UpdateState.UPDATE_FAILED,
    description="about",
    route_optimized=True,
    tags=(Tag("team"),),
    last_config_version=2,
    active=EndpointConfig(
        version=2,
        entities=(
            ServedEntity(
                id="e1",
                name="wine-3",
                entity_name="main.default.wine",
                entity_version="@champion",
                resolved_version="3",
                model_uid="5f2c",
                workload=Workload(size=None, type="CPU", min_concurrency=4, max_concurrency=8),
                scale_to_zero=True,
                environment_vars={"A": "1"},
                creator="ada",
                creator_id="7",
                created_at=5,
                extra={"e": 1},
            ),
        ),
        routes=(Route("wine-3", 100),),
        started_at=6,
        extra={"c": 1},
    ),
    deployments={(2, "wine-3"): Deployment(DeploymentState.RECOVERING, "again", Step.STARTING_WORKERS)},
    extra={"x": 1},
)


def test_the_stored_form_is_the_one_that_databases_in_the_field_hold() -> None:
    assert rows.endpoint_values(ENDPOINT) == {**COLUMNS, "document": DOCUMENT}
    assert rows.endpoint_from_row(_row(**COLUMNS, document=DOCUMENT)) == ENDPOINT


def test_what_a_newer_version_added_is_ignored() -> None:
    newer = {"new": "field"}
    config = {**CONFIG, **newer, "entities": [{**ENTITY, **newer, "workload": {**ENTITY["workload"], **newer}}]}  # type: ignore[dict-item]
    document = {
        **DOCUMENT,
        **newer,
        "active": config,
        "tags": [{"key": "team", "value": None, **newer}],
        "deployments": [{**DEPLOYMENT, **newer}],
    }
    assert rows.endpoint_from_row(_row(**COLUMNS, **newer, document=document)) == ENDPOINT


def test_what_an_older_version_did_not_write_gets_its_default() -> None:
    needed = ("id", "name", "entity_name", "entity_version", "resolved_version")
    entity = {**{key: ENTITY[key] for key in needed}, "workload": {"size": "Small"}}
    document = {"active": {"version": 1, "entities": [entity]}}

    assert rows.endpoint_from_row(_row(**COLUMNS, document={})) == Endpoint(
        id="i", name="wine", creator="ada", created_at=1, updated_at=2, revision=3, update=UpdateState.UPDATE_FAILED
    )
    active = rows.endpoint_from_row(_row(**COLUMNS, document=document)).active
    assert active is not None
    assert active.entities[0].workload == Workload()
    assert active.routes == ()


@pytest.mark.parametrize(
    "document",
    [None, [], {"deployments": [{**DEPLOYMENT, "state": "DEPLOYMENT_DREAMING"}]}, {"active": {}}, {"tags": 7}],
    ids=str,
)
def test_what_is_not_understood_is_refused_with_the_id(document: Any) -> None:
    with pytest.raises(StoreUnavailable, match="endpoint i is not understood") as caught:
        rows.endpoint_from_row(_row(**COLUMNS, document=document))
    assert caught.value.trouble is StoreTrouble.CORRUPT


def test_tokens_and_access_lists_are_held_to_the_same() -> None:
    token = Token("d" * 64, "t", TokenKind.ACCESS, "1", "laptop", 1, 2)
    assert rows.token_from_row(_row(**rows.token_values(token))) == token
    with pytest.raises(StoreUnavailable, match="token t is not understood"):
        rows.token_from_row(_row(**{**rows.token_values(token), "kind": "skeleton"}))

    access = AccessList({"ada": Level.CAN_QUERY}, {"users": Level.CAN_VIEW})
    assert rows.access_from_row(_row(endpoint_id="i", document=rows.access_document(access))) == access
    assert rows.access_from_row(_row(endpoint_id="i", document={})) == AccessList()
    with pytest.raises(StoreUnavailable, match="CAN_FLY"):
        rows.access_from_row(_row(endpoint_id="i", document={"groups": {"users": "CAN_FLY"}}))


def test_accounts_and_groups_are_held_to_the_same() -> None:
    account = Account("1", Kind.SERVICE_PRINCIPAL, "Ada", "Ada L.", False, 5, {"roles": [{"value": "x"}]})
    assert rows.account_from_row(_row(**rows.account_values(account, "ada"))) == account
    bare = {"id": "1", "kind": "user", "name": "ada", "created_at": 0, "document": {}}
    assert rows.account_from_row(_row(**bare)) == Account("1", Kind.USER, "ada")
    with pytest.raises(StoreUnavailable, match="account 1 is not understood"):
        rows.account_from_row(_row(**{**bare, "kind": "robot"}))

    group = Group("7", "Risk", frozenset({"1"}), 5, {"externalId": "x"})
    assert rows.group_from_row(_row(**rows.group_values(group, "risk")), frozenset({"1"})) == group
    with pytest.raises(StoreUnavailable, match="group 7 is not understood"):
        rows.group_from_row(_row(id="7", name="risk", created_at=0, document=None), frozenset())
