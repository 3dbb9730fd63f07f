"""The bodies and answers of the calls that change one block of an endpoint: tags, gateway, limits, notifications, telemetry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lakeserve.domain.changes import AI_GATEWAY, NOTIFICATIONS
from lakeserve.domain.endpoint import Endpoint, Tag
from lakeserve.domain.requested import Capability
from lakeserve.wire.databricks import convert
from lakeserve.wire.databricks.fields import read
from lakeserve.wire.databricks.serving import (
    PatchSystemMetricsExportState,
    PatchTags,
    PatchTelemetryConfig,
    PutRateLimits,
    UpdateNotifications,
)

Needs = frozenset[Capability]


def parse_tags(body: object) -> tuple[tuple[Tag, ...], tuple[str, ...]]:
    """Tags to add, and keys to delete."""
    given = read(PatchTags, body)
    return convert.parse_tags(given.add_tags), tuple(given.delete_tags or ())


def render_tags(endpoint: Endpoint, *, in_an_object: bool) -> Any:
    """All tags of the endpoint; the form depends on the client's version."""
    tags = convert.render_tags(endpoint.tags)
    return {"tags": tags} if in_an_object else tags


def parse_rate_limits(body: object) -> Needs:
    return _needed(Capability.RATE_LIMITS, read(PutRateLimits, body).rate_limits)


def parse_ai_gateway(body: Mapping[str, Any]) -> tuple[dict[str, Any], Needs]:
    """The block without what is empty, and what it asks for."""
    block = {key: value for key, value in body.items() if value not in (None, {}, [])}
    return block, _needed(Capability.AI_GATEWAY, block)


def render_ai_gateway(endpoint: Endpoint) -> dict[str, Any]:
    return dict(endpoint.extra.get(AI_GATEWAY) or {})


def parse_notifications(body: object) -> dict[str, Any]:
    given = read(UpdateNotifications, body).email_notifications
    return {} if given is None else given.model_dump(exclude_none=True)


def render_notifications(endpoint: Endpoint) -> dict[str, Any]:
    return {"name": endpoint.name, NOTIFICATIONS: dict(endpoint.notifications or {})}


def parse_telemetry(body: object) -> Needs:
    return _needed(Capability.TELEMETRY, read(PatchTelemetryConfig, body).telemetry_config)


def parse_system_metrics(body: object) -> tuple[str | None, Needs]:
    state = read(PatchSystemMetricsExportState, body).uc_system_metrics_export_state
    return state, _needed(Capability.SYSTEM_METRICS_EXPORT, convert.exports_metrics(state))


def _needed(capability: Capability, given: object) -> Needs:
    return frozenset((capability,)) if convert.asks(given) else frozenset()
