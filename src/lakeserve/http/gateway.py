"""The application of a gateway process: every request of every client enters here.

Requests to models are answered from memory by the data plane. Everything else is passed on: MLflow's routes to the registry's
process, after authentication, and the control API to the controller's process, which authenticates for itself. With those two
gone, models still answer.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import aclosing
from functools import partial
from typing import Any

from lakeserve.domain.errors import (
    BadRequest,
    InternalError,
    LakeserveError,
    MethodNotAllowed,
    RequestTimeout,
    RouteNotFound,
    TemporarilyUnavailable,
    Unauthenticated,
)
from lakeserve.gateway.plane import Admitted, ClientLeft, DataPlane, Relay, Request
from lakeserve.http import guard
from lakeserve.http.asgi import Header, Receive, Scope, Send, encode_headers, header, send_bytes, send_error, send_json
from lakeserve.http.body import ByteBudget, ClientGone, check_length, expected_size, read_body
from lakeserve.http.passing import Passage
from lakeserve.ports.upstream import Reply
from lakeserve.settings import Limits
from lakeserve.wire import openai
from lakeserve.wire.databricks.errors import render_stream_error

_log = logging.getLogger(__name__)

_REGISTRY_PREFIXES = (
    "/api/2.0/mlflow",
    "/api/3.0/mlflow",
    "/api/4.0/mlflow",
    "/api/2.0/fs/",
    "/ajax-api/",
    "/static-files/",
    "/v1/traces",
)
_PAGES = frozenset(("/", "/index.html"))
"""MLflow's web interface."""
_REGISTRY_PATHS = _PAGES | {"/graphql", "/get-artifact", "/model-versions/get-artifact", "/version"}
_SIGNED = "/api/2.0/fs-signed/"
"""URLs that carry their own permission, checked by the registry's process; clients fetch them without a token."""

_INTERNAL = "/_lakeserve"
_JSON = "application/json"
_SYNC_WAIT_S = 30.0


class GatewayApp:
    """``synced`` is set once the routing table has come from the controller."""

    def __init__(
        self,
        plane: DataPlane,
        *,
        control: Passage,
        registry: Passage,
        limits: Limits,
        workspace_id: str,
        synced: asyncio.Event,
    ) -> None:
        self._plane = plane
        self._control = control
        self._registry = registry
        self._limits = limits
        # MLflow notes the workspace of a model's run by this header, and warns without it.
        self._registry_headers = encode_headers({"x-databricks-org-id": workspace_id})
        self._synced = synced
        self._draining = False
        self._bodies = ByteBudget(limits.body_buffer_bytes, limits.queue_s)

    def drain(self) -> None:
        """From now on every answer asks the client to close its connection and come back on another."""
        self._draining = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request_id = str(uuid.uuid4())
        started = _Started(send, last=self._draining)
        try:
            path = self._look_at(scope, started)
            await self._route(scope, receive, started, path, request_id)
        except ClientGone:
            return
        except LakeserveError as error:
            await _refuse(started, error, request_id)
        except Exception:  # noqa: BLE001
            # The outermost boundary: whatever went wrong, the client gets an answer and the log gets the trace.
            _log.exception("request %s failed", request_id)
            await _refuse(
                started, InternalError("The request could not be answered. The server's log has details."), request_id
            )

    def _look_at(self, scope: Scope, answer: _Started) -> str:
        """The request's path; whatever a client sends behind a request that is refused here is not read."""
        try:
            return guard.check(scope, max_headers=self._limits.header_count, max_header_bytes=self._limits.header_bytes)
        except BadRequest:
            answer.last = True
            raise

    async def _route(self, scope: Scope, receive: Receive, send: _Started, path: str, request_id: str) -> None:
        target = _invocation(path)
        if target is not None:
            _require_post(scope)
            await self._invoke(scope, receive, send, *target, request_id)
        elif path in openai.INPUTS:
            _require_post(scope)
            await self._ask_openai(scope, receive, send, path, request_id)
        elif path in ("/health", "/ready"):
            await self._probe(send, path)
        elif path == _INTERNAL or path.startswith(_INTERNAL + "/"):
            raise RouteNotFound(f"No API found for '{scope['method']} {path}'.")
        elif path.startswith(_REGISTRY_PREFIXES) or path in _REGISTRY_PATHS:
            await self._pass_to_registry(scope, receive, send, path)
        elif path.startswith(_SIGNED):
            await self._registry(scope, receive, send)
        else:
            # Here, because nothing reaches the controller before the first byte of a body does.
            check_length(scope, self._limits.control_bytes)
            await self._control(scope, receive, send)

    async def _pass_to_registry(self, scope: Scope, receive: Receive, send: _Started, path: str) -> None:
        await self._know()
        try:
            self._plane.authenticate(header(scope, b"authorization"))
        except Unauthenticated as error:
            if path not in _PAGES:
                raise
            # A person with a browser: it asks for a name and a password, and the password is the token.
            await send_error(send, error, [(b"www-authenticate", b'Basic realm="lakeserve", charset="UTF-8"')])
            return
        if path == "/graphql" and scope["method"] != "POST":
            raise MethodNotAllowed(f"Method {scope['method']} is not allowed here; use POST.")
        await self._registry(scope, receive, send, self._registry_headers)

    async def _know(self) -> None:
        """A gateway that has just been started knows no token and no endpoint, and must not call them wrong or missing.

        :raises TemporarilyUnavailable: the controller has not told it within the time to wait.
        """
        if not self._synced.is_set():
            try:
                async with asyncio.timeout(_SYNC_WAIT_S):
                    await self._synced.wait()
            except TimeoutError:
                raise TemporarilyUnavailable("The server is still starting.") from None

    async def _probe(self, send: Send, path: str) -> None:
        if path == "/health":
            await send_json(send, 200, {"status": "ok"})
            return
        control, registry = await asyncio.gather(self._control.reachable(), self._registry.reachable())
        ready = self._synced.is_set()
        parts = {"gateway": ready, "controller": control, "registry": registry}
        await send_json(send, 200 if ready else 503, {"status": "ready" if ready else "starting", "parts": parts})

    async def _invoke(
        self, scope: Scope, receive: Receive, send: Send, name: str, served_entity: str | None, request_id: str
    ) -> None:
        await self._know()
        admitted = self._plane.admit(header(scope, b"authorization"), name, served_entity)
        async with self._bodies.hold(expected_size(scope, self._limits.request_bytes)):
            body = await self._body(scope, receive)
            content_type = (header(scope, b"content-type") or b"").decode("latin-1")
            request = Request(request_id, content_type, body, partial(_until_gone, receive))
            admitted, answer = await self._dispatch(admitted, request)
        await _answer(answer, receive, send, _answer_headers(admitted, request_id))

    async def _ask_openai(self, scope: Scope, receive: Receive, send: Send, path: str, request_id: str) -> None:
        """As an invocation of the endpoint that the body names: only whoever is known gets their body read."""
        await self._know()
        principal = self._plane.authenticate(header(scope, b"authorization"))
        async with self._bodies.hold(expected_size(scope, self._limits.request_bytes)):
            name, body = openai.read_call(path, await self._body(scope, receive))
            admitted = self._plane.admit_known(principal, name, None)
            request = Request(request_id, _JSON, body, partial(_until_gone, receive))
            admitted, answer = await self._dispatch(admitted, request)
        await _answer(answer, receive, send, _answer_headers(admitted, request_id))

    async def _dispatch(self, admitted: Admitted, request: Request) -> tuple[Admitted, Reply | Relay | LakeserveError]:
        """
        :raises ClientGone: the client left while its request waited in line.
        """
        try:
            return await self._plane.dispatch(admitted, request)
        except ClientLeft:
            raise ClientGone from None
        except LakeserveError as error:
            return admitted, error

    async def _body(self, scope: Scope, receive: Receive) -> bytes:
        try:
            async with asyncio.timeout(self._limits.body_s):
                return await read_body(scope, receive, self._limits.request_bytes)
        except TimeoutError:
            raise RequestTimeout(f"The request's body did not arrive within {self._limits.body_s:.0f} s.") from None


async def _answer(answer: Reply | Relay | LakeserveError, receive: Receive, send: Send, headers: list[Header]) -> None:
    if isinstance(answer, Relay):
        await _relay(answer, receive, send, headers)
    elif isinstance(answer, LakeserveError):
        await send_error(send, answer, headers)
    else:
        await send_bytes(send, answer.status, answer.content_type.encode("latin-1"), answer.body, headers)


async def _relay(relay: Relay, receive: Receive, send: Send, headers: list[Header]) -> None:
    """Each piece as it comes. A client that leaves cancels the stream; a worker that dies ends it with a readable event."""
    start = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"), *headers]
    watch = asyncio.create_task(_until_gone(receive))
    watch.add_done_callback(lambda _: relay.cancel())
    try:
        await send({"type": "http.response.start", "status": 200, "headers": start})
        async with aclosing(aiter(relay)) as pieces:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    except LakeserveError as error:
        if not watch.done():
            await send({"type": "http.response.body", "body": render_stream_error(error), "more_body": True})
    finally:
        # A stream whose head could not be sent was never iterated, and gives its worker back here.
        relay.cancel()
        watch.cancel()
    await send({"type": "http.response.body", "body": b""})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _answer_headers(admitted: Admitted, request_id: str) -> list[Header]:
    request = request_id.encode()
    return [
        (b"served-model-name", admitted.entity.name.encode("latin-1")),
        # Clients in the wild look for either name.
        (b"x-databricks-request-id", request),
        (b"databricks-request-id", request),
    ]


def _require_post(scope: Scope) -> None:
    if scope["method"] != "POST":
        raise MethodNotAllowed(f"Method {scope['method']} is not allowed here; use POST.")


def _invocation(path: str) -> tuple[str, str | None] | None:
    """(endpoint, served entity or None) if the path is one of the two invocation routes."""
    parts = path.split("/")
    match parts:
        case ["", "serving-endpoints", name, "invocations"]:
            return name, None
        case ["", "serving-endpoints", name, "served-models", served_entity, "invocations"]:
            return name, served_entity
    return None


class _Started:
    """A ``send`` that remembers whether the answer has begun; ``last`` makes it the last on its connection."""

    def __init__(self, send: Send, *, last: bool) -> None:
        self._send = send
        self.last = last
        self.begun = False

    async def __call__(self, message: Any) -> None:
        if self.last and not self.begun:
            message["headers"] = [*message["headers"], (b"connection", b"close")]
        self.begun = True
        await self._send(message)


async def _refuse(send: _Started, error: LakeserveError, request_id: str) -> None:
    if error.log_level >= logging.WARNING:
        _log.log(error.log_level, "request %s: %s %s", request_id, error.status, error.message)
    if send.begun:
        # Half an answer is out: ending it here without its end makes the server cut the connection, which the client sees.
        return
    await send_error(send, error, encode_headers({"x-databricks-request-id": request_id}))
