"""Access lists of serving endpoints, by the endpoint's id."""

from __future__ import annotations

from typing import Any

from lakeserve.control.permissions import Permissions
from lakeserve.http.control.routes import Call, Routes
from lakeserve.wire.databricks import bodies
from lakeserve.wire.databricks import permissions as wire

BASE = "/api/2.0/permissions/serving-endpoints/{id}"


def add(routes: Routes, permissions: Permissions) -> None:
    async def get(call: Call) -> Any:
        return wire.render(call.path["id"], await permissions.get(call.caller, call.path["id"]))

    async def replace(call: Call) -> Any:
        grants = wire.parse(bodies.read_object(call.body))
        return wire.render(call.path["id"], await permissions.replace(call.caller, call.path["id"], grants))

    async def merge(call: Call) -> Any:
        grants = wire.parse(bodies.read_object(call.body))
        return wire.render(call.path["id"], await permissions.merge(call.caller, call.path["id"], grants))

    async def levels(call: Call) -> Any:
        await permissions.check_levels(call.caller, call.path["id"])
        return wire.render_levels()

    routes.add("GET", BASE, "permissions.get", get)
    routes.add("PUT", BASE, "permissions.set", replace)
    routes.add("PATCH", BASE, "permissions.update", merge)
    routes.add("GET", BASE + "/permissionLevels", "permissions.levels", levels)
