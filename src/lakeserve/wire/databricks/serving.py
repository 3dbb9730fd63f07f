"""The JSON objects of the serving API: what clients send, and what they get.

Inputs are lenient where the documented API is (see ``fields``) and know only the fields that lakeserve interprets; the
rest stays in ``model_extra``. Which value combinations make sense is not decided here but in ``domain.requested``.

Outputs describe what ``convert`` renders. They are here for the API's own documentation and for tests; rendering itself
builds plain dicts, because a list of thousands of endpoints would spend most of its time in validation.
"""

from __future__ import annotations

from typing import Any

from lakeserve.wire.databricks.fields import Flag, LiteralText, Text, VersionText, Whole, WireModel

# ---------------------------------------------------------------------------------------------------------- inputs


class EndpointTag(WireModel):
    key: Text = None
    value: LiteralText | None = None


class _Compute(WireModel):
    """What both descriptions of a served entity have in common."""

    name: Text = None
    workload_size: Text = None
    workload_type: Text = None
    scale_to_zero_enabled: Flag = None
    environment_vars: dict[str, LiteralText] | None = None
    min_provisioned_concurrency: Whole = None
    max_provisioned_concurrency: Whole = None
    min_provisioned_throughput: Whole = None
    max_provisioned_throughput: Whole = None
    provisioned_model_units: Whole = None
    burst_scaling_enabled: Flag = None


class ServedEntityInput(_Compute):
    entity_name: Text = None
    entity_version: VersionText = None
    external_model: dict[str, Any] | None = None


class ServedModelInput(_Compute):
    """The deprecated twin of :class:`ServedEntityInput`, still what older clients send."""

    model_name: Text = None
    model_version: VersionText = None


class RouteInput(WireModel):
    served_entity_name: Text = None
    served_model_name: Text = None
    traffic_percentage: Whole = None


class TrafficConfigInput(WireModel):
    routes: list[RouteInput] | None = None


class EndpointCoreConfigInput(WireModel):
    served_entities: list[ServedEntityInput] | None = None
    served_models: list[ServedModelInput] | None = None
    traffic_config: TrafficConfigInput | None = None
    auto_capture_config: dict[str, Any] | None = None


class CreateServingEndpoint(WireModel):
    name: Text = None
    config: EndpointCoreConfigInput | None = None
    description: Text = None
    tags: list[EndpointTag] | None = None
    route_optimized: Flag = None
    ai_gateway: dict[str, Any] | None = None
    rate_limits: list[Any] | None = None
    telemetry_config: dict[str, Any] | None = None
    uc_system_metrics_export_state: Text = None


class PatchTags(WireModel):
    """``delete_tags`` are keys."""

    add_tags: list[EndpointTag] | None = None
    delete_tags: list[LiteralText] | None = None


class EmailNotifications(WireModel):
    """E-mail addresses."""

    on_update_success: list[LiteralText] | None = None
    on_update_failure: list[LiteralText] | None = None


class UpdateNotifications(WireModel):
    email_notifications: EmailNotifications | None = None


class PutRateLimits(WireModel):
    rate_limits: list[Any] | None = None


class PatchTelemetryConfig(WireModel):
    telemetry_config: dict[str, Any] | None = None


class PatchSystemMetricsExportState(WireModel):
    uc_system_metrics_export_state: Text = None


# --------------------------------------------------------------------------------------------------------- outputs


class EndpointState(WireModel):
    ready: str
    config_update: str


class ServedModelState(WireModel):
    deployment: str
    deployment_state_message: str


class Route(WireModel):
    served_entity_name: str
    served_model_name: str
    traffic_percentage: int


class TrafficConfig(WireModel):
    routes: list[Route]


class ServedEntitySpec(WireModel):
    name: str
    entity_name: str
    entity_version: str


class ServedModelSpec(WireModel):
    name: str
    model_name: str
    model_version: str


class _Deployed(WireModel):
    workload_size: str | None = None
    workload_type: str
    scale_to_zero_enabled: bool
    min_provisioned_concurrency: int | None = None
    max_provisioned_concurrency: int | None = None
    environment_vars: dict[str, str] | None = None
    creator: str
    creation_timestamp: int
    state: ServedModelState


class ServedEntityOutput(ServedEntitySpec, _Deployed):
    pass


class ServedModelOutput(ServedModelSpec, _Deployed):
    pass


class EndpointCoreConfigSummary(WireModel):
    served_entities: list[ServedEntitySpec]
    served_models: list[ServedModelSpec]


class EndpointCoreConfigOutput(WireModel):
    config_version: int
    served_entities: list[ServedEntityOutput]
    served_models: list[ServedModelOutput]
    traffic_config: TrafficConfig


class EndpointPendingConfig(EndpointCoreConfigOutput):
    start_time: int


class ServingEndpoint(WireModel):
    """A row of the list."""

    id: str
    name: str
    creator: str
    creation_timestamp: int
    last_updated_timestamp: int
    description: str
    state: EndpointState
    tags: list[EndpointTag] | None = None
    config: EndpointCoreConfigSummary | None = None


class ServingEndpointDetailed(WireModel):
    id: str
    name: str
    creator: str
    creation_timestamp: int
    last_updated_timestamp: int
    description: str
    route_optimized: bool
    permission_level: str
    state: EndpointState
    tags: list[EndpointTag] | None = None
    config: EndpointCoreConfigOutput | None = None
    pending_config: EndpointPendingConfig | None = None


class ListEndpointsResponse(WireModel):
    endpoints: list[ServingEndpoint]
