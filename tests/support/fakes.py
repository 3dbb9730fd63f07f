"""Stand-ins for what runs in other processes, for tests of the decisions about it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable

from lakeserve.domain.principal import AccessList, Level, Membership, Principal
from lakeserve.domain.routing import EndpointRoutes, EntityRoute
from lakeserve.ports.upstream import Reply, UpstreamLost

ADA = Principal("7", "ada@example.com", memberships=(Membership("users", "users"),))
QUERY = AccessList({ADA.id: Level.CAN_QUERY})


class FakeUpstream:
    """A connection to a fake worker. It takes one request at a time and fails the test that sends it two."""

    def __init__(self, address: str, number: int) -> None:
        self.address = address
        self.number = number
        self.closed = False
        self.claimed = self.claimed_elsewhere = False
        self.asked: list[bytes] = []
        self.answers: asyncio.Future[Reply | FakeStream] | None = None
        self._gone = asyncio.Event()

    def __repr__(self) -> str:
        return f"<{self.address} #{self.number}>"

    @property
    def lost(self) -> bool:
        return self._gone.is_set()

    def claim(self) -> bool:
        if self.claimed_elsewhere:
            return False
        assert not self.claimed, f"{self} is claimed twice"
        self.claimed = True
        return True

    def disclaim(self) -> None:
        self.claimed = False

    async def ask(self, content_type: str, body: bytes, request_id: str) -> Reply | FakeStream:
        assert self.answers is None, f"{self} is asked while it answers"
        if self.lost:
            raise UpstreamLost
        self.asked.append(body)
        self.answers = asyncio.get_running_loop().create_future()
        try:
            return await self.answers
        except asyncio.CancelledError:
            self.lose()
            raise
        finally:
            self.answers = None

    def reply(self, status: int = 200, body: bytes = b"{}", model_ms: float = 1.0) -> None:
        """Answer the request that it holds."""
        assert self.answers is not None
        self.answers.set_result(Reply(status, "application/json", body, model_ms))

    def stream(self) -> FakeStream:
        assert self.answers is not None
        stream = FakeStream(self)
        self.answers.set_result(stream)
        return stream

    def lose(self) -> None:
        """The worker ends."""
        self._gone.set()
        if self.answers is not None and not self.answers.done():
            self.answers.set_exception(UpstreamLost())

    async def wait_lost(self) -> None:
        await self._gone.wait()

    def close(self) -> None:
        self.closed = True
        self._gone.set()


class FakeStream:
    """Pieces as the test puts them; None is the regular end, an exception its own."""

    def __init__(self, upstream: FakeUpstream) -> None:
        self._upstream = upstream
        self._pieces: asyncio.Queue[bytes | Exception | None] = asyncio.Queue()
        self.cancelled = False

    def put(self, piece: bytes | Exception | None) -> None:
        self._pieces.put_nowait(piece)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (piece := await self._pieces.get()) is not None:
            if isinstance(piece, Exception):
                self._upstream.lose()
                raise piece
            yield piece

    def cancel(self) -> None:
        self.cancelled = True
        self._upstream.lose()
        self.put(UpstreamLost())


class FakeWorkers:
    """A connector. A worker that is not in ``up`` refuses connections; every connection ever made is in ``made``."""

    def __init__(self, *up: str) -> None:
        self.up = set(up)
        self.made: list[FakeUpstream] = []
        self.attempts: Counter[str] = Counter()

    async def __call__(self, address: str) -> FakeUpstream:
        self.attempts[address] += 1
        await asyncio.sleep(0)
        if address not in self.up:
            raise UpstreamLost
        self.made.append(FakeUpstream(address, len(self.made)))
        return self.made[-1]

    def living(self, address: str) -> list[FakeUpstream]:
        return [upstream for upstream in self.made if upstream.address == address and not upstream.lost]

    def __getitem__(self, address: str) -> FakeUpstream:
        """The newest connection to that worker."""
        return next(upstream for upstream in reversed(self.made) if upstream.address == address)

    def end(self, address: str) -> None:
        """The worker's process ends."""
        self.up.discard(address)
        for upstream in self.living(address):
            upstream.lose()


def an_entity_route(name: str = "wine-3", *workers: str, **changes: object) -> EntityRoute:
    values: dict[str, object] = {"fingerprint": f"fp-{name}", "percentage": 100, "concurrency": 4, **changes}
    return EntityRoute(name=name, workers=workers, **values)  # type: ignore[arg-type]


def routes_of(name: str, entities: Iterable[EntityRoute], **changes: object) -> EndpointRoutes:
    values: dict[str, object] = {"id": f"id-{name}", "access": QUERY, **changes}
    return EndpointRoutes(name=name, entities=tuple(entities), **values)  # type: ignore[arg-type]
