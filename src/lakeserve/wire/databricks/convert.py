"""Serving endpoints between their JSON and the domain.

Reading keeps what it does not know: unknown fields go to ``extra`` and come back on every answer. Three kinds of field
do not: those that only the server sets (a client that sends back what it got must not make them up), those that the
API takes and never shows, and those that stand for a capability that the domain refuses.

Writing follows what official clients rely on: ``state`` is always there (their waiters dereference it), both
``served_entities`` and the older ``served_models`` are listed, a route carries both of its names, numbers are JSON
numbers, and ``pending_config`` is there exactly while a config is pending, also after its deployment failed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lakeserve.domain.changes import NOTIFICATIONS, SYSTEM_METRICS
from lakeserve.domain.endpoint import Endpoint, EndpointConfig, Route, ServedEntity, Tag, UpdateState
from lakeserve.domain.errors import InvalidParameterValue
from lakeserve.domain.principal import Level
from lakeserve.domain.requested import Capability, RequestedConfig, RequestedEndpoint, RequestedEntity
from lakeserve.wire.databricks.fields import WireModel, read
from lakeserve.wire.databricks.serving import (
    CreateServingEndpoint,
    EndpointCoreConfigInput,
    EndpointTag,
    RouteInput,
    ServedEntityInput,
    ServedModelInput,
)

Json = dict[str, Any]

_SET_BY_SERVER = {
    CreateServingEndpoint: frozenset(
        (
            *("id", "creator", "creation_timestamp", "last_updated_timestamp", "state", "pending_config"),
            *("permission_level", "data_plane_info", "endpoint_url"),
        )
    ),
    EndpointCoreConfigInput: frozenset(("name", "config_version", "start_time")),
    ServedEntityInput: frozenset(("id", "state", "creator", "creation_timestamp", "foundation_model")),
    ServedModelInput: frozenset(("id", "state", "creator", "creation_timestamp")),
}
_BELONG_TO_CONFIG = ("served_entities", "served_models", "traffic_config", "auto_capture_config")
EXPORT_ENABLED, EXPORT_DISABLED = "FIRST_PARTY_EXPORT_ENABLED", "FIRST_PARTY_EXPORT_DISABLED"
# Notifications given at creation are not shown until they are set by their own call.
_NEVER_SHOWN = frozenset((NOTIFICATIONS,))


def parse_create(body: object) -> RequestedEndpoint:
    """:raises InvalidParameterValue: a field has the wrong type, or the name is missing."""
    given = read(CreateServingEndpoint, body)
    if given.name is None:
        raise InvalidParameterValue("name is required.")
    misplaced = next((key for key in _BELONG_TO_CONFIG if key in (given.model_extra or {})), None)
    if misplaced is not None:
        raise InvalidParameterValue(f"{misplaced} must be given inside config, as config.{misplaced}.")
    needs = {
        Capability.AI_GATEWAY: given.ai_gateway,
        Capability.RATE_LIMITS: given.rate_limits,
        Capability.TELEMETRY: given.telemetry_config,
        Capability.SYSTEM_METRICS_EXPORT: exports_metrics(given.uc_system_metrics_export_state),
    }
    return RequestedEndpoint(
        name=given.name,
        config=None if given.config is None else _config(given.config),
        description=given.description or "",
        tags=parse_tags(given.tags),
        route_optimized=bool(given.route_optimized),
        needs=_needed(needs),
        extra={
            **_extra(given),
            **_switched_off("ai_gateway", given.ai_gateway),
            **_switched_off("telemetry_config", given.telemetry_config),
            **_given(SYSTEM_METRICS, given.uc_system_metrics_export_state),
        },
    )


def parse_config(body: object) -> RequestedConfig:
    """:raises InvalidParameterValue: a field has the wrong type, or two fields contradict each other."""
    return _config(read(EndpointCoreConfigInput, body))


def parse_tags(given: Iterable[EndpointTag] | None) -> tuple[Tag, ...]:
    return tuple(Tag(tag.key or "", tag.value) for tag in given or ())


def exports_metrics(state: str | None) -> bool:
    """
    :raises InvalidParameterValue: none of the two states that there are.
    """
    if state not in (None, EXPORT_ENABLED, EXPORT_DISABLED):
        raise InvalidParameterValue(f"{SYSTEM_METRICS} must be {EXPORT_ENABLED} or {EXPORT_DISABLED}.")
    return state == EXPORT_ENABLED


def _config(given: EndpointCoreConfigInput) -> RequestedConfig:
    if given.served_entities and given.served_models:
        raise InvalidParameterValue(
            "Give either served_entities or served_models, not both; served_models is the deprecated form."
        )
    entities = [_entity(each) for each in given.served_entities or given.served_models or ()]
    routes = (given.traffic_config and given.traffic_config.routes) or ()
    return RequestedConfig(
        entities=tuple(entities),
        routes=tuple(_route(position, route) for position, route in enumerate(routes)) or None,
        needs=_needed({Capability.INFERENCE_TABLES: given.auto_capture_config}),
        extra=_extra(given) | _switched_off("auto_capture_config", given.auto_capture_config),
    )


def _entity(given: ServedEntityInput | ServedModelInput) -> RequestedEntity:
    if isinstance(given, ServedEntityInput):
        entity_name, entity_version, external = given.entity_name, given.entity_version, given.external_model
    else:
        entity_name, entity_version, external = given.model_name, given.model_version, None
    throughput = given.min_provisioned_throughput, given.max_provisioned_throughput, given.provisioned_model_units
    return RequestedEntity(
        name=given.name,
        entity_name=entity_name,
        entity_version=entity_version,
        workload_size=given.workload_size,
        workload_type=given.workload_type,
        min_concurrency=given.min_provisioned_concurrency,
        max_concurrency=given.max_provisioned_concurrency,
        scale_to_zero=given.scale_to_zero_enabled,
        environment_vars=given.environment_vars or {},
        needs=_needed(
            {
                Capability.EXTERNAL_MODEL: external,
                Capability.PROVISIONED_THROUGHPUT: any(throughput),
                Capability.BURST_SCALING: given.burst_scaling_enabled,
            }
        ),
        extra=_extra(given),
    )


def _route(position: int, given: RouteInput) -> Route:
    path = f"traffic_config.routes[{position}]"
    name = given.served_entity_name or given.served_model_name
    if name is None:
        raise InvalidParameterValue(f"{path}.served_entity_name is required.")
    if given.served_model_name not in (None, name):
        raise InvalidParameterValue(
            f"{path} names two served entities, '{name}' and '{given.served_model_name}'; give one of them."
        )
    if given.traffic_percentage is None:
        raise InvalidParameterValue(f"{path}.traffic_percentage is required.")
    return Route(name, given.traffic_percentage)


def _needed(given: Mapping[Capability, object]) -> frozenset[Capability]:
    return frozenset(capability for capability, value in given.items() if asks(value))


def asks(value: object) -> bool:
    """Whether a settings block asks for anything: one that is empty or switched off in all its parts does not."""
    if isinstance(value, dict):
        return value.get("enabled") is not False and any(asks(each) for each in value.values())
    return bool(value)


def _switched_off(name: str, block: Json | None) -> Json:
    """A block that asks for nothing needs no capability, but its owner expects to read it back."""
    return {name: block} if block and not asks(block) else {}


def _given(name: str, value: object) -> Json:
    return {} if value is None else {name: value}


def _extra(given: WireModel) -> Json:
    dropped = _SET_BY_SERVER.get(type(given), frozenset())
    return {key: value for key, value in (given.model_extra or {}).items() if key not in dropped and value is not None}


def render_endpoint(endpoint: Endpoint, level: Level, *, knows_canceled: bool = True) -> Json:
    """The whole endpoint as the caller sees it; ``level`` is what the caller may do with it.

    For a client that does not know UPDATE_CANCELED, a canceled update is a failed one.
    """
    detailed = _head(endpoint, knows_canceled) | {
        "route_optimized": endpoint.route_optimized,
        "permission_level": level.value,
    }
    if endpoint.active is not None:
        detailed["config"] = _deployed(endpoint, endpoint.active)
    if endpoint.pending is not None:
        detailed["pending_config"] = _deployed(endpoint, endpoint.pending) | {"start_time": endpoint.pending.started_at}
    return detailed


def render_list(endpoints: Iterable[Endpoint], *, knows_canceled: bool = True) -> Json:
    """Rows in the order given. ``endpoints`` is there also when it is empty: clients read it unasked."""
    return {"endpoints": [_row(endpoint, knows_canceled) for endpoint in endpoints]}


def _row(endpoint: Endpoint, knows_canceled: bool) -> Json:
    row = _head(endpoint, knows_canceled)
    if endpoint.active is not None:
        entities = endpoint.active.entities
        row["config"] = {
            "served_entities": [_entity_key(entity) for entity in entities],
            "served_models": [_model_key(entity) for entity in entities],
        }
    return row


def _head(endpoint: Endpoint, knows_canceled: bool) -> Json:
    """What the list and the single endpoint have in common. Unknown fields come first: they can never replace ours."""
    canceled = endpoint.update is UpdateState.UPDATE_CANCELED
    update = UpdateState.UPDATE_FAILED if canceled and not knows_canceled else endpoint.update
    head: Json = {key: value for key, value in endpoint.extra.items() if key not in _NEVER_SHOWN}
    head |= {
        "name": endpoint.name,
        "id": endpoint.id,
        "creator": endpoint.creator,
        "creation_timestamp": endpoint.created_at,
        "last_updated_timestamp": endpoint.updated_at,
        "description": endpoint.description,
        "state": {"ready": endpoint.ready.value, "config_update": update.value},
    }
    if endpoint.tags:
        head["tags"] = render_tags(endpoint.tags)
    if endpoint.notifications:
        head[NOTIFICATIONS] = dict(endpoint.notifications)
    return head


def render_tags(tags: Iterable[Tag]) -> list[Json]:
    return [{"key": tag.key} if tag.value is None else {"key": tag.key, "value": tag.value} for tag in tags]


def _deployed(endpoint: Endpoint, config: EndpointConfig) -> Json:
    details = [_details(endpoint, config, entity) for entity in config.entities]
    named = list(zip(config.entities, details, strict=True))
    return {
        "config_version": config.version,
        **config.extra,
        "served_entities": [_named(_entity_key(entity), detail) for entity, detail in named],
        "served_models": [_named(_model_key(entity), detail) for entity, detail in named],
        "traffic_config": {
            "routes": [
                {
                    "served_model_name": route.served_entity,
                    "served_entity_name": route.served_entity,
                    "traffic_percentage": route.percentage,
                }
                for route in config.routes
            ]
        },
    }


def _details(endpoint: Endpoint, config: EndpointConfig, entity: ServedEntity) -> Json:
    """Everything that both descriptions of a served entity show. Values of variables are shown as they were given."""
    deployment = endpoint.deployment(config, entity)
    details: Json = {**entity.extra, "workload_type": entity.workload.type}
    if entity.workload.size is not None:
        details["workload_size"] = entity.workload.size
    else:
        details["min_provisioned_concurrency"] = entity.workload.min_concurrency
        details["max_provisioned_concurrency"] = entity.workload.max_concurrency
    if entity.environment_vars:
        details["environment_vars"] = dict(entity.environment_vars)
    details |= {
        "scale_to_zero_enabled": entity.scale_to_zero,
        "creator": entity.creator,
        "creation_timestamp": entity.created_at,
        "state": {"deployment": deployment.state.value, "deployment_state_message": deployment.message},
    }
    return details


def _named(key: Json, details: Json) -> Json:
    """The key twice: in front for people who read it, and last so that no unknown field replaces it."""
    return {**key, **details, **key}


def _entity_key(entity: ServedEntity) -> Json:
    return {"name": entity.name, "entity_name": entity.entity_name, "entity_version": entity.entity_version}


def _model_key(entity: ServedEntity) -> Json:
    return {"name": entity.name, "model_name": entity.entity_name, "model_version": entity.entity_version}
