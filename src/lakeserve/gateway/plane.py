"""The straight line of a request: authenticate, resolve, authorise, route, dispatch.

Nothing here knows HTTP or JSON. The caller hands over the bytes as they came and gets bytes back, or a stream of them, together
with what it needs for the answer's headers.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from lakeserve.domain.errors import LakeserveError, ModelTimeout, WorkerLost
from lakeserve.domain.principal import Principal
from lakeserve.domain.routing import EndpointRoutes, EntityRoute, RoutingTable
from lakeserve.domain.usage import EntityUsage
from lakeserve.gateway import authenticate, route
from lakeserve.gateway.meter import Meter
from lakeserve.gateway.pool import EntityPool, PoolClosed
from lakeserve.ports.clock import Clock
from lakeserve.ports.upstream import Connector, Reply, Stream, Upstream, UpstreamLost

_PoolKey = tuple[str, str]
_GOLDEN = (5**0.5 - 1) / 2
_CLIENT_LEFT = 499
"""Counted for a stream that nobody read to its end; never sent."""


@dataclass(frozen=True, slots=True)
class PlaneLimits:
    """Seconds, and requests that may wait for each unit of concurrency."""

    execution_s: float
    queue_s: float
    wake_s: float
    queue_per_unit: int


class ClientLeft(Exception):
    """Nobody waits for the answer any more."""


@dataclass(frozen=True, slots=True)
class Request:
    """As it came. ``gone`` returns when the client has left; it is only asked while the request waits in line."""

    id: str
    content_type: str
    body: bytes
    gone: Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may go on to a served entity. ``asked_for`` is the entity's name if the request named it."""

    principal: Principal
    endpoint: EndpointRoutes
    entity: EntityRoute
    asked_for: str | None


class DataPlane:
    def __init__(self, connect: Connector, limits: PlaneLimits, clock: Clock) -> None:
        self._connect = connect
        self._limits = limits
        self._clock = clock
        self._pools: dict[_PoolKey, EntityPool] = {}
        self._draw = even_draws(random.random())  # noqa: S311 - spreads requests, protects nothing
        self.meter = Meter()
        self.table = RoutingTable()

    def use(self, table: RoutingTable) -> None:
        """Put a new routing table into force."""
        before = self.table
        self.table = table
        for name, routes in table.endpoints.items():
            if before.endpoints.get(name) is not routes:
                self._use_endpoint(before.endpoints.get(name), routes)
        for name in before.endpoints.keys() - table.endpoints.keys():
            self._drop_endpoint(before.endpoints[name])

    def authenticate(self, authorization: bytes | None) -> Principal:
        return authenticate.authenticate(self.table.principals, authorization, now=self._clock.now_ms())

    def admit(self, authorization: bytes | None, name: str, served_entity: str | None) -> Admitted:
        """Every check that needs no body."""
        return self.admit_known(self.authenticate(authorization), name, served_entity)

    def admit_known(self, principal: Principal, name: str, served_entity: str | None) -> Admitted:
        """The same for a caller who has been authenticated: the body may be needed to know which endpoint is meant."""
        endpoint = route.resolve(self.table, name)
        route.authorise(endpoint, principal)
        entity = route.choose(endpoint, served_entity, self._draw)
        return Admitted(principal, endpoint, entity, served_entity)

    async def dispatch(self, admitted: Admitted, request: Request) -> tuple[Admitted, Reply | Relay]:
        """Hand the request to a worker. Also tells which entity it went to: the routing table may change while it waits.

        A client that leaves while its request waits in line is noticed, and its request never run. One that leaves later is not:
        Python has no safe way to end a running call.

        :raises TooManyRequests: too many wait already.
        :raises TemporarilyUnavailable: no worker became free in time.
        :raises WorkerLost: the worker ended with the request.
        :raises ModelTimeout: the model took longer than the execution limit.
        :raises EndpointNotFound: the endpoint was deleted while the request waited.
        """
        while True:
            if self.table.endpoints.get(admitted.endpoint.name) is not admitted.endpoint:
                admitted = self.admit_known(admitted.principal, admitted.endpoint.name, admitted.asked_for)
            usage = self.meter.of((admitted.endpoint.id, admitted.entity.name))
            began = time.perf_counter()
            try:
                return admitted, await self._attempt(admitted, usage, began, request)
            except PoolClosed:
                continue
            except LakeserveError as error:
                usage.answered(error.status, (time.perf_counter() - began) * 1000)
                raise

    async def _attempt(self, admitted: Admitted, usage: EntityUsage, began: float, request: Request) -> Reply | Relay:
        pool = self._pool(admitted.endpoint, admitted.entity)
        upstream = pool.acquire_now() or await self._wait(pool, usage, request.gone)
        usage.queue.add((time.perf_counter() - began) * 1000)
        usage.in_flight += 1
        try:
            async with asyncio.timeout(self._limits.execution_s):
                answer = await upstream.ask(request.content_type, request.body, request.id)
        except BaseException as error:
            usage.in_flight -= 1
            pool.release(upstream)
            if isinstance(error, UpstreamLost):
                raise WorkerLost from None
            if isinstance(error, TimeoutError):
                raise ModelTimeout from None
            raise
        if isinstance(answer, Reply):
            usage.in_flight -= 1
            pool.release(upstream)
            usage.model.add(answer.model_ms)
            usage.answered(answer.status, (time.perf_counter() - began) * 1000)
            return answer
        return Relay(answer, pool, upstream, usage, began)

    async def _wait(self, pool: EntityPool, usage: EntityUsage, gone: Callable[[], Awaitable[None]]) -> Upstream:
        """
        :raises ClientLeft: the client did not wait.
        """
        usage.queued += 1
        self.meter.urgent.set()
        waiting = asyncio.ensure_future(pool.acquire())
        leaving = asyncio.ensure_future(gone())
        try:
            await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise ClientLeft
            return waiting.result()
        except asyncio.CancelledError:
            if waiting.done() and waiting.exception() is None:
                pool.release(waiting.result())
            raise
        finally:
            usage.queued -= 1
            leaving.cancel()
            waiting.cancel()

    def _pool(self, endpoint: EndpointRoutes, entity: EntityRoute) -> EntityPool:
        key = (endpoint.id, entity.fingerprint)
        pool = self._pools.get(key)
        if pool is None:
            limits = self._limits
            pool = self._pools[key] = EntityPool(
                self._connect,
                queue_limit=limits.queue_per_unit * max(entity.concurrency, 1),
                queue_s=limits.queue_s,
                wake_s=limits.wake_s,
            )
        return pool

    def _use_endpoint(self, before: EndpointRoutes | None, routes: EndpointRoutes) -> None:
        for entity in routes.entities:
            pool = self._pool(routes, entity)
            pool.queue_limit = self._limits.queue_per_unit * max(entity.concurrency, 1)
            pool.update(entity.workers)
        if before is not None:
            # After the new ones are there, so that whoever waited finds where to go.
            kept = {(routes.id, entity.fingerprint) for entity in routes.entities}
            self._close_pools(before, kept)
            if before.id != routes.id:
                self.meter.forget(before.id)

    def _drop_endpoint(self, routes: EndpointRoutes) -> None:
        self._close_pools(routes, set())
        self.meter.forget(routes.id)

    def _close_pools(self, routes: EndpointRoutes, kept: set[_PoolKey]) -> None:
        for entity in routes.entities:
            key = (routes.id, entity.fingerprint)
            if key not in kept and key in self._pools:
                self._pools.pop(key).close()


def even_draws(start: float) -> Callable[[], float]:
    """Draws from [0, 1) that fill it evenly: steps of the golden ratio. Shares of traffic come out to within a few requests.

    However a client's requests alternate, those of one kind are an even sequence again; independent draws would need tens of
    thousands of requests to keep to a percent.
    """
    point = start

    def draw() -> float:
        nonlocal point
        point = (point + _GOLDEN) % 1.0
        return point

    return draw


class Relay:
    """A stream on its way to the client; holds the worker until it is read to its end or cancelled."""

    def __init__(self, stream: Stream, pool: EntityPool, upstream: Upstream, usage: EntityUsage, began: float) -> None:
        self._stream = stream
        self._pool = pool
        self._upstream = upstream
        self._usage = usage
        self._began = began
        self._ended = False

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        """
        :raises WorkerLost: the worker ended in mid-stream.
        """
        try:
            async for piece in self._stream:
                yield piece
            self._end(200)
        except UpstreamLost:
            self._end(WorkerLost.status)
            raise WorkerLost from None
        finally:
            self.cancel()

    def cancel(self) -> None:
        """Nobody reads any more: stop the stream and give the worker back. Nothing after the stream's end."""
        if not self._ended:
            # First of all: whoever gets the worker next must not get the rest of this stream.
            self._stream.cancel()
            self._end(_CLIENT_LEFT)

    def _end(self, status: int) -> None:
        if self._ended:
            return
        self._ended = True
        self._usage.in_flight -= 1
        self._usage.answered(status, (time.perf_counter() - self._began) * 1000)
        self._pool.release(self._upstream)
