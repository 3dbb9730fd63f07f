"""Who the caller is, and what this host is."""

from __future__ import annotations

from typing import Any

from lakeserve.http.control.routes import Call, ControlSettings, Routes
from lakeserve.wire.databricks import discovery, scim


def add(routes: Routes, settings: ControlSettings) -> None:
    async def host_metadata(call: Call) -> Any:
        return discovery.render_host_metadata(call.base_url, settings.workspace_id)

    async def me(call: Call) -> Any:
        return scim.render_me(call.caller)

    routes.add("GET", "/.well-known/databricks-config", "discovery.host_metadata", host_metadata)
    routes.add("GET", "/api/2.0/preview/scim/v2/Me", "scim.me", me)
