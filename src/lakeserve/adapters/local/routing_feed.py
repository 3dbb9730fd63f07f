"""The routing table's way from the controller to every gateway, over a Unix socket.

The controller holds the latest of everything (:class:`FeedServer`, a ``Publisher``). A gateway that connects gets the
whole as a run of lines that ends with ``synced``, then one line for each change. It builds its next table beside the
current one and replaces it whole (:class:`FeedClient`); while the controller is away it goes on with what it has.

In the other direction a gateway reports its usage: everything when it connects, then once a second what has changed, and
at once when a request has to wait.

Lines are JSON objects. Down: ``{"put": ENDPOINT}``, ``{"drop": NAME}``, ``{"principals": [[DIGEST, PRINCIPAL], …]}``
with those that are new or changed, and null for those that are gone, and ``{"synced": true}``. Up:
``{"gateway": NAME}`` first, then ``{"usage": [[ENDPOINT_ID, SERVED_ENTITY, COUNTERS], …]}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import orjson

from lakeserve.domain.principal import AccessList, Kind, Level, Membership, Principal
from lakeserve.domain.routing import EndpointRoutes, EntityRoute, RoutingTable
from lakeserve.domain.usage import EntityUsage, UsageKey, dump, load

_log = logging.getLogger(__name__)
_MAX_LINE = 64 * 1024 * 1024
_MAX_BEHIND = 64 * 1024 * 1024
_RETRY_S = 0.1
_REPORT_S = 1.0
# However urgent: never more than fifty reports in a second.
_REPORT_PAUSE_S = 0.02


class UsageSource(Protocol):
    """Where a gateway's counters are taken from; see :class:`lakeserve.gateway.meter.Meter`."""

    urgent: asyncio.Event

    def take(self) -> list[tuple[UsageKey, EntityUsage]]: ...

    def take_all(self) -> list[tuple[UsageKey, EntityUsage]]: ...


class UsageSink(Protocol):
    """Where the gateways' counters go; see :class:`lakeserve.control.usage.UsageBook`."""

    def report(self, gateway: str, usage: Iterable[tuple[UsageKey, EntityUsage]]) -> None: ...

    def gone(self, gateway: str) -> None: ...


class FeedServer:
    """Bound to a socket by :meth:`start`; what is published before gateways connect waits for them."""

    def __init__(self, usage: UsageSink) -> None:
        self._usage = usage
        self._endpoints: dict[str, EndpointRoutes] = {}
        self._principals: dict[str, Principal] = {}
        self._complete = False
        self._gateways: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, str(path), limit=_MAX_LINE)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for gateway in list(self._gateways):
            gateway.close()

    def publish(self, routes: EndpointRoutes) -> None:
        if self._endpoints.get(routes.name) != routes:
            self._endpoints[routes.name] = routes
            self._tell({"put": _endpoint_out(routes)})

    def withdraw(self, endpoint_name: str, endpoint_id: str) -> None:
        current = self._endpoints.get(endpoint_name)
        if current is not None and current.id == endpoint_id:
            del self._endpoints[endpoint_name]
            self._tell({"drop": endpoint_name})

    def publish_principals(self, principals: Iterable[tuple[str, Principal]]) -> None:
        before, self._principals = self._principals, dict(principals)
        changed = [(digest, p) for digest, p in self._principals.items() if before.get(digest) != p]
        gone = [(digest, None) for digest in before if digest not in self._principals]
        if changed or gone:
            self._tell(_principals_line([*changed, *gone]))

    def complete(self) -> None:
        self._complete = True
        self._tell({"synced": True})

    def _tell(self, message: dict[str, Any]) -> None:
        line = orjson.dumps(message) + b"\n"
        for gateway in list(self._gateways):
            if gateway.transport.get_write_buffer_size() > _MAX_BEHIND:
                # It has stopped reading. Cut off, it connects again and starts from the whole.
                gateway.transport.abort()
                self._gateways.discard(gateway)
            else:
                gateway.write(line)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for routes in self._endpoints.values():
            writer.write(orjson.dumps({"put": _endpoint_out(routes)}) + b"\n")
        writer.write(orjson.dumps(_principals_line(self._principals.items())) + b"\n")
        if self._complete:
            writer.write(b'{"synced":true}\n')
        self._gateways.add(writer)
        name = ""
        try:
            name = str(orjson.loads(await reader.readline())["gateway"])
            while line := await reader.readline():
                usage = orjson.loads(line)["usage"]
                self._usage.report(name, [((endpoint, entity), load(data)) for endpoint, entity, data in usage])
        except (ConnectionError, ValueError, TypeError, LookupError) as error:
            _log.debug("gateway %s: %s", name, error)
        finally:
            self._usage.gone(name)
            self._gateways.discard(writer)
            writer.close()


class FeedClient:
    """Follows the feed for one gateway. ``on_table`` is called with each new table, in the event loop."""

    def __init__(self, path: Path, on_table: Callable[[RoutingTable], None], usage: UsageSource) -> None:
        self._path = path
        self._on_table = on_table
        self._usage = usage
        # The same for every connection of this process, so that its counters are not counted again after a lost one.
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._table = RoutingTable()
        self.connected = False
        self.synced = asyncio.Event()

    async def follow(self) -> None:
        """Forever: a lost controller is waited for, and the last table stays in use."""
        while True:
            try:
                await self._follow_one()
            except (OSError, ValueError) as error:
                _log.debug("routing feed: %s", error)
            self.connected = False
            await asyncio.sleep(_RETRY_S)

    async def _follow_one(self) -> None:
        reader, writer = await asyncio.open_unix_connection(str(self._path), limit=_MAX_LINE)
        writer.write(orjson.dumps({"gateway": self._name}) + b"\n")
        reporting = asyncio.create_task(self._report(writer), name="usage reports")
        try:
            endpoints: dict[str, EndpointRoutes] = {}
            principals: dict[str, Principal] = {}
            whole = False
            self.connected = True
            while line := await reader.readline():
                message = orjson.loads(line)
                if "put" in message:
                    routes = _endpoint_in(message["put"])
                    endpoints = {**endpoints, routes.name: routes} if whole else _added(endpoints, routes)
                elif "drop" in message:
                    endpoints = {name: routes for name, routes in endpoints.items() if name != message["drop"]}
                elif "principals" in message:
                    principals = _with_changes(principals, message["principals"])
                elif "synced" in message:
                    whole = True
                    self.synced.set()
                if whole:
                    self._table = RoutingTable(endpoints, principals)
                    self._on_table(self._table)
        finally:
            reporting.cancel()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _report(self, writer: asyncio.StreamWriter) -> None:
        usage = self._usage.take_all()
        told = False
        while True:
            if usage or not told:
                # Also when there is nothing: the first line is what has been before.
                told = True
                rows = [[endpoint, entity, dump(counters)] for (endpoint, entity), counters in usage]
                writer.write(orjson.dumps({"usage": rows}) + b"\n")
                await writer.drain()
            await asyncio.sleep(_REPORT_PAUSE_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REPORT_S):
                    await self._usage.urgent.wait()
            usage = self._usage.take()


def _added(endpoints: dict[str, EndpointRoutes], routes: EndpointRoutes) -> dict[str, EndpointRoutes]:
    """Before the first whole table nobody else sees the mapping, so it may grow in place."""
    endpoints[routes.name] = routes
    return endpoints


def _endpoint_out(routes: EndpointRoutes) -> dict[str, Any]:
    return {
        "id": routes.id,
        "name": routes.name,
        "updating": routes.updating,
        "stopped": routes.stopped,
        "access": {"principals": dict(routes.access.principals), "groups": dict(routes.access.groups)},
        "entities": [
            {
                "name": entity.name,
                "fingerprint": entity.fingerprint,
                "percentage": entity.percentage,
                "workers": entity.workers,
                "concurrency": entity.concurrency,
            }
            for entity in routes.entities
        ],
    }


def _endpoint_in(data: dict[str, Any]) -> EndpointRoutes:
    access = AccessList(
        {name: Level(level) for name, level in data["access"]["principals"].items()},
        {name: Level(level) for name, level in data["access"]["groups"].items()},
    )
    entities = tuple(
        EntityRoute(e["name"], e["fingerprint"], e["percentage"], tuple(e["workers"]), e["concurrency"])
        for e in data["entities"]
    )
    return EndpointRoutes(data["id"], data["name"], access, entities, data["updating"], data["stopped"])


def _principals_line(principals: Iterable[tuple[str, Principal | None]]) -> dict[str, Any]:
    return {"principals": [[digest, p and _principal_out(p)] for digest, p in principals]}


def _with_changes(principals: dict[str, Principal], changes: list[Any]) -> dict[str, Principal]:
    changed = {digest: _principal_in(data) for digest, data in changes if data is not None}
    gone = {digest for digest, data in changes if data is None}
    return {digest: principal for digest, principal in {**principals, **changed}.items() if digest not in gone}


def _principal_out(principal: Principal) -> dict[str, Any]:
    return {
        "id": principal.id,
        "name": principal.name,
        "display_name": principal.display_name,
        "kind": principal.kind,
        "memberships": [[group.id, group.name, group.direct] for group in principal.memberships],
        "expires_at": principal.expires_at,
    }


def _principal_in(data: dict[str, Any]) -> Principal:
    return Principal(
        id=data["id"],
        name=data["name"],
        display_name=data["display_name"],
        memberships=tuple(Membership(*group) for group in data["memberships"]),
        kind=Kind(data["kind"]),
        expires_at=data["expires_at"],
    )
