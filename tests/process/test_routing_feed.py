"""The feed between real sockets: gateways that come late, controllers that come again, and counters on their way up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from lakeserve.adapters.local.routing_feed import FeedClient, FeedServer
from lakeserve.control.usage import UsageBook
from lakeserve.domain.routing import RoutingTable
from lakeserve.gateway.meter import Meter
from support.clock import LoopClock, until
from support.fakes import ADA, an_entity_route, routes_of
from support.registry import short_folder

LIMIT_S = 10.0
KEY = ("id-wine", "wine-3")
WINE = routes_of("wine", [an_entity_route("wine-3", "/run/1")])


@dataclass
class Gateway:
    client: FeedClient
    meter: Meter
    tables: list[RoutingTable]
    task: asyncio.Task[None]


@dataclass
class Wire:
    path: Path
    stack: AsyncExitStack
    queued: list[set[str]] = field(default_factory=list)

    async def controller(self) -> tuple[FeedServer, UsageBook]:
        book = UsageBook(LoopClock(), self.queued.append)
        server = FeedServer(book)
        await server.start(self.path)
        self.stack.push_async_callback(server.close)
        return server, book

    def gateway(self, meter: Meter | None = None) -> Gateway:
        tables: list[RoutingTable] = []
        meter = meter or Meter()
        client = FeedClient(self.path, tables.append, meter)
        task = asyncio.create_task(client.follow())
        self.stack.push_async_callback(_end, task)
        return Gateway(client, meter, tables, task)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    with short_folder() as folder:
        async with AsyncExitStack() as stack:
            yield Wire(folder / "r.sock", stack)


def has(gateway: Gateway, *names: str) -> bool:
    return bool(gateway.tables) and set(gateway.tables[-1].endpoints) == set(names)


async def test_a_gateway_that_comes_late_gets_the_whole_at_once(wire: Wire) -> None:
    server, _ = await wire.controller()
    for number in range(500):
        server.publish(routes_of(f"e{number}", [an_entity_route()]))
    server.publish_principals([("d1", ADA)])
    server.complete()
    gateway = wire.gateway()
    await until(lambda: gateway.tables, LIMIT_S)
    assert len(gateway.tables[0].endpoints) == 500, "never a part of it"
    assert gateway.tables[0].principals == {"d1": ADA}
    assert gateway.client.synced.is_set()


async def test_a_table_never_changes_once_it_was_handed_out(wire: Wire) -> None:
    server, _ = await wire.controller()
    server.complete()
    gateway = wire.gateway()
    server.publish(WINE)
    await until(lambda: has(gateway, "wine"), LIMIT_S)
    first = gateway.tables[-1]
    server.publish(replace(WINE, updating=True))
    server.publish(routes_of("tea", []))
    server.withdraw("wine", WINE.id)
    server.publish_principals([("d1", ADA)])
    await until(lambda: has(gateway, "tea") and gateway.tables[-1].principals, LIMIT_S)
    assert dict(first.endpoints) == {"wine": WINE}
    assert first.principals == {}


async def test_a_gateway_keeps_its_table_while_no_controller_is_there_and_until_the_next_is_whole(wire: Wire) -> None:
    server, _ = await wire.controller()
    server.publish(WINE)
    server.complete()
    gateway = wire.gateway()
    await until(lambda: has(gateway, "wine"), LIMIT_S)
    await server.close()
    await until(lambda: not gateway.client.connected, LIMIT_S)
    again, _ = await wire.controller()
    again.publish(routes_of("tea", []))
    await until(lambda: gateway.client.connected, LIMIT_S)
    before = len(gateway.tables)
    again.publish(routes_of("milk", []))
    assert has(gateway, "wine"), "what the new controller knows so far is not all"
    again.complete()
    await until(lambda: has(gateway, "tea", "milk"), LIMIT_S)
    assert len(gateway.tables) == before + 1


async def test_an_unchanged_endpoint_is_the_same_object_in_the_next_table(wire: Wire) -> None:
    """That is how the data plane sees that nothing has to be done for it."""
    server, _ = await wire.controller()
    server.complete()
    gateway = wire.gateway()
    server.publish(WINE)
    await until(lambda: has(gateway, "wine"), LIMIT_S)
    first = gateway.tables[-1]
    server.publish(routes_of("tea", []))
    await until(lambda: has(gateway, "wine", "tea"), LIMIT_S)
    assert gateway.tables[-1].endpoints["wine"] is first.endpoints["wine"]


async def test_counters_arrive_within_a_second_and_at_once_when_somebody_waits(wire: Wire) -> None:
    _, book = await wire.controller()
    gateway = wire.gateway()
    await until(lambda: gateway.client.connected, LIMIT_S)
    usage = gateway.meter.of(KEY)
    usage.answered(200, 5.0)
    await until(lambda: book.total(KEY).requests == 1, 3.0)
    gateway.meter.of(KEY).queued += 1
    gateway.meter.urgent.set()
    loop = asyncio.get_running_loop()
    began = loop.time()
    await until(lambda: wire.queued == [{"id-wine"}], LIMIT_S, step_s=0.001)
    assert loop.time() - began < 0.5
    usage.queued -= 1


async def test_a_gateway_that_is_gone_has_nothing_in_flight_and_its_counts_stay(wire: Wire) -> None:
    _, book = await wire.controller()
    gateway, other = wire.gateway(), wire.gateway()
    await until(lambda: gateway.client.connected and other.client.connected, LIMIT_S)
    gateway.meter.of(KEY).in_flight += 3
    other.meter.of(KEY).in_flight += 2
    await until(lambda: book.activity(KEY).in_flight == 5, LIMIT_S)
    await _end(gateway.task)
    await until(lambda: book.activity(KEY).in_flight == 2, LIMIT_S)


async def test_a_new_controller_learns_all_counters(wire: Wire) -> None:
    server, _ = await wire.controller()
    meter = Meter()
    meter.of(KEY).answered(200, 5.0)
    gateway = wire.gateway(meter)
    await until(lambda: gateway.client.connected, LIMIT_S)
    await server.close()
    _, book = await wire.controller()
    await until(lambda: book.total(KEY).requests == 1, LIMIT_S)


NONSENSE = [
    b"nonsense\n",
    b"[]\n",
    b"5\n",
    b"{}\n",
    b'{"usage": 5}\n',
    b'{"usage": [[1]]}\n',
    b'{"usage": [["e", "s", []]]}\n',
]


@pytest.mark.parametrize("begin", [b"", b'{"gateway": "g"}\n'])
@pytest.mark.parametrize("line", NONSENSE)
async def test_a_peer_that_speaks_nonsense_is_dropped_alone(wire: Wire, begin: bytes, line: bytes) -> None:
    server, _ = await wire.controller()
    server.complete()
    gateway = wire.gateway()
    await until(gateway.client.synced.is_set, LIMIT_S)
    reader, writer = await asyncio.open_unix_connection(str(wire.path))
    writer.write(begin + line)
    await asyncio.wait_for(reader.read(), LIMIT_S)
    writer.close()
    await writer.wait_closed()
    server.publish(WINE)
    await until(lambda: has(gateway, "wine"), LIMIT_S)


async def test_a_gateway_that_stops_reading_is_cut_off_and_costs_a_bounded_amount(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lakeserve.adapters.local.routing_feed._MAX_BEHIND", 256 * 1024)
    server, _ = await wire.controller()
    server.complete()
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.setblocking(False)
        deaf.connect(str(wire.path))
        await until(lambda: server._gateways, LIMIT_S)
        for number in range(3_000):
            server.publish(
                routes_of("wine", [an_entity_route("a", *(f"/run/{n}" for n in range(20)), concurrency=number)])
            )
            if not server._gateways:
                break
        assert not server._gateways
