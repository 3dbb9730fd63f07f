"""What a client asks for, and the rules that settle it into a config that can be deployed.

A request is checked in three steps, each of which raises one sentence that the client can act on:

    check_endpoint(requested)      name, description, tags, and what the endpoint as a whole needs
    models_to_resolve(config)      everything about a config that can be judged without asking the registry
    settle(config, resolved=...)   the rest: names, traffic and defaults, which depend on the resolved versions

``settle`` runs the checks of ``models_to_resolve`` again, so that no caller can skip them.

Parts of the API that lakeserve does not have yet are :class:`Capability` members. The dialects report what a request
needs; a needed capability is refused with 501, never accepted and ignored. ``extra`` holds fields that nobody here
interprets: they are kept and echoed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from lakeserve.domain import names
from lakeserve.domain.endpoint import EndpointConfig, Route, ServedEntity, Tag
from lakeserve.domain.errors import InvalidParameterValue, NotImplementedYet
from lakeserve.domain.workload import DEFAULT_SIZE, DEFAULT_TYPE, SIZES, TYPES, Workload

MAX_SERVED_ENTITIES = 15
MAX_DESCRIPTION = 1000
MAX_CONCURRENCY = 1024
MAX_VARIABLES = 30
MAX_VARIABLE_BYTES = 32 * 1024
"""The kernel takes 128 KiB for one variable; half a megabyte for all of them leaves room for the worker's own."""

ModelKey = tuple[str, str]
"""(entity name, entity version), both as the client wrote them."""

_FOUNDATION_MODELS = "system.ai."


class Capability(Enum):
    """What a request can need and lakeserve does not do yet. The value is what the client is told."""

    AI_GATEWAY = "ai_gateway is not implemented yet; leave it out."
    RATE_LIMITS = "rate_limits are not implemented yet; leave them out."
    INFERENCE_TABLES = (
        "auto_capture_config (inference tables) is not implemented yet; leave it out, or set its enabled to false."
    )
    EXTERNAL_MODEL = "external_model is not implemented yet; only versions of registered models can be served."
    FOUNDATION_MODEL = (
        "Foundation models (entity_name system.ai.*) are not implemented yet; "
        "only versions of registered models can be served."
    )
    UNVERSIONED_ENTITY = (
        "Entities without a version, such as feature specs and functions, are not implemented yet; "
        "give the entity_version of a registered model."
    )
    PROVISIONED_THROUGHPUT = (
        "Provisioned throughput (min_provisioned_throughput, max_provisioned_throughput, provisioned_model_units) "
        "is not implemented yet; use workload_size, or min_provisioned_concurrency and max_provisioned_concurrency."
    )
    BURST_SCALING = "burst_scaling_enabled is not implemented yet; leave it out or set it to false."
    TELEMETRY = "telemetry_config is not implemented yet; leave it out."
    SYSTEM_METRICS_EXPORT = (
        "The export of system metrics (uc_system_metrics_export_state) is not implemented yet; "
        "leave it out, or set it to FIRST_PARTY_EXPORT_DISABLED."
    )
    PROVISIONED_ENDPOINTS = (
        "Provisioned throughput endpoints are not implemented yet; create an endpoint with a registered model instead."
    )
    MODEL_OPTIMIZATION = "Optimization info of models for provisioned throughput is not implemented yet."
    EVENTS = "Events of endpoints are not implemented yet; read the build logs and server logs of its served entities."
    EXTERNAL_FUNCTIONS = "Requests through Unity Catalog connections (external-function) are not implemented yet."
    AI_GATEWAY_ROUTES = (
        "The routes under /ai-gateway are not implemented yet; use /serving-endpoints as the OpenAI client's base URL."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedEntity:
    """A served entity as a client describes it; None where the client said nothing."""

    name: str | None = None
    entity_name: str | None = None
    entity_version: str | None = None
    workload_size: str | None = None
    workload_type: str | None = None
    min_concurrency: int | None = None
    max_concurrency: int | None = None
    scale_to_zero: bool | None = None
    environment_vars: Mapping[str, str] = field(default_factory=dict)
    needs: frozenset[Capability] = frozenset()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedConfig:
    entities: tuple[RequestedEntity, ...]
    routes: tuple[Route, ...] | None = None
    needs: frozenset[Capability] = frozenset()
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedEndpoint:
    name: str
    config: RequestedConfig | None = None
    description: str = ""
    tags: tuple[Tag, ...] = ()
    route_optimized: bool = False
    needs: frozenset[Capability] = frozenset()
    extra: Mapping[str, Any] = field(default_factory=dict)


def check_endpoint(requested: RequestedEndpoint) -> None:
    """Everything about a new endpoint except its config.

    :raises InvalidParameterValue: a rule is broken.
    :raises NotImplementedYet: the request needs a capability that is not there.
    """
    names.check_endpoint_name(requested.name)
    if len(requested.description) > MAX_DESCRIPTION:
        raise InvalidParameterValue(
            f"description must have at most {MAX_DESCRIPTION} characters, not {len(requested.description)}."
        )
    check_tags(requested.tags)
    if requested.config is None:
        for capability, given in ((Capability.AI_GATEWAY, "ai_gateway"), (Capability.RATE_LIMITS, "rate_limits")):
            if capability in requested.needs:
                raise InvalidParameterValue(f"Cannot specify {given} when creating endpoints without a config.")
    refuse(requested.needs)


def models_to_resolve(config: RequestedConfig) -> tuple[ModelKey, ...]:
    """Check what can be checked without a registry; the distinct model versions to look up, in order of appearance.

    :raises InvalidParameterValue: a rule is broken.
    :raises NotImplementedYet: the config needs a capability that is not there.
    """
    if not 1 <= len(config.entities) <= MAX_SERVED_ENTITIES:
        raise InvalidParameterValue(
            f"A config must have 1 to {MAX_SERVED_ENTITIES} served entities, not {len(config.entities)}."
        )
    refuse(config.needs)
    keys = [_check_entity(position, entity) for position, entity in enumerate(config.entities, start=1)]
    _check_unique(entity.name for entity in config.entities if entity.name is not None)
    if config.routes is None and len(config.entities) > 1:
        raise InvalidParameterValue(
            "traffic_config is required when a config has more than one served entity; "
            "give each its traffic_percentage."
        )
    _check_shares(config.routes or ())
    return tuple(dict.fromkeys(keys))


def settle(
    config: RequestedConfig,
    *,
    resolved: Mapping[ModelKey, str],
    version: int,
    creator: str,
    now: int,
    new_id: Callable[[], str],
) -> EndpointConfig:
    """The config to deploy: every default filled in, every name decided.

    ``resolved`` has the version number for each key of :func:`models_to_resolve`. Each served entity gets a new id,
    also when a former config had an equal one: an id stands for one entity of one config.

    :raises InvalidParameterValue: a rule is broken.
    :raises NotImplementedYet: the config needs a capability that is not there.
    """
    models_to_resolve(config)
    entities = []
    for requested in config.entities:
        entity_name, entity_version = requested.entity_name or "", requested.entity_version or ""
        number = resolved[entity_name, entity_version]
        entities.append(
            ServedEntity(
                id=new_id(),
                name=requested.name or names.default_served_entity_name(entity_name, number),
                entity_name=entity_name,
                entity_version=entity_version,
                resolved_version=number,
                workload=_workload(requested),
                scale_to_zero=bool(requested.scale_to_zero),
                environment_vars=dict(requested.environment_vars),
                creator=creator,
                created_at=now,
                extra=dict(requested.extra),
            )
        )
    known = [entity.name for entity in entities]
    _check_unique(known)
    routes = config.routes if config.routes is not None else (Route(known[0], 100),)
    _check_targets(routes, known)
    return EndpointConfig(
        version=version, entities=tuple(entities), routes=routes, started_at=now, extra=dict(config.extra)
    )


def refuse(needs: Iterable[Capability], where: str = "") -> None:
    """:raises NotImplementedYet: with the first of them by name."""
    for capability in sorted(needs, key=lambda each: each.name):
        raise NotImplementedYet(where + capability.value)


def check_tags(tags: tuple[Tag, ...]) -> None:
    """:raises InvalidParameterValue: a key is empty or given twice."""
    for key, count in Counter(tag.key for tag in tags).items():
        if not key:
            raise InvalidParameterValue("Each tag must have a key that is not empty.")
        if count > 1:
            raise InvalidParameterValue(f"Tag key '{key}' is given {count} times; give it once.")


def _check_entity(position: int, entity: RequestedEntity) -> ModelKey:
    where = f"Served entity '{entity.name}': " if entity.name else f"Served entity {position}: "
    if entity.name is not None:
        names.check_served_entity_name(entity.name)
    refuse(entity.needs, where)
    if not entity.entity_name:
        raise InvalidParameterValue(where + "entity_name is required; give the name of a registered model.")
    if entity.entity_name.startswith(_FOUNDATION_MODELS):
        refuse([Capability.FOUNDATION_MODEL], where)
    if not entity.entity_version:
        refuse([Capability.UNVERSIONED_ENTITY], where)
    key = entity.entity_name, entity.entity_version or ""
    names.check_model_name(key[0])
    names.check_model_version(key[1])
    _check_workload(where, entity)
    _check_variables(where, entity.environment_vars)
    return key


def _check_workload(where: str, entity: RequestedEntity) -> None:
    if entity.workload_type is not None and entity.workload_type not in TYPES:
        raise InvalidParameterValue(f"{where}workload_type must be one of {', '.join(TYPES)}.")
    low, high = entity.min_concurrency, entity.max_concurrency
    if entity.workload_size is not None:
        if low is not None or high is not None:
            raise InvalidParameterValue(
                where + "Give either workload_size, or min_provisioned_concurrency and max_provisioned_concurrency."
            )
        if entity.workload_size not in SIZES:
            raise InvalidParameterValue(
                f"{where}workload_size must be one of {', '.join(SIZES)}; for another size leave it out and give "
                "min_provisioned_concurrency and max_provisioned_concurrency."
            )
    elif low is not None and high is not None:
        _check_concurrency(where, low, high, scale_to_zero=bool(entity.scale_to_zero))
    elif low is not None or high is not None:
        raise InvalidParameterValue(
            where + "min_provisioned_concurrency and max_provisioned_concurrency must be given together."
        )


def _check_concurrency(where: str, low: int, high: int, *, scale_to_zero: bool) -> None:
    if not (0 <= low <= high and 1 <= high <= MAX_CONCURRENCY):
        raise InvalidParameterValue(
            f"{where}min_provisioned_concurrency must be at least 0 and at most max_provisioned_concurrency, "
            f"which must be between 1 and {MAX_CONCURRENCY}."
        )
    if low == 0 and not scale_to_zero:
        raise InvalidParameterValue(
            where + "min_provisioned_concurrency 0 needs scale_to_zero_enabled; set that to true, or give at least 1."
        )


def _check_variables(where: str, variables: Mapping[str, str]) -> None:
    if len(variables) > MAX_VARIABLES:
        raise InvalidParameterValue(
            f"{where}environment_vars can have at most {MAX_VARIABLES} variables, not {len(variables)}."
        )
    for name, value in variables.items():
        names.check_variable_name(name)
        if "\0" in value:
            raise InvalidParameterValue(f"{where}The value of environment variable {name} contains a NUL character.")
        if len(value.encode(errors="surrogatepass")) > MAX_VARIABLE_BYTES:
            raise InvalidParameterValue(
                f"{where}The value of environment variable {name} is longer than {MAX_VARIABLE_BYTES} bytes."
            )


def _workload(entity: RequestedEntity) -> Workload:
    kind = entity.workload_type or DEFAULT_TYPE
    if entity.max_concurrency is not None:
        return Workload(
            size=None, type=kind, min_concurrency=entity.min_concurrency, max_concurrency=entity.max_concurrency
        )
    return Workload(size=entity.workload_size or DEFAULT_SIZE, type=kind)


def _check_unique(given: Iterable[str]) -> None:
    for name, count in Counter(given).items():
        if count > 1:
            raise InvalidParameterValue(
                f"{count} served entities have the name '{name}'; give each its own name, unique in the endpoint."
            )


def _check_shares(routes: tuple[Route, ...]) -> None:
    for name, count in Counter(route.served_entity for route in routes).items():
        if count > 1:
            raise InvalidParameterValue(
                f"traffic_config has {count} routes to '{name}'; give one route per served entity."
            )
    for route in routes:
        if not 0 <= route.percentage <= 100:
            raise InvalidParameterValue(
                f"traffic_percentage of '{route.served_entity}' must be between 0 and 100, not {route.percentage}."
            )
    total = sum(route.percentage for route in routes)
    if routes and total != 100:
        raise InvalidParameterValue(f"The traffic percentages must add up to 100, not {total}.")


def _check_targets(routes: Iterable[Route], known: list[str]) -> None:
    for route in routes:
        if route.served_entity not in known:
            raise InvalidParameterValue(
                f"traffic_config has a route to '{route.served_entity}', which is not a served entity of this config; "
                f"its served entities are: {', '.join(known)}."
            )
