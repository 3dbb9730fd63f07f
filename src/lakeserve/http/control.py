"""The control API, in the controller's process, behind its Unix socket.

Every route goes through :meth:`_Routes.add`, which takes the name of its operation: a name without an entry in the permission table
stops the program from starting. Bodies are read as bytes and parsed by ``wire``; answers are what ``wire`` renders.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from lakeserve.control.endpoints import Endpoints
from lakeserve.control.operations import NEEDS, Public
from lakeserve.domain.errors import (
    InternalError,
    LakeserveError,
    MethodNotAllowed,
    RouteNotFound,
    TemporarilyUnavailable,
)
from lakeserve.domain.principal import Level, Principal
from lakeserve.domain.routing import RoutingTable
from lakeserve.gateway.authenticate import authenticate
from lakeserve.http.asgi import App, Receive, Scope, Send
from lakeserve.http.body import read_body
from lakeserve.ports.store import StoreUnavailable
from lakeserve.wire.databricks import bodies, convert, discovery, scim
from lakeserve.wire.databricks.errors import render_error

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated call: who, the path's names, and the body's bytes."""

    caller: Principal
    path: Mapping[str, str]
    body: bytes
    base_url: str


Handler = Callable[[Call], Awaitable[Any]]
NOBODY = Principal("", "")


@dataclass(frozen=True, slots=True)
class ControlSettings:
    workspace_id: str
    max_body_bytes: int


class _Routes:
    def __init__(
        self, app: FastAPI, settings: ControlSettings, principals: Callable[[], Mapping[str, Principal]]
    ) -> None:
        self._app = app
        self._settings = settings
        self._principals = principals

    def add(self, method: str, path: str, operation: str, handler: Handler) -> None:
        needs = NEEDS[operation]

        async def answer(request: Request) -> Response:
            caller = NOBODY
            if not isinstance(needs, Public):
                authorization = request.headers.get("authorization")
                caller = authenticate(
                    RoutingTable(principals=self._principals()),
                    authorization.encode("latin-1") if authorization else None,
                )
            body = await read_body(request.scope, request.receive, self._settings.max_body_bytes)
            # The gateway has checked the Host header; this socket takes connections from it alone.
            base_url = (
                f"{request.headers.get('x-forwarded-proto', 'http')}://{request.headers.get('host', 'localhost')}"
            )
            return self._json(200, await handler(Call(caller, request.path_params, body, base_url)))

        self._app.add_api_route(path, answer, methods=[method], name=operation, response_class=Response)

    def _json(self, status: int, value: Any, headers: Mapping[str, str] | None = None) -> Response:
        # Other SDKs learn the workspace's id from this header (official clients expect an integer in it).
        extra = {"x-databricks-org-id": self._settings.workspace_id, **(headers or {})}
        return Response(orjson.dumps(value), status, extra, "application/json")

    def error(self, error: LakeserveError) -> Response:
        status, body, headers = render_error(error)
        return self._json(status, body, headers)


def create_app(
    endpoints: Endpoints, settings: ControlSettings, principals: Callable[[], Mapping[str, Principal]]
) -> App:
    """``principals`` gives the current table of token digest to principal."""
    app = FastAPI(title="lakeserve", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    routes = _Routes(app, settings, principals)
    _handle_errors(app, routes)
    _add_endpoint_routes(routes, endpoints)
    _add_identity_routes(routes, settings)
    return _without_trailing_slash(app)


def _add_endpoint_routes(routes: _Routes, endpoints: Endpoints) -> None:
    base = "/api/2.0/serving-endpoints"

    async def create(call: Call) -> Any:
        requested = convert.parse_create(bodies.read_object(call.body))
        return convert.render_endpoint(await endpoints.create(call.caller, requested), Level.CAN_MANAGE)

    async def update_config(call: Call) -> Any:
        requested = convert.parse_config(bodies.read_object(call.body))
        endpoint = await endpoints.update_config(call.caller, call.path["name"], requested)
        return convert.render_endpoint(endpoint, await endpoints.level(call.caller, endpoint))

    async def get(call: Call) -> Any:
        return convert.render_endpoint(*await endpoints.get(call.caller, call.path["name"]))

    async def list_all(call: Call) -> Any:
        return convert.render_list(await endpoints.list(call.caller))

    async def delete(call: Call) -> Any:
        await endpoints.delete(call.caller, call.path["name"])
        return {}  # MLflow's client parses the answer as an object

    async def build_logs(call: Call) -> Any:
        return {"logs": await endpoints.build_logs(call.caller, call.path["name"], call.path["served"])}

    async def server_logs(call: Call) -> Any:
        return {"logs": await endpoints.server_logs(call.caller, call.path["name"], call.path["served"])}

    routes.add("POST", base, "endpoints.create", create)
    routes.add("GET", base, "endpoints.list", list_all)
    routes.add("GET", base + "/{name}", "endpoints.get", get)
    routes.add("DELETE", base + "/{name}", "endpoints.delete", delete)
    routes.add("PUT", base + "/{name}/config", "endpoints.update_config", update_config)
    routes.add("GET", base + "/{name}/served-models/{served}/build-logs", "endpoints.build_logs", build_logs)
    routes.add("GET", base + "/{name}/served-models/{served}/logs", "endpoints.logs", server_logs)


def _add_identity_routes(routes: _Routes, settings: ControlSettings) -> None:
    async def host_metadata(call: Call) -> Any:
        return discovery.render_host_metadata(call.base_url, settings.workspace_id)

    async def me(call: Call) -> Any:
        return scim.render_me(call.caller)

    routes.add("GET", "/.well-known/databricks-config", "discovery.host_metadata", host_metadata)
    routes.add("GET", "/api/2.0/preview/scim/v2/Me", "scim.me", me)


def _handle_errors(app: FastAPI, routes: _Routes) -> None:
    @app.exception_handler(LakeserveError)
    async def ours(_: Request, error: LakeserveError) -> Response:
        return routes.error(error)

    @app.exception_handler(StoreUnavailable)
    async def store(_: Request, error: StoreUnavailable) -> Response:
        _log.warning("store: %s", error)
        return routes.error(TemporarilyUnavailable("The server's state cannot be read or changed at the moment."))

    @app.exception_handler(HTTPException)
    async def unrouted(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            return routes.error(MethodNotAllowed(f"Method {request.method} is not allowed for '{request.url.path}'."))
        return routes.error(RouteNotFound(f"No API found for '{request.method} {request.url.path}'."))

    @app.exception_handler(Exception)
    async def bug(request: Request, error: Exception) -> Response:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return routes.error(InternalError("The request could not be answered. The server's log has details."))


def _without_trailing_slash(app: App) -> App:
    """MLflow's client lists and creates at ``/api/2.0/serving-endpoints/``; a redirect would lose the body."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await app(scope, receive, send)

    return wrapped
