"""What is published is the routing table of every gateway: for the real feed, and for the one without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lakeserve.adapters.local.routing_feed import FeedClient, FeedServer
from lakeserve.adapters.memory.publisher import MemoryPublisher
from lakeserve.control.usage import UsageBook
from lakeserve.domain.principal import ADMINS, AccessList, Kind, Level, Membership, Principal
from lakeserve.domain.routing import EndpointRoutes, RoutingTable
from lakeserve.gateway.meter import Meter
from lakeserve.ports.publisher import Publisher
from support.clock import LoopClock, until
from support.fakes import ADA, an_entity_route, routes_of
from support.registry import short_folder

LIMIT_S = 10.0
ROBOT = Principal(
    "9",
    "0d3c-robot",
    "Robot",
    (Membership(ADMINS, ADMINS), Membership("g1", "dätä", direct=False)),
    Kind.SERVICE_PRINCIPAL,
    10**13,
)


@dataclass
class Feed:
    """A publisher and what one gateway has of it; ``table`` is None until it may be used."""

    publisher: Publisher
    folder: Path
    stack: AsyncExitStack
    tables: list[RoutingTable]

    @property
    def table(self) -> RoutingTable | None:
        if isinstance(self.publisher, MemoryPublisher):
            return self.publisher.table
        return self.tables[-1] if self.tables else None

    async def has(self, endpoints: dict[str, EndpointRoutes], principals: dict[str, Principal]) -> None:
        await until(lambda: self.table == RoutingTable(endpoints, principals), LIMIT_S)


async def follow(stack: AsyncExitStack, path: Path) -> list[RoutingTable]:
    tables: list[RoutingTable] = []
    task = asyncio.create_task(FeedClient(path, tables.append, Meter()).follow())

    async def stop() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    stack.push_async_callback(stop)
    return tables


@pytest.fixture(params=["memory", "socket"])
async def feed(request: pytest.FixtureRequest) -> AsyncIterator[Feed]:
    with short_folder() as folder:
        async with AsyncExitStack() as stack:
            if request.param == "memory":
                yield Feed(MemoryPublisher(), folder, stack, [])
                return
            server = FeedServer(UsageBook(LoopClock()))
            await server.start(folder / "r.sock")
            stack.push_async_callback(server.close)
            yield Feed(server, folder, stack, await follow(stack, folder / "r.sock"))


WINE = routes_of("wine", [an_entity_route("a", "/run/1", "/run/2", percentage=90), an_entity_route("b", percentage=10)])
TEA = routes_of("tea", [], access=AccessList({"7": Level.CAN_VIEW}, {"g1": Level.CAN_MANAGE}), updating=True)


async def test_nothing_may_be_used_until_everything_known_has_been_published(feed: Feed) -> None:
    feed.publisher.publish(WINE)
    feed.publisher.publish_principals([("d1", ADA)])
    if feed.table is None:
        await asyncio.sleep(0)
    assert feed.table is None
    feed.publisher.complete()
    await feed.has({"wine": WINE}, {"d1": ADA})


async def test_every_field_arrives(feed: Feed) -> None:
    stopped = replace(TEA, name="stopped", id="id-3", updating=False, stopped=True)
    for routes in (WINE, TEA, stopped):
        feed.publisher.publish(routes)
    feed.publisher.publish_principals([("d1", ADA), ("d2", ROBOT)])
    feed.publisher.complete()
    await feed.has({"wine": WINE, "tea": TEA, "stopped": stopped}, {"d1": ADA, "d2": ROBOT})


async def test_changes_replace(feed: Feed) -> None:
    feed.publisher.complete()
    feed.publisher.publish(WINE)
    changed = replace(WINE, entities=WINE.entities[:1])
    feed.publisher.publish(changed)
    feed.publisher.publish(changed)
    await feed.has({"wine": changed}, {})


async def test_principals_come_change_and_go(feed: Feed) -> None:
    feed.publisher.complete()
    feed.publisher.publish_principals([("d1", ADA), ("d2", ROBOT)])
    await feed.has({}, {"d1": ADA, "d2": ROBOT})
    renamed = replace(ADA, name="ada@example.org")
    feed.publisher.publish_principals([("d1", renamed), ("d3", ROBOT)])
    await feed.has({}, {"d1": renamed, "d3": ROBOT})
    feed.publisher.publish_principals([])
    await feed.has({}, {})


async def test_only_its_owner_withdraws_a_name(feed: Feed) -> None:
    feed.publisher.complete()
    feed.publisher.publish(WINE)
    feed.publisher.publish(TEA)
    feed.publisher.withdraw("wine", "another id")
    feed.publisher.withdraw("unknown", "id")
    await feed.has({"wine": WINE, "tea": TEA}, {})
    feed.publisher.withdraw("wine", WINE.id)
    await feed.has({"tea": TEA}, {})
