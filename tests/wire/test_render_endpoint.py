"""What clients see of an endpoint, against golden files, and against the real SDK's own reading of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import churn
import pytest
from databricks.sdk.service import serving as sdk

from lakeserve.domain.endpoint import Endpoint, Tag
from lakeserve.domain.principal import Level
from lakeserve.wire.databricks.convert import render_endpoint, render_list
from lakeserve.wire.databricks.serving import ListEndpointsResponse, ServingEndpointDetailed
from support.clients import client_python, run_client

GOLDEN = Path(__file__).with_name("golden")
STATIONS = [
    ("empty", churn.EMPTY, Level.CAN_MANAGE),
    ("created", churn.NEW, Level.CAN_MANAGE),
    ("settled", churn.SETTLED, Level.CAN_VIEW),
    ("updating", churn.UPDATING, Level.CAN_QUERY),
    ("failed", churn.FAILED, Level.CAN_MANAGE),
]
LISTED = [churn.UPDATING, churn.NEW, churn.EMPTY]

each_station = pytest.mark.parametrize(("name", "endpoint", "level"), STATIONS, ids=[row[0] for row in STATIONS])


def golden(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


@each_station
def test_endpoint(name: str, endpoint: Endpoint, level: Level) -> None:
    assert render_endpoint(endpoint, level) == golden(name)


def test_list() -> None:
    assert render_list(LISTED) == golden("list")
    assert render_list([]) == {"endpoints": []}


@each_station
def test_the_documented_models_describe_what_is_rendered(name: str, endpoint: Endpoint, level: Level) -> None:
    rendered = render_endpoint(endpoint, level)
    assert ServingEndpointDetailed.model_validate(rendered).model_dump(exclude_unset=True) == rendered
    row = render_list([endpoint])
    assert ListEndpointsResponse.model_validate(row).model_dump(exclude_unset=True) == row


@each_station
def test_newest_sdk_reads_every_field(name: str, endpoint: Endpoint, level: Level) -> None:
    rendered = render_endpoint(endpoint, level)
    assert sdk.ServingEndpointDetailed.from_dict(rendered).as_dict() == rendered


def test_newest_sdk_reads_the_list() -> None:
    rendered = render_list(LISTED)
    assert sdk.ListEndpointsResponse.from_dict(rendered).as_dict() == rendered


SDK_0_27 = """
import json, sys
from databricks.sdk.service import serving
print(json.dumps([serving.ServingEndpointDetailed.from_dict(each).as_dict() for each in json.load(sys.stdin)]))
"""
UNKNOWN_TO_0_27 = {
    "description",
    "route_optimized",
    "served_entity_name",
    "min_provisioned_concurrency",
    "max_provisioned_concurrency",
}


def without(value: Any, keys: set[str]) -> Any:
    if isinstance(value, dict):
        return {key: without(child, keys) for key, child in value.items() if key not in keys}
    return [without(child, keys) for child in value] if isinstance(value, list) else value


def test_sdk_0_27_reads_every_field_that_it_knows() -> None:
    rendered = [render_endpoint(endpoint, level) for _, endpoint, level in STATIONS]
    read = json.loads(run_client(client_python("databricks-sdk==0.27.0"), SDK_0_27, stdin=json.dumps(rendered)))
    assert read == without(rendered, UNKNOWN_TO_0_27)


def test_unknown_fields_are_shown_and_cannot_replace_ours() -> None:
    extra = {
        "budget_policy_id": "b-1",
        "name": "evil",
        "state": None,
        "email_notifications": {"on_update_success": ["a"]},
    }
    entity = replace(churn.FIRST.entities[0], extra={"model_name": "evil", "entity_name": "evil", "hint": 1})
    config = replace(churn.FIRST, entities=(entity,), extra={"served_entities": "evil", "note": "n"})
    rendered = render_endpoint(replace(churn.SETTLED, extra=extra, active=config), Level.CAN_VIEW)
    expected = golden("settled")
    expected["budget_policy_id"] = "b-1"
    expected["config"]["note"] = "n"
    expected["config"]["served_entities"][0] |= {"hint": 1, "model_name": "evil"}
    expected["config"]["served_models"][0] |= {"hint": 1, "entity_name": "evil"}
    assert rendered == expected


def test_an_empty_tag_value_is_not_a_missing_one() -> None:
    rendered = render_endpoint(replace(churn.EMPTY, tags=(Tag("a", ""), Tag("b"))), Level.CAN_VIEW)
    assert rendered["tags"] == [{"key": "a", "value": ""}, {"key": "b"}]
