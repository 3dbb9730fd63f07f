"""The straight line of a request: authenticate, resolve, authorise, route, dispatch.

Nothing here knows HTTP or JSON. The caller hands over the bytes as they came and gets bytes back, or a stream of them, together
with what it needs for the answer's headers.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

from lakeserve.domain.errors import ModelTimeout, WorkerLost
from lakeserve.domain.principal import Principal
from lakeserve.domain.routing import EndpointRoutes, EntityRoute, RoutingTable
from lakeserve.gateway import authenticate, route
from lakeserve.gateway.pool import EntityPool
from lakeserve.ports.upstream import Connector, Reply, Stream, Upstream, UpstreamLost

_PoolKey = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that may go on to a served entity."""

    principal: Principal
    endpoint: EndpointRoutes
    entity: EntityRoute


class DataPlane:
    """``execution_s`` bounds one request, ``queue_per_unit`` and ``queue_s`` the wait for a worker."""

    def __init__(self, connect: Connector, *, execution_s: float, queue_per_unit: int, queue_s: float) -> None:
        self._connect = connect
        self._execution_s = execution_s
        self._queue_per_unit = queue_per_unit
        self._queue_s = queue_s
        self._pools: dict[_PoolKey, EntityPool] = {}
        self._draw = random.random
        self.table = RoutingTable()

    def use(self, table: RoutingTable) -> None:
        """Put a new routing table into force."""
        before = self.table
        self.table = table
        for name, routes in table.endpoints.items():
            if before.endpoints.get(name) is not routes:
                self._use_endpoint(before.endpoints.get(name), routes)
        for name in before.endpoints.keys() - table.endpoints.keys():
            self._close_all(before.endpoints[name])

    def authenticate(self, authorization: bytes | None) -> Principal:
        return authenticate.authenticate(self.table, authorization)

    def admit(self, authorization: bytes | None, name: str, served_entity: str | None) -> Admitted:
        """Every check that needs no body."""
        table = self.table
        principal = authenticate.authenticate(table, authorization)
        endpoint = route.resolve(table, name)
        route.authorise(endpoint, principal)
        return Admitted(principal, endpoint, route.choose(endpoint, served_entity, self._draw))

    async def dispatch(self, admitted: Admitted, content_type: str, body: bytes, request_id: str) -> Reply | Relay:
        """Hand the request to a worker.

        :raises TooManyRequests: too many wait already.
        :raises TemporarilyUnavailable: no worker became free in time.
        :raises WorkerLost: the worker ended with the request.
        :raises ModelTimeout: the model took longer than the execution limit.
        """
        pool = self._pool(admitted.endpoint, admitted.entity)
        upstream = await pool.acquire()
        try:
            async with asyncio.timeout(self._execution_s):
                answer = await upstream.ask(content_type, body, request_id)
        except BaseException as error:
            pool.release(upstream)
            if isinstance(error, UpstreamLost):
                raise WorkerLost from None
            if isinstance(error, TimeoutError):
                raise ModelTimeout from None
            raise
        if isinstance(answer, Reply):
            pool.release(upstream)
            return answer
        return Relay(answer, pool, upstream)

    def _pool(self, endpoint: EndpointRoutes, entity: EntityRoute) -> EntityPool:
        key = (endpoint.id, entity.fingerprint)
        pool = self._pools.get(key)
        if pool is None:
            limit = self._queue_per_unit * max(entity.concurrency, 1)
            pool = self._pools[key] = EntityPool(self._connect, queue_limit=limit, queue_s=self._queue_s)
        return pool

    def _use_endpoint(self, before: EndpointRoutes | None, routes: EndpointRoutes) -> None:
        if before is not None:
            kept = {(routes.id, entity.fingerprint) for entity in routes.entities}
            self._close_all(before, kept)
        for entity in routes.entities:
            self._pool(routes, entity).update(entity.workers)

    def _close_all(self, routes: EndpointRoutes, kept: set[_PoolKey] | None = None) -> None:
        for entity in routes.entities:
            key = (routes.id, entity.fingerprint)
            if key not in (kept or ()) and key in self._pools:
                self._pools.pop(key).close()


class Relay:
    """A stream on its way to the client; holds the worker until it is read to its end or cancelled."""

    def __init__(self, stream: Stream, pool: EntityPool, upstream: Upstream) -> None:
        self._stream = stream
        self._pool = pool
        self._upstream = upstream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """
        :raises WorkerLost: the worker ended in mid-stream.
        """
        try:
            async for piece in self._stream:
                yield piece
        except UpstreamLost:
            raise WorkerLost from None
        finally:
            self._pool.release(self._upstream)

    def cancel(self) -> None:
        self._stream.cancel()
