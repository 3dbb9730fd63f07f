"""What every route of the control API has in common: the caller, the body, the answer's shape, and the errors.

Every route goes through :meth:`Routes.add`, which takes the name of its operation: a name without an entry in the permission table
stops the program from starting. Bodies are read as bytes and parsed by ``wire``; answers are what ``wire`` renders.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from lakeserve.control.operations import NEEDS, AdminsOnly, Public, require_admin
from lakeserve.domain.errors import (
    InternalError,
    LakeserveError,
    MethodNotAllowed,
    RouteNotFound,
    TemporarilyUnavailable,
)
from lakeserve.domain.principal import Principal
from lakeserve.gateway.authenticate import authenticate
from lakeserve.http.asgi import App, Receive, Scope, Send
from lakeserve.http.body import read_body
from lakeserve.ports.clock import Clock
from lakeserve.ports.store import StoreUnavailable
from lakeserve.wire.databricks.errors import render_error

_log = logging.getLogger(__name__)

Principals = Callable[[], Mapping[str, Principal]]
"""The current table of token digest to principal."""

NOBODY = Principal("", "")


@dataclass(frozen=True, slots=True)
class Call:
    """One call: who, the path's names, the query's values, the headers by lower-case name, and the body's bytes."""

    caller: Principal
    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    base_url: str


@dataclass(frozen=True, slots=True)
class Answer:
    """For a handler whose answer is more than a body with status 200.

    A body of None is no body; one of bytes is sent as it is, and ``headers`` then says what it is.
    """

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Awaitable[Any]]
"""Gives the body's JSON value, or an :class:`Answer`."""


@dataclass(frozen=True, slots=True)
class ControlSettings:
    workspace_id: str
    max_body_bytes: int


class Routes:
    """``operations`` is what has been added: (method, path, operation)."""

    def __init__(self, settings: ControlSettings, principals: Principals, clock: Clock) -> None:
        self.app = FastAPI(title="lakeserve", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
        self.operations: list[tuple[str, str, str]] = []
        self._settings = settings
        self._principals = principals
        self._clock = clock
        self._handle_errors()

    def add(self, method: str, path: str, operation: str, handler: Handler) -> None:
        needs = NEEDS[operation]
        public, admins_only = isinstance(needs, Public), isinstance(needs, AdminsOnly)

        async def answer(request: Request) -> Response:
            caller = NOBODY if public else self._caller(request)
            if admins_only:
                require_admin(caller)
            body = await read_body(request.scope, request.receive, self._settings.max_body_bytes)
            call = Call(
                caller=caller,
                path=request.path_params,
                query=request.query_params,
                headers=request.headers,
                body=body,
                base_url=_base_url(request),
            )
            result = await handler(call)
            return self._respond(result if isinstance(result, Answer) else Answer(result))

        self.operations.append((method, path, operation))
        self.app.add_api_route(path, answer, methods=[method], name=operation, response_class=Response)

    def _caller(self, request: Request) -> Principal:
        authorization = request.headers.get("authorization")
        given = authorization.encode("latin-1") if authorization else None
        return authenticate(self._principals(), given, now=self._clock.now_ms())

    def _respond(self, answer: Answer) -> Response:
        # Other SDKs learn the workspace's id from this header (official clients expect an integer in it).
        headers = {"x-databricks-org-id": self._settings.workspace_id, **answer.headers}
        if answer.body is None or isinstance(answer.body, bytes):
            return Response(answer.body, answer.status, headers)
        return Response(orjson.dumps(answer.body), answer.status, headers, "application/json")

    def _error(self, error: LakeserveError) -> Response:
        status, body, headers = render_error(error)
        return self._respond(Answer(body, status, headers))

    def _handle_errors(self) -> None:
        @self.app.exception_handler(LakeserveError)
        async def ours(_: Request, error: LakeserveError) -> Response:
            return self._error(error)

        @self.app.exception_handler(StoreUnavailable)
        async def store(_: Request, error: StoreUnavailable) -> Response:
            _log.warning("store: %s", error)
            return self._error(TemporarilyUnavailable("The server's state cannot be read or changed at the moment."))

        @self.app.exception_handler(HTTPException)
        async def unrouted(request: Request, error: HTTPException) -> Response:
            if error.status_code == 405:
                told = f"Method {request.method} is not allowed for '{request.url.path}'."
                return self._error(MethodNotAllowed(told))
            return self._error(RouteNotFound(f"No API found for '{request.method} {request.url.path}'."))

        @self.app.exception_handler(Exception)
        async def bug(request: Request, error: Exception) -> Response:
            _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
            return self._error(InternalError("The request could not be answered. The server's log has details."))


def _base_url(request: Request) -> str:
    # The gateway has checked the Host header; this socket takes connections from it alone.
    return f"{request.headers.get('x-forwarded-proto', 'http')}://{request.headers.get('host', 'localhost')}"


def without_trailing_slash(app: App) -> App:
    """MLflow's client lists and creates at ``/api/2.0/serving-endpoints/``; a redirect would lose the body."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        await app(scope, receive, send)

    return wrapped
