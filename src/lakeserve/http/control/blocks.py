"""One block of a serving endpoint at a time: tags, AI gateway, rate limits, notifications, telemetry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lakeserve.control.endpoints import Endpoints
from lakeserve.domain import changes
from lakeserve.domain.endpoint import Endpoint
from lakeserve.domain.requested import refuse
from lakeserve.http.control.endpoints import BASE, render
from lakeserve.http.control.routes import Call, Routes
from lakeserve.wire.databricks import blocks, bodies
from lakeserve.wire.databricks.client_versions import reads_tags_in_an_object

Change = Callable[[Endpoint, int], Endpoint]


def add(routes: Routes, endpoints: Endpoints) -> None:
    _add_tags_and_notifications(routes, endpoints)
    _add_gateway(routes, endpoints)
    _add_telemetry(routes, endpoints)


def _add_tags_and_notifications(routes: Routes, endpoints: Endpoints) -> None:
    async def patch_tags(call: Call) -> Any:
        added, deleted = blocks.parse_tags(bodies.read_object(call.body))

        def change(endpoint: Endpoint, now: int) -> Endpoint:
            return changes.change_tags(endpoint, added, deleted, now=now)

        endpoint = await endpoints.change(call.caller, call.path["name"], "endpoints.patch_tags", change)
        return blocks.render_tags(endpoint, in_an_object=reads_tags_in_an_object(call.headers.get("user-agent", "")))

    async def notifications(call: Call) -> Any:
        given = blocks.parse_notifications(bodies.read_object(call.body))

        def change(endpoint: Endpoint, now: int) -> Endpoint:
            return changes.change_notifications(endpoint, given, now=now)

        endpoint = await endpoints.change(call.caller, call.path["name"], "endpoints.notifications", change)
        return blocks.render_notifications(endpoint)

    routes.add("PATCH", BASE + "/{name}/tags", "endpoints.patch_tags", patch_tags)
    routes.add("PATCH", BASE + "/{name}/notifications", "endpoints.notifications", notifications)


def _add_gateway(routes: Routes, endpoints: Endpoints) -> None:
    async def put_rate_limits(call: Call) -> Any:
        needs = blocks.parse_rate_limits(bodies.read_object(call.body))
        await endpoints.authorised(call.caller, call.path["name"], "endpoints.put_rate_limits")
        refuse(needs)
        return {"rate_limits": []}  # no endpoint has any, so taking all of them away is done

    async def put_ai_gateway(call: Call) -> Any:
        block, needs = blocks.parse_ai_gateway(bodies.read_object(call.body))

        def change(endpoint: Endpoint, now: int) -> Endpoint:
            return changes.change_ai_gateway(endpoint, block, needs, now=now)

        return blocks.render_ai_gateway(
            await endpoints.change(call.caller, call.path["name"], "endpoints.put_ai_gateway", change)
        )

    async def get_ai_gateway(call: Call) -> Any:
        endpoint = await endpoints.authorised(call.caller, call.path["name"], "endpoints.get_ai_gateway")
        return blocks.render_ai_gateway(endpoint)

    routes.add("PUT", BASE + "/{name}/rate-limits", "endpoints.put_rate_limits", put_rate_limits)
    routes.add("PUT", BASE + "/{name}/ai-gateway", "endpoints.put_ai_gateway", put_ai_gateway)
    routes.add("GET", BASE + "/{name}/ai-gateway", "endpoints.get_ai_gateway", get_ai_gateway)


def _add_telemetry(routes: Routes, endpoints: Endpoints) -> None:
    async def changed(call: Call, operation: str, change: Change) -> Any:
        endpoint = await endpoints.change(call.caller, call.path["name"], operation, change)
        return render(call, endpoint, await endpoints.level(call.caller, endpoint))

    async def patch_telemetry(call: Call) -> Any:
        needs = blocks.parse_telemetry(bodies.read_object(call.body))
        return await changed(
            call, "endpoints.telemetry", lambda endpoint, now: changes.change_telemetry(endpoint, needs)
        )

    async def patch_system_metrics(call: Call) -> Any:
        state, needs = blocks.parse_system_metrics(bodies.read_object(call.body))

        def change(endpoint: Endpoint, now: int) -> Endpoint:
            return changes.change_system_metrics(endpoint, state, needs, now=now)

        return await changed(call, "endpoints.system_metrics", change)

    routes.add("PATCH", BASE + "/{name}/telemetry-config", "endpoints.telemetry", patch_telemetry)
    routes.add("PATCH", BASE + "/{name}/system-metrics-export-state", "endpoints.system_metrics", patch_system_metrics)
