"""What clients send, in each documented shape, and what they are told when it is none."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from databricks.sdk.service import serving as sdk

from lakeserve.domain.endpoint import Route, Tag
from lakeserve.domain.errors import InvalidParameterValue
from lakeserve.domain.principal import Level
from lakeserve.domain.requested import Capability, RequestedConfig, RequestedEndpoint, RequestedEntity
from lakeserve.wire.databricks.convert import parse_config, parse_create
from support.clients import client_python, run_client

FRAUD = {"entity_name": "main.risk.fraud", "entity_version": "3"}
ASKED = RequestedEntity(entity_name="main.risk.fraud", entity_version="3")


def test_smallest_create() -> None:
    assert parse_create({"name": "fraud"}) == RequestedEndpoint(name="fraud")


def test_full_create() -> None:
    body = {
        "name": "fraud",
        "description": "Which cards are stolen?",
        "route_optimized": True,
        "tags": [{"key": "team", "value": "risk"}, {"key": "pilot"}, {"key": "empty", "value": ""}],
        "budget_policy_id": "b-1",
        "email_notifications": {"on_update_failure": ["a@example.com"]},
        "telemetry_config": {"telemetry_profile_id": "t"},
        "config": {
            "name": "fraud",
            "served_entities": [
                {
                    **FRAUD,
                    "name": "champion",
                    "workload_size": "Medium",
                    "workload_type": "GPU_SMALL",
                    "scale_to_zero_enabled": True,
                    "environment_vars": {"A": "1", "B": ""},
                    "instance_profile_arn": "arn",
                    "burst_scaling_enabled": False,
                },
                {**FRAUD, "name": "other", "min_provisioned_concurrency": 4, "max_provisioned_concurrency": "8"},
            ],
            "traffic_config": {
                "routes": [
                    {"served_model_name": "champion", "served_entity_name": "champion", "traffic_percentage": "90"},
                    {"served_entity_name": "other", "traffic_percentage": 10},
                ]
            },
            "note": {"kept": [1]},
        },
    }
    assert parse_create(body) == RequestedEndpoint(
        name="fraud",
        description="Which cards are stolen?",
        route_optimized=True,
        tags=(Tag("team", "risk"), Tag("pilot"), Tag("empty", "")),
        extra={key: body[key] for key in ("budget_policy_id", "email_notifications")},
        needs=frozenset((Capability.TELEMETRY,)),
        config=RequestedConfig(
            entities=(
                RequestedEntity(
                    name="champion",
                    entity_name="main.risk.fraud",
                    entity_version="3",
                    workload_size="Medium",
                    workload_type="GPU_SMALL",
                    scale_to_zero=True,
                    environment_vars={"A": "1", "B": ""},
                    extra={"instance_profile_arn": "arn"},
                ),
                RequestedEntity(
                    name="other",
                    entity_name="main.risk.fraud",
                    entity_version="3",
                    min_concurrency=4,
                    max_concurrency=8,
                ),
            ),
            routes=(Route("champion", 90), Route("other", 10)),
            extra={"note": {"kept": [1]}},
        ),
    )


@pytest.mark.parametrize(
    "entity",
    [
        FRAUD,
        FRAUD | {"entity_version": 3},
        FRAUD | {"name": "", "workload_size": "", "workload_type": None, "environment_vars": None},
        FRAUD | {"id": "x", "state": {"deployment": "DEPLOYMENT_READY"}, "creator": "a", "creation_timestamp": 1},
    ],
    ids=["plain", "version as number", "empty is absent", "as an earlier answer had it"],
)
def test_equal_ways_to_name_one_entity(entity: dict[str, Any]) -> None:
    assert parse_config({"served_entities": [entity]}) == RequestedConfig(entities=(ASKED,))


@pytest.mark.parametrize("version", ["3", 3])
def test_deprecated_twin(version: object) -> None:
    body = {
        "served_entities": [],
        "served_models": [
            {"model_name": "main.risk.fraud", "model_version": version, "name": "m", "scale_to_zero_enabled": False}
        ],
        "traffic_config": {"routes": [{"served_model_name": "m", "traffic_percentage": 100}]},
    }
    assert parse_config(body) == RequestedConfig(
        entities=(RequestedEntity(name="m", entity_name="main.risk.fraud", entity_version="3", scale_to_zero=False),),
        routes=(Route("m", 100),),
    )


@pytest.mark.parametrize("traffic", [None, {}, {"routes": None}, {"routes": []}])
def test_traffic_that_says_nothing_is_not_given(traffic: object) -> None:
    assert parse_config({"served_entities": [FRAUD], "traffic_config": traffic}).routes is None


@pytest.mark.parametrize(
    ("body", "needs"),
    [
        ({"ai_gateway": {"usage_tracking_config": {"enabled": True}}}, {Capability.AI_GATEWAY}),
        ({"ai_gateway": {"guardrails": {"input": {"safety": True}}}}, {Capability.AI_GATEWAY}),
        ({"rate_limits": [{"calls": 0, "renewal_period": "minute"}]}, {Capability.RATE_LIMITS}),
        ({"ai_gateway": None, "rate_limits": []}, set()),
        ({"ai_gateway": {}}, set()),
        ({"ai_gateway": {"usage_tracking_config": {"enabled": False}, "rate_limits": []}}, set()),
    ],
)
def test_capabilities_of_an_endpoint(body: dict[str, Any], needs: set[Capability]) -> None:
    assert parse_create({"name": "x", **body}).needs == needs


@pytest.mark.parametrize(
    ("entity", "needs"),
    [
        ({"external_model": {"name": "gpt", "provider": "openai", "task": "llm/v1/chat"}}, {Capability.EXTERNAL_MODEL}),
        ({"min_provisioned_throughput": 0, "max_provisioned_throughput": 970}, {Capability.PROVISIONED_THROUGHPUT}),
        ({"provisioned_model_units": 50}, {Capability.PROVISIONED_THROUGHPUT}),
        ({"burst_scaling_enabled": True}, {Capability.BURST_SCALING}),
        ({"external_model": None, "min_provisioned_throughput": 0, "burst_scaling_enabled": False}, set()),
    ],
)
def test_capabilities_of_an_entity(entity: dict[str, Any], needs: set[Capability]) -> None:
    assert parse_config({"served_entities": [entity]}).entities[0].needs == needs


def test_inference_tables_are_asked_for_only_when_switched_on() -> None:
    tables = {"catalog_name": "main", "schema_name": "logs"}
    assert parse_config({"auto_capture_config": tables}).needs == {Capability.INFERENCE_TABLES}
    off = parse_config({"auto_capture_config": tables | {"enabled": False}})
    assert off.needs == frozenset()
    assert off.extra == {"auto_capture_config": tables | {"enabled": False}}


WRONG: list[tuple[object, str]] = [
    (None, "The request body must be an object, not null."),
    ([], "The request body must be an object, not a list."),
    ({}, "name is required."),
    ({"name": ""}, "name is required."),
    ({"name": 3}, "name must be text, not a number."),
    ({"name": "x", "description": ["a"]}, "description must be text, not a list."),
    ({"name": "x", "route_optimized": "yes"}, "route_optimized must be true or false, not 'yes'."),
    ({"name": "x", "tags": {}}, "tags must be a list, not an object."),
    ({"name": "x", "tags": [{"key": "a", "value": 1}]}, "tags[0].value must be text, not a number."),
    ({"name": "x", "ai_gateway": True}, "ai_gateway must be an object, not true or false."),
    ({"name": "x", "config": "c"}, "config must be an object, not 'c'."),
    (
        {"name": "x", "served_entities": [FRAUD]},
        "served_entities must be given inside config, as config.served_entities.",
    ),
    ({"name": "x", "traffic_config": {}}, "traffic_config must be given inside config, as config.traffic_config."),
]
WRONG_CONFIG: list[tuple[dict[str, Any], str]] = [
    ({"served_entities": {}}, "served_entities must be a list, not an object."),
    ({"served_entities": [FRAUD, None]}, "served_entities[1] must be an object, not null."),
    ({"served_entities": [{"entity_version": 1.5}]}, "served_entities[0].entity_version must be text, not a number."),
    ({"served_entities": [{"entity_version": True}]}, "[0].entity_version must be text, not true or false."),
    ({"served_entities": [{"workload_size": 4}]}, "served_entities[0].workload_size must be text, not a number."),
    ({"served_entities": [{"scale_to_zero_enabled": "true"}]}, "must be true or false, not 'true'."),
    ({"served_entities": [{"scale_to_zero_enabled": 1}]}, "must be true or false, not a number."),
    ({"served_entities": [{"environment_vars": []}]}, "environment_vars must be an object, not a list."),
    ({"served_entities": [{"environment_vars": {"A": 1}}]}, "environment_vars.A must be text, not a number."),
    ({"served_entities": [{"environment_vars": {"A": None}}]}, "environment_vars.A must be text, not null."),
    ({"served_entities": [{"min_provisioned_concurrency": 1.5}]}, "must be a whole number, not a number."),
    ({"served_entities": [{"min_provisioned_concurrency": True}]}, "must be a whole number, not true or false."),
    ({"served_models": [{"model_name": {}}]}, "served_models[0].model_name must be text, not an object."),
    ({"served_entities": [FRAUD], "served_models": [{"model_name": "m"}]}, "either served_entities or served_models"),
    ({"traffic_config": []}, "traffic_config must be an object, not a list."),
    ({"traffic_config": {"routes": [{}]}}, "traffic_config.routes[0].served_entity_name is required."),
    (
        {"traffic_config": {"routes": [{"served_entity_name": "a"}]}},
        "traffic_config.routes[0].traffic_percentage is required.",
    ),
    (
        {"traffic_config": {"routes": [{"served_entity_name": "a", "traffic_percentage": "9o"}]}},
        "traffic_config.routes[0].traffic_percentage must be a whole number, not '9o'.",
    ),
    (
        {
            "traffic_config": {
                "routes": [{"served_entity_name": "a", "served_model_name": "b", "traffic_percentage": 1}]
            }
        },
        "traffic_config.routes[0] names two served entities, 'a' and 'b'",
    ),
]


@pytest.mark.parametrize(("body", "told"), WRONG)
def test_wrong_create(body: object, told: str) -> None:
    with pytest.raises(InvalidParameterValue, match=re.escape(told)):
        parse_create(body)


@pytest.mark.parametrize(("body", "told"), WRONG_CONFIG)
def test_wrong_config(body: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidParameterValue, match=re.escape(told)):
        parse_config(body)


def test_the_path_starts_at_the_body() -> None:
    with pytest.raises(InvalidParameterValue, match=re.escape("config.served_entities[0].name must be text")):
        parse_create({"name": "x", "config": {"served_entities": [{"name": 1}]}})


def test_a_long_wrong_value_is_not_repeated_and_nothing_else_of_the_body_is() -> None:
    secret = "s3cret" * 20
    with pytest.raises(InvalidParameterValue) as caught:
        parse_create(
            {"name": "x", "tags": secret, "config": {"served_entities": [{"environment_vars": {"A": secret}}]}}
        )
    assert caught.value.message == "tags must be a list, not text."
    assert caught.value.__cause__ is None


def test_inputs_of_the_newest_sdk() -> None:
    config = sdk.EndpointCoreConfigInput(
        name="fraud",
        served_entities=[
            sdk.ServedEntityInput(
                name="a",
                entity_name="main.risk.fraud",
                entity_version="3",
                workload_size="Small",
                workload_type=sdk.ServingModelWorkloadType.CPU,
                scale_to_zero_enabled=True,
                environment_vars={"A": "1"},
            ),
            sdk.ServedEntityInput(
                name="b",
                entity_name="main.risk.fraud",
                entity_version="4",
                min_provisioned_concurrency=4,
                max_provisioned_concurrency=8,
            ),
        ],
        traffic_config=sdk.TrafficConfig(
            routes=[
                sdk.Route(served_entity_name="a", traffic_percentage=60),
                sdk.Route(served_model_name="b", traffic_percentage=40),
            ]
        ),
    )
    parsed = parse_config(config.as_dict())
    assert [entity.name for entity in parsed.entities] == ["a", "b"]
    assert parsed.routes == (Route("a", 60), Route("b", 40))
    assert (parsed.needs, parsed.extra) == (frozenset(), {})
    assert all((entity.needs, entity.extra) == (frozenset(), {}) for entity in parsed.entities)


SDK_0_27 = """
import json
from databricks.sdk.service import serving
print(json.dumps(serving.CreateServingEndpoint(
    name="fraud",
    tags=[serving.EndpointTag("team", "risk")],
    config=serving.EndpointCoreConfigInput(
        name="fraud",
        served_models=[serving.ServedModelInput(
            name="m", model_name="fraud", model_version="3", scale_to_zero_enabled=True,
            workload_size=serving.ServedModelInputWorkloadSize.SMALL,
            workload_type=serving.ServedModelInputWorkloadType.CPU)],
        traffic_config=serving.TrafficConfig([serving.Route("m", 100)]),
    ),
).as_dict()))
"""


def test_inputs_of_sdk_0_27() -> None:
    body = json.loads(run_client(client_python("databricks-sdk==0.27.0"), SDK_0_27))
    assert parse_create(body) == RequestedEndpoint(
        name="fraud",
        tags=(Tag("team", "risk"),),
        config=RequestedConfig(
            entities=(
                RequestedEntity(
                    name="m",
                    entity_name="fraud",
                    entity_version="3",
                    workload_size="Small",
                    workload_type="CPU",
                    scale_to_zero=True,
                ),
            ),
            routes=(Route("m", 100),),
        ),
    )


def test_levels_are_those_of_the_sdk() -> None:
    assert {level.value for level in Level} == {level.value for level in sdk.ServingEndpointDetailedPermissionLevel}
