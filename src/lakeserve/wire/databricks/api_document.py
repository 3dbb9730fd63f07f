"""The OpenAPI document of our own control API, as far as it is about serving endpoints.

Made from the same models that read the bodies and describe the answers, so it says what the server does. Built when somebody asks
(for the published page and for tests that generate requests from it), never while the server runs. That every route is here, and
nothing else, is held by ``tests/wire/test_api_document.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from lakeserve.wire.databricks import serving
from lakeserve.wire.databricks.fields import WireModel

Json = dict[str, Any]

BASE = "/api/2.0/serving-endpoints"


class Error(BaseModel):
    """Every answer with a status of 400 or more. Exactly these two: older clients choke on some others."""

    error_code: str
    message: str


class Logs(BaseModel):
    logs: str


class Nothing(BaseModel):
    """An empty object; MLflow's client parses the answer as one."""


class Tags(BaseModel):
    """For SDKs before 0.41 the bare list."""

    tags: list[serving.EndpointTag]


class RateLimits(BaseModel):
    rate_limits: list[Any]


class AiGateway(WireModel):
    """Only what is switched off can be stored."""


class Notifications(BaseModel):
    name: str
    email_notifications: serving.EmailNotifications


@dataclass(frozen=True, slots=True)
class Operation:
    """``answer`` is a model, or the media type of something that is not described further; None is always an error so far."""

    method: str
    path: str
    name: str
    answer: type[BaseModel] | str | None
    body: type[BaseModel] | None = None


_ONE = BASE + "/{name}"
_SERVED = _ONE + "/served-models/{served}"
_DETAILED = serving.ServingEndpointDetailed

OPERATIONS = (
    Operation("POST", BASE, "create", _DETAILED, serving.CreateServingEndpoint),
    Operation("GET", BASE, "list", serving.ListEndpointsResponse),
    Operation("GET", _ONE, "get", _DETAILED),
    Operation("DELETE", _ONE, "delete", Nothing),
    Operation("PUT", _ONE + "/config", "update_config", _DETAILED, serving.EndpointCoreConfigInput),
    *(
        Operation(method, f"{_ONE}/config:{verb}", f"{verb}_by_{method.lower()}", _DETAILED)
        for verb in ("stop", "start", "cancel")
        for method in ("PUT", "POST")
    ),
    Operation("PATCH", _ONE + "/tags", "patch_tags", Tags, serving.PatchTags),
    Operation("PUT", _ONE + "/rate-limits", "put_rate_limits", RateLimits, serving.PutRateLimits),
    Operation("PUT", _ONE + "/ai-gateway", "put_ai_gateway", AiGateway, AiGateway),
    Operation("GET", _ONE + "/ai-gateway", "get_ai_gateway", AiGateway),
    Operation("PATCH", _ONE + "/notifications", "update_notifications", Notifications, serving.UpdateNotifications),
    Operation("PATCH", _ONE + "/telemetry-config", "patch_telemetry_config", _DETAILED, serving.PatchTelemetryConfig),
    Operation(
        "PATCH",
        _ONE + "/system-metrics-export-state",
        "patch_system_metrics_export_state",
        _DETAILED,
        serving.PatchSystemMetricsExportState,
    ),
    Operation("GET", _ONE + "/metrics", "metrics", "text/plain"),
    Operation("GET", _ONE + "/openapi", "openapi", "application/json"),
    Operation("GET", _ONE + "/events", "events", None),
    Operation("GET", _SERVED + "/build-logs", "build_logs", Logs),
    Operation("GET", _SERVED + "/logs", "logs", Logs),
    Operation("POST", BASE + "/pt", "create_provisioned", None, serving.CreateServingEndpoint),
    Operation("PUT", BASE + "/pt/{name}/config", "update_provisioned", None, serving.EndpointCoreConfigInput),
    Operation("GET", BASE + "/get-model-optimization-info/{model}/{version}", "model_optimization_info", None),
)


def render_document(version: str) -> Json:
    """OpenAPI 3.1. ``version`` is lakeserve's."""
    models = {Error, *(each.body for each in OPERATIONS), *(each.answer for each in OPERATIONS)}
    named = sorted((each for each in models if isinstance(each, type)), key=lambda model: model.__name__)
    _, definitions = models_json_schema(
        [(model, "validation") for model in named], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, Json] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "lakeserve: serving endpoints", "version": version},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> Json:
    responses: Json = {"default": {"description": "What is wrong.", "content": _content(Error)}}
    if isinstance(operation.answer, str):
        responses["200"] = {"description": "Done.", "content": {operation.answer: {}}}
    elif operation.answer is not None:
        responses["200"] = {"description": "Done.", "content": _content(operation.answer)}
    rendered: Json = {"operationId": operation.name, "responses": responses}
    names = re.findall(r"{(\w+)}", operation.path)
    if names:
        rendered["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
            for name in names
        ]
    if operation.body is not None:
        rendered["requestBody"] = {"required": True, "content": _content(operation.body)}
    return rendered


def _content(model: type[BaseModel]) -> Json:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}
