"""Every rule of what may be asked for, as a table: what is asked, and what the client is told."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest

from lakeserve.domain.endpoint import EndpointConfig, Route, ServedEntity, Tag
from lakeserve.domain.errors import InvalidParameterValue, LakeserveError, NotImplementedYet
from lakeserve.domain.requested import (
    Capability,
    RequestedConfig,
    RequestedEndpoint,
    RequestedEntity,
    check_endpoint,
    models_to_resolve,
    settle,
)
from lakeserve.domain.workload import Workload

FRAUD = RequestedEntity(entity_name="main.risk.fraud", entity_version="3")
RESOLVED = {("main.risk.fraud", "3"): "3", ("main.risk.fraud", "4"): "4", ("main.risk.fraud", "@champion"): "3"}


def entity(**changes: object) -> RequestedEntity:
    return replace(FRAUD, **changes)


def config(*entities: RequestedEntity, **changes: object) -> RequestedConfig:
    return replace(RequestedConfig(entities=entities), **changes)


def settled(requested: RequestedConfig) -> EndpointConfig:
    ids = (f"id{number}" for number in itertools.count(1))
    return settle(requested, resolved=RESOLVED, version=7, creator="ana", now=1000, new_id=lambda: next(ids))


def test_everything_left_out_gets_its_default() -> None:
    assert settled(config(FRAUD)) == EndpointConfig(
        version=7,
        started_at=1000,
        routes=(Route("fraud-3", 100),),
        entities=(
            ServedEntity(
                id="id1",
                name="fraud-3",
                entity_name="main.risk.fraud",
                entity_version="3",
                resolved_version="3",
                workload=Workload("Small", "CPU"),
                scale_to_zero=False,
                creator="ana",
                created_at=1000,
            ),
        ),
    )


def test_everything_given_is_kept() -> None:
    asked = entity(
        name="champion",
        entity_version="@champion",
        workload_type="GPU_SMALL",
        min_concurrency=0,
        max_concurrency=12,
        scale_to_zero=True,
        environment_vars={"LEVEL": "debug", "EMPTY": "", "TEXT": "{{not/a/secret}}", "KEY": "{{secrets/llm/openai}}"},
        extra={"instance_profile_arn": "arn"},
    )
    got = settled(config(asked, routes=(Route("champion", 100),), extra={"note": 1}))
    assert got.extra == {"note": 1}
    assert got.entities == (
        ServedEntity(
            id="id1",
            name="champion",
            entity_name="main.risk.fraud",
            entity_version="@champion",
            resolved_version="3",
            workload=Workload(None, "GPU_SMALL", 0, 12),
            scale_to_zero=True,
            environment_vars=asked.environment_vars,
            creator="ana",
            created_at=1000,
            extra={"instance_profile_arn": "arn"},
        ),
    )


def test_alias_gives_the_name_of_the_version_it_means() -> None:
    assert settled(config(entity(entity_version="@champion"))).entities[0].name == "fraud-3"


def test_each_entity_gets_its_own_id_and_routes_may_leave_one_out() -> None:
    got = settled(config(FRAUD, entity(entity_version="4"), routes=(Route("fraud-4", 100),)))
    assert [each.id for each in got.entities] == ["id1", "id2"]
    assert got.routes == (Route("fraud-4", 100),)


def test_settling_leaves_the_request_alone() -> None:
    variables = {"A": "1"}
    got = settled(config(entity(environment_vars=variables)))
    variables["A"] = "2"
    assert got.entities[0].environment_vars == {"A": "1"}


def test_models_to_resolve_names_each_once() -> None:
    asked = config(
        entity(name="a"),
        entity(name="b"),
        entity(name="c", entity_version="4"),
        routes=(Route("a", 50), Route("b", 25), Route("c", 25)),
    )
    assert models_to_resolve(asked) == (("main.risk.fraud", "3"), ("main.risk.fraud", "4"))


TWO = (entity(name="a"), entity(name="b"))

REFUSED_BEFORE_RESOLVING: list[tuple[str, RequestedConfig, str]] = [
    ("no entity", config(), "1 to 15 served entities, not 0"),
    ("too many", config(*(entity(name=f"e{number}") for number in range(16))), "1 to 15 served entities, not 16"),
    ("no model name", config(entity(entity_name=None)), "Served entity 1: entity_name is required"),
    ("empty model name", config(entity(name="x", entity_name="")), "Served entity 'x': entity_name is required"),
    ("bad model name", config(entity(entity_name="a/b")), "'a/b' is not the name of a registered model"),
    (
        "bad version",
        config(entity(entity_version="latest")),
        "'latest' must be a version number such as 3, or an alias",
    ),
    ("bad name", config(entity(name="a.b")), "Served entity name 'a.b' must have"),
    ("empty name", config(entity(name="")), "Served entity name '' must have"),
    ("same name", config(TWO[0], TWO[0], routes=(Route("a", 100),)), "2 served entities have the name 'a'"),
    ("two without traffic", config(*TWO), "traffic_config is required"),
    ("below 100", config(*TWO, routes=(Route("a", 50), Route("b", 40))), "must add up to 100, not 90"),
    ("above 100", config(*TWO, routes=(Route("a", 60), Route("b", 50))), "must add up to 100, not 110"),
    ("negative", config(*TWO, routes=(Route("a", 101), Route("b", -1))), "of 'a' must be between 0 and 100, not 101"),
    ("route twice", config(*TWO, routes=(Route("a", 50), Route("a", 50))), "has 2 routes to 'a'"),
    ("unknown type", config(entity(workload_type="TPU")), "workload_type must be one of CPU, CPU_MEDIUM"),
    ("size case", config(entity(workload_size="small")), "workload_size must be one of Small, Medium, Large;"),
    ("custom size", config(entity(workload_size="Custom")), "for another size leave it out and give min_provisioned"),
    ("size and numbers", config(entity(workload_size="Small", max_concurrency=4)), "Give either workload_size, or min"),
    ("only min", config(entity(min_concurrency=4)), "must be given together"),
    ("only max", config(entity(max_concurrency=4)), "must be given together"),
    ("min above max", config(entity(min_concurrency=5, max_concurrency=4)), "at most max_provisioned_concurrency"),
    ("negative min", config(entity(min_concurrency=-1, max_concurrency=4)), "at least 0"),
    ("max zero", config(entity(min_concurrency=0, max_concurrency=0, scale_to_zero=True)), "between 1 and 1024"),
    ("max too large", config(entity(min_concurrency=4, max_concurrency=1025)), "between 1 and 1024"),
    ("zero but always on", config(entity(min_concurrency=0, max_concurrency=4)), "0 needs scale_to_zero_enabled"),
    ("variable name", config(entity(environment_vars={"1A": ""})), "name '1A' must consist of"),
    ("variable value", config(entity(environment_vars={"A": "x\0y"})), "variable A contains a NUL character"),
    ("variable length", config(entity(environment_vars={"A": "ä" * 16385})), "variable A is longer than 32768 bytes"),
    ("variables", config(entity(environment_vars={f"A{n}": "" for n in range(31)})), "at most 30 variables, not 31"),
]


@pytest.mark.parametrize(
    ("_rule", "asked", "told"), REFUSED_BEFORE_RESOLVING, ids=[r[0] for r in REFUSED_BEFORE_RESOLVING]
)
def test_refused_without_asking_the_registry(_rule: str, asked: RequestedConfig, told: str) -> None:
    with pytest.raises(InvalidParameterValue, match=re.escape(told)):
        models_to_resolve(asked)
    with pytest.raises(InvalidParameterValue, match=re.escape(told)):
        settled(asked)


REFUSED_WHEN_SETTLED: list[tuple[str, RequestedConfig, str]] = [
    (
        "same default name",
        config(FRAUD, entity(entity_version="@champion"), routes=(Route("fraud-3", 100),)),
        "2 served entities have the name 'fraud-3'",
    ),
    (
        "given name equals a default name",
        config(FRAUD, entity(name="fraud-3", entity_version="4"), routes=(Route("fraud-3", 100),)),
        "2 served entities have the name 'fraud-3'",
    ),
    (
        "route to nobody",
        config(FRAUD, routes=(Route("fraud-9", 100),)),
        "route to 'fraud-9', which is not a served entity of this config; its served entities are: fraud-3",
    ),
]


@pytest.mark.parametrize(("_rule", "asked", "told"), REFUSED_WHEN_SETTLED, ids=[row[0] for row in REFUSED_WHEN_SETTLED])
def test_refused_when_names_are_known(_rule: str, asked: RequestedConfig, told: str) -> None:
    models_to_resolve(asked)
    with pytest.raises(InvalidParameterValue, match=re.escape(told)):
        settled(asked)


def needing(capability: Capability) -> RequestedEntity:
    return entity(needs=frozenset([capability]))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (config(needing(Capability.EXTERNAL_MODEL)), "Served entity 1: external_model is not implemented"),
        (config(needing(Capability.PROVISIONED_THROUGHPUT)), "Provisioned throughput"),
        (config(needing(Capability.BURST_SCALING)), "burst_scaling_enabled is not implemented"),
        (config(FRAUD, needs=frozenset([Capability.INFERENCE_TABLES])), "auto_capture_config"),
        (config(entity(entity_name="system.ai.llama")), "Foundation models"),
        (config(entity(entity_name="system.ai.llama", entity_version=None)), "Foundation models"),
        (config(entity(entity_version=None)), "Entities without a version"),
    ],
)
def test_what_comes_later_is_refused_aloud(asked: RequestedConfig, told: str) -> None:
    with pytest.raises(NotImplementedYet, match=re.escape(told)):
        models_to_resolve(asked)


def test_an_external_model_is_refused_as_such_although_it_has_no_entity_name() -> None:
    with pytest.raises(NotImplementedYet, match="external_model"):
        models_to_resolve(config(RequestedEntity(name="gpt", needs=frozenset([Capability.EXTERNAL_MODEL]))))


ASKED = RequestedEndpoint(name="fraud", config=config(FRAUD))
GATEWAY, LIMITS = frozenset([Capability.AI_GATEWAY]), frozenset([Capability.RATE_LIMITS])


@pytest.mark.parametrize(
    "asked",
    [
        ASKED,
        RequestedEndpoint(name="fraud"),
        replace(ASKED, description="x" * 1000, tags=(Tag("team", "risk"), Tag("empty", ""), Tag("none"))),
        replace(ASKED, route_optimized=True, extra={"budget_policy_id": "b"}),
    ],
)
def test_endpoint_accepted(asked: RequestedEndpoint) -> None:
    check_endpoint(asked)


@pytest.mark.parametrize(
    ("asked", "kind", "told"),
    [
        (replace(ASKED, name="-x"), InvalidParameterValue, "Endpoint name must be"),
        (replace(ASKED, description="x" * 1001), InvalidParameterValue, "at most 1000 characters, not 1001"),
        (replace(ASKED, tags=(Tag(""),)), InvalidParameterValue, "Each tag must have a key"),
        (replace(ASKED, tags=(Tag("a", "1"), Tag("a", "2"))), InvalidParameterValue, "Tag key 'a' is given 2 times"),
        (replace(ASKED, needs=GATEWAY), NotImplementedYet, "ai_gateway is not implemented"),
        (replace(ASKED, needs=LIMITS), NotImplementedYet, "rate_limits are not implemented"),
        (
            replace(ASKED, config=None, needs=GATEWAY),
            InvalidParameterValue,
            "Cannot specify ai_gateway when creating endpoints without a config.",
        ),
        (
            replace(ASKED, config=None, needs=LIMITS),
            InvalidParameterValue,
            "Cannot specify rate_limits when creating endpoints without a config.",
        ),
    ],
)
def test_endpoint_refused(asked: RequestedEndpoint, kind: type[LakeserveError], told: str) -> None:
    with pytest.raises(kind, match=re.escape(told)):
        check_endpoint(asked)


def test_every_capability_tells_a_whole_sentence() -> None:
    for capability in Capability:
        assert "not implemented yet" in capability.value
        assert capability.value.endswith(".")
