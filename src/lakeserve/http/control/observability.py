"""What endpoints do and how they are asked: metrics and OpenAPI documents."""

from __future__ import annotations

from typing import Any

from lakeserve.control.descriptions import Descriptions
from lakeserve.control.metrics import Metrics
from lakeserve.http.control.endpoints import BASE
from lakeserve.http.control.routes import Answer, Call, Routes
from lakeserve.wire import prometheus
from lakeserve.wire.databricks.client_versions import reads_metrics
from lakeserve.wire.databricks.openapi import ServedModel, render_openapi

_TEXT = {"content-type": prometheus.CONTENT_TYPE}


def add(routes: Routes, metrics: Metrics, descriptions: Descriptions) -> None:
    async def of_endpoint(call: Call) -> Any:
        text = prometheus.render_endpoint(await metrics.of_endpoint(call.caller, call.path["name"]))
        if not reads_metrics(call.headers.get("user-agent", "")):
            return Answer(None)
        return Answer(text, headers=_TEXT)

    async def of_server(call: Call) -> Any:
        return Answer(prometheus.render_server(await metrics.of_server(call.caller)), headers=_TEXT)

    async def openapi(call: Call) -> Any:
        described = await descriptions.describe(call.caller, call.path["name"])
        models = [ServedModel(name, package.mlmodel, package.example) for name, package in described.models]
        return render_openapi(described.endpoint, described.version, call.base_url, models)

    routes.add("GET", BASE + "/{name}/metrics", "endpoints.metrics", of_endpoint)
    routes.add("GET", BASE + "/{name}/openapi", "endpoints.openapi", openapi)
    routes.add("GET", "/metrics", "server.metrics", of_server)
