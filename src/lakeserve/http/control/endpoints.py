"""Serving endpoints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from lakeserve.control.endpoints import Endpoints
from lakeserve.domain.endpoint import Endpoint
from lakeserve.domain.principal import Level, Principal
from lakeserve.http.control.routes import Call, Handler, Routes
from lakeserve.wire.databricks import bodies, convert
from lakeserve.wire.databricks.client_versions import knows_update_canceled

BASE = "/api/2.0/serving-endpoints"


def render(call: Call, endpoint: Endpoint, level: Level) -> Any:
    """The endpoint in the words that this client knows."""
    return convert.render_endpoint(endpoint, level, knows_canceled=_knows_canceled(call))


def _knows_canceled(call: Call) -> bool:
    return knows_update_canceled(call.headers.get("user-agent", ""))


def add(routes: Routes, endpoints: Endpoints) -> None:
    _add_changes(routes, endpoints)

    async def create(call: Call) -> Any:
        requested = convert.parse_create(bodies.read_object(call.body))
        return render(call, await endpoints.create(call.caller, requested), Level.CAN_MANAGE)

    async def update_config(call: Call) -> Any:
        requested = convert.parse_config(bodies.read_object(call.body))
        endpoint = await endpoints.update_config(call.caller, call.path["name"], requested)
        return render(call, endpoint, await endpoints.level(call.caller, endpoint))

    async def get(call: Call) -> Any:
        return render(call, *await endpoints.get(call.caller, call.path["name"]))

    async def list_all(call: Call) -> Any:
        return convert.render_list(await endpoints.list(call.caller), knows_canceled=_knows_canceled(call))

    async def delete(call: Call) -> Any:
        await endpoints.delete(call.caller, call.path["name"])
        return {}  # MLflow's client parses the answer as an object

    async def build_logs(call: Call) -> Any:
        return {"logs": await endpoints.build_logs(call.caller, call.path["name"], call.path["served"])}

    async def server_logs(call: Call) -> Any:
        return {"logs": await endpoints.server_logs(call.caller, call.path["name"], call.path["served"])}

    routes.add("POST", BASE, "endpoints.create", create)
    routes.add("GET", BASE, "endpoints.list", list_all)
    routes.add("GET", BASE + "/{name}", "endpoints.get", get)
    routes.add("DELETE", BASE + "/{name}", "endpoints.delete", delete)
    routes.add("PUT", BASE + "/{name}/config", "endpoints.update_config", update_config)
    routes.add("GET", BASE + "/{name}/served-models/{served}/build-logs", "endpoints.build_logs", build_logs)
    routes.add("GET", BASE + "/{name}/served-models/{served}/logs", "endpoints.logs", server_logs)


def _add_changes(routes: Routes, endpoints: Endpoints) -> None:
    def changing(change: Callable[[Principal, str], Awaitable[Endpoint]]) -> Handler:
        async def answer(call: Call) -> Any:
            endpoint = await change(call.caller, call.path["name"])
            return render(call, endpoint, await endpoints.level(call.caller, endpoint))

        return answer

    for method in ("PUT", "POST"):  # the real product's method is not documented
        routes.add(method, BASE + "/{name}/config:stop", "endpoints.stop", changing(endpoints.stop))
        routes.add(method, BASE + "/{name}/config:start", "endpoints.start", changing(endpoints.start))
        routes.add(method, BASE + "/{name}/config:cancel", "endpoints.cancel_update", changing(endpoints.cancel_update))
