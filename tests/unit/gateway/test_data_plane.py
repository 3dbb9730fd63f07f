"""The straight line of a request over fake workers, on virtual time; after each, nothing is counted as under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeserve.domain.errors import (
    EndpointNotFound,
    LakeserveError,
    ModelTimeout,
    TemporarilyUnavailable,
    TooManyRequests,
    WorkerLost,
)
from lakeserve.domain.principal import token_digest
from lakeserve.domain.routing import EndpointRoutes, RoutingTable
from lakeserve.domain.usage import EntityUsage
from lakeserve.gateway.plane import Admitted, ClientLeft, DataPlane, PlaneLimits, Relay, Request, even_draws
from lakeserve.ports.upstream import Reply, UpstreamLost
from support.clock import LoopClock, run, settle, virtual
from support.fakes import ADA, FakeStream, FakeUpstream, FakeWorkers, an_entity_route, routes_of

LIMITS = PlaneLimits(execution_s=100.0, queue_s=60.0, wake_s=300.0, queue_per_unit=2)
HEADER = b"Bearer dapi1"
KEY = ("id-wine", "wine-3")


def table(*endpoints: EndpointRoutes) -> RoutingTable:
    return RoutingTable({routes.name: routes for routes in endpoints}, {token_digest("dapi1"): ADA})


def wine(*workers: str, **changes: object) -> EndpointRoutes:
    return routes_of("wine", [an_entity_route("wine-3", *workers, **changes)])


class Setup:
    """A data plane with the endpoint ``wine``, connected to its workers."""

    def __init__(self, *up: str) -> None:
        self.workers = FakeWorkers(*up)
        self.plane = DataPlane(self.workers, LIMITS, LoopClock())
        self.gone = asyncio.Event()

    async def use(self, *endpoints: EndpointRoutes) -> None:
        self.plane.use(table(*endpoints))
        await settle()

    def admit(self, served_entity: str | None = None) -> Admitted:
        return self.plane.admit(HEADER, "wine", served_entity)

    def request(self, body: bytes = b"{}") -> Request:
        return Request("r1", "application/json", body, self.gone.wait)

    async def ask(self, body: bytes = b"{}") -> tuple[Admitted, Reply | Relay]:
        return await self.plane.dispatch(self.admit(), self.request(body))

    def asks(self, body: bytes = b"{}") -> asyncio.Task[tuple[Admitted, Reply | Relay]]:
        return asyncio.create_task(self.ask(body))

    def usage(self) -> EntityUsage:
        return self.plane.meter.of(KEY)

    async def relay(self, worker: str = "a") -> tuple[Relay, FakeStream]:
        asking = self.asks()
        await settle()
        stream = self.workers[worker].stream()
        _, relay = await asking
        assert isinstance(relay, Relay)
        return relay, stream


async def with_wine(*up: str) -> Setup:
    setup = Setup(*up)
    await setup.use(wine(*up))
    return setup


def counted(usage: EntityUsage) -> tuple[int, int, int, int, int]:
    return usage.requests, usage.client_errors, usage.server_errors, usage.in_flight, usage.queued


@virtual
async def test_an_answer_goes_through_and_is_counted() -> None:
    it = await with_wine("a")
    asking = it.asks(b"body as it came")
    await settle()
    assert counted(it.usage()) == (0, 0, 0, 1, 0)
    it.workers["a"].reply(400, b"no", model_ms=7.0)
    admitted, reply = await asking
    assert reply == Reply(400, "application/json", b"no", 7.0)
    assert admitted.entity.name == "wine-3"
    assert it.workers["a"].asked == [b"body as it came"]
    assert counted(it.usage()) == (1, 1, 0, 0, 0)
    assert (it.usage().model.total, it.usage().latency.count, it.usage().queue.count) == (7.0, 1, 1)


@virtual
async def test_who_has_to_wait_is_counted_and_makes_the_report_urgent() -> None:
    it = await with_wine("a")
    first, second = it.asks(), it.asks()
    await settle()
    assert counted(it.usage())[3:] == (1, 1)
    assert it.plane.meter.urgent.is_set()
    it.workers["a"].reply()
    await first
    await settle()
    it.workers["a"].reply()
    await second
    assert counted(it.usage()) == (2, 0, 0, 0, 0)


@virtual
async def test_too_many_are_refused_and_counted() -> None:
    it = await with_wine("a")
    asking = [it.asks() for _ in range(1 + LIMITS.queue_per_unit * 4)]
    await settle()
    with pytest.raises(TooManyRequests):
        await it.ask()
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    assert counted(it.usage()) == (1, 1, 0, 0, 0)


@virtual
async def test_a_model_that_takes_too_long_costs_its_request_and_its_connection() -> None:
    it = await with_wine("a")
    with pytest.raises(ModelTimeout):
        await it.ask()
    assert counted(it.usage()) == (1, 0, 1, 0, 0)
    assert it.workers.made[0].lost
    await settle()
    assert it.plane._pools[KEY[0], "fp-wine-3"].acquire_now() is it.workers.made[1]


@virtual
async def test_a_lost_worker_is_said_and_the_request_is_not_run_again() -> None:
    it = await with_wine("a", "b")
    asking = it.asks()
    await settle()
    next(upstream for upstream in it.workers.made if upstream.asked).lose()
    with pytest.raises(WorkerLost):
        await asking
    assert [len(upstream.asked) for upstream in it.workers.made].count(1) == 1
    assert counted(it.usage()) == (1, 0, 1, 0, 0)


@virtual
async def test_a_request_that_waits_moves_to_what_serves_now() -> None:
    it = await with_wine("a")
    held = it.asks()
    await settle()
    waiting = it.asks()
    await settle()
    it.workers.up.add("b")
    await it.use(wine("b", fingerprint="another"))
    it.workers["b"].reply(body=b"new")
    admitted, reply = await waiting
    assert isinstance(reply, Reply)
    assert (reply.body, admitted.entity.fingerprint) == (b"new", "another")
    it.workers["a"].reply(body=b"old")
    _, old = await held
    assert isinstance(old, Reply)
    assert old.body == b"old"
    assert it.workers["a"].closed, "a retired worker is let go after its last answer"
    assert counted(it.usage()) == (2, 0, 0, 0, 0)


@virtual
async def test_a_request_that_waits_at_a_deleted_endpoint_is_told() -> None:
    it = await with_wine()
    waiting = it.asks()
    await settle()
    await it.use()
    with pytest.raises(EndpointNotFound):
        await waiting
    assert it.plane.meter.take_all() == [], "nobody asks for the counters of a deleted endpoint"


@virtual
async def test_a_request_is_admitted_anew_when_the_table_changed_while_its_body_was_read() -> None:
    it = await with_wine("a")
    admitted = it.admit()
    await it.use(replace(wine("a"), access=replace(wine().access, principals={})))
    with pytest.raises(Exception, match="CAN_QUERY"):
        await it.plane.dispatch(admitted, it.request())
    assert it.workers["a"].asked == []


@virtual
async def test_a_request_that_asked_for_an_entity_gets_none_other_after_a_change() -> None:
    it = await with_wine("a")
    admitted = it.admit("wine-3")
    await it.use(routes_of("wine", [an_entity_route("wine-4", "a")]))
    with pytest.raises(EndpointNotFound):
        await it.plane.dispatch(admitted, it.request())


@virtual
async def test_an_endpoint_that_was_made_anew_under_its_name_starts_counting_at_zero() -> None:
    it = await with_wine("a")
    asking = it.asks()
    await settle()
    it.workers["a"].reply()
    await asking
    await it.use(replace(wine("a"), id="another"))
    assert [key for key, _ in it.plane.meter.take_all()] == []


@virtual
async def test_a_client_that_leaves_the_line_is_never_served() -> None:
    it = await with_wine("a")
    held = it.asks(b"first")
    await settle()
    waiting = it.asks(b"second")
    await settle()
    it.gone.set()
    with pytest.raises(ClientLeft):
        await waiting
    await settle()
    assert counted(it.usage()) == (0, 0, 0, 1, 0)
    it.workers["a"].reply()
    await held
    assert it.workers["a"].asked == [b"first"], "one that is being answered is not looked after"
    assert it.plane._pools[KEY[0], "fp-wine-3"].acquire_now() is it.workers["a"]


@virtual
async def test_a_client_that_leaves_in_the_moment_of_being_served_costs_no_worker() -> None:
    it = await with_wine("a")
    held = it.asks()
    await settle()
    waiting = it.asks()
    await settle()
    it.workers["a"].reply()
    it.gone.set()
    await held
    answered = asyncio.gather(waiting, return_exceptions=True)
    await settle()
    if busy(it):
        it.workers["a"].reply()
    await answered
    assert counted(it.usage())[3:] == (0, 0)
    assert it.plane._pools[KEY[0], "fp-wine-3"].acquire_now() is it.workers["a"]


@virtual
async def test_without_workers_it_waits_as_long_as_waking_may_take() -> None:
    it = await with_wine()
    began = asyncio.get_running_loop().time()
    with pytest.raises(TemporarilyUnavailable):
        await it.ask()
    assert asyncio.get_running_loop().time() - began == pytest.approx(LIMITS.wake_s)
    assert counted(it.usage()) == (1, 0, 1, 0, 0)


# Streams


@virtual
async def test_a_stream_holds_its_worker_until_it_is_read_to_its_end() -> None:
    it = await with_wine("a")
    relay, stream = await it.relay()
    assert counted(it.usage()) == (0, 0, 0, 1, 0)
    for piece in (b"one", b"two", None):
        stream.put(piece)
    assert [piece async for piece in relay] == [b"one", b"two"]
    assert counted(it.usage()) == (1, 0, 0, 0, 0)
    assert not it.workers["a"].lost
    relay.cancel()
    assert not stream.cancelled, "what has ended is not ended again: its worker may serve somebody else by now"
    assert counted(it.usage()) == (1, 0, 0, 0, 0)


@virtual
async def test_a_worker_that_is_lost_in_mid_stream_is_said() -> None:
    it = await with_wine("a")
    relay, stream = await it.relay()
    stream.put(b"one")
    stream.put(UpstreamLost())
    async with aclosing(aiter(relay)) as pieces:
        assert await anext(pieces) == b"one"
        with pytest.raises(WorkerLost):
            await anext(pieces)
    assert counted(it.usage()) == (1, 0, 1, 0, 0)


@virtual
async def test_a_client_that_leaves_stops_the_stream() -> None:
    it = await with_wine("a")
    relay, stream = await it.relay()
    stream.put(b"one")
    async with aclosing(aiter(relay)) as pieces:
        assert await anext(pieces) == b"one"
        relay.cancel()
        with pytest.raises(WorkerLost):
            await anext(pieces)
    assert stream.cancelled
    assert counted(it.usage()) == (1, 1, 0, 0, 0), "the client's doing, not the model's"


@virtual
async def test_a_stream_that_is_left_in_the_middle_is_never_mixed_with_the_next_answer() -> None:
    it = await with_wine("a")
    relay, stream = await it.relay()
    stream.put(b"one")
    waiting = it.asks()
    async with aclosing(aiter(relay)) as pieces:
        await anext(pieces)
    await settle()
    assert stream.cancelled
    assert it.workers.made[0].lost
    it.workers.made[1].reply(body=b"mine")
    _, reply = await waiting
    assert isinstance(reply, Reply)
    assert reply.body == b"mine"


@virtual
async def test_a_stream_that_is_never_read_gives_its_worker_back() -> None:
    it = await with_wine("a")
    relay, stream = await it.relay()
    relay.cancel()
    relay.cancel()
    assert stream.cancelled
    assert counted(it.usage()) == (1, 1, 0, 0, 0)
    await settle()
    assert it.plane._pools[KEY[0], "fp-wine-3"].acquire_now() is it.workers.made[1]


# Whatever happens


async def a_client(it: Setup, gone: asyncio.Event) -> None:
    """Asks, and reads the answer whatever it is."""
    with suppress(LakeserveError, ClientLeft):
        _, answer = await it.plane.dispatch(it.admit(), Request("r1", "", b"", gone.wait))
        if isinstance(answer, Relay):
            try:
                async with aclosing(aiter(answer)) as pieces:
                    async for _ in pieces:
                        pass
            finally:
                answer.cancel()


def busy(it: Setup) -> list[FakeUpstream]:
    return [upstream for upstream in it.workers.made if upstream.answers is not None and not upstream.answers.done()]


class History:
    def __init__(self, it: Setup) -> None:
        self.it = it
        self.clients: list[asyncio.Task[None]] = []
        self.leaving: list[asyncio.Event] = []
        self.streams: list[FakeStream] = []

    def ask(self) -> None:
        self.leaving.append(asyncio.Event())
        self.clients.append(asyncio.create_task(a_client(self.it, self.leaving[-1])))

    def disconnect(self, number: int) -> None:
        if self.clients:
            self.leaving[number % len(self.clients)].set()

    def cancel(self, number: int) -> None:
        if self.clients:
            self.clients[number % len(self.clients)].cancel()

    def piece(self, number: int) -> None:
        if self.streams:
            self.streams[number % len(self.streams)].put(b"piece" if number % 3 else None)

    def answer(self, number: int, *, streaming: bool) -> None:
        if asked := busy(self.it):
            upstream = asked[number % len(asked)]
            if streaming:
                self.streams.append(upstream.stream())
            else:
                upstream.reply()

    async def do(self, what: str, number: int) -> None:
        it, address = self.it, f"w{number % 3}"
        at_once: dict[str, Callable[[], None]] = {
            "ask": self.ask,
            "reply": lambda: self.answer(number, streaming=False),
            "stream": lambda: self.answer(number, streaming=True),
            "piece": lambda: self.piece(number),
            "leave": lambda: self.cancel(number),
            "disconnect": lambda: self.disconnect(number),
            "lose": lambda: it.workers.end(address),
            "up": lambda: it.workers.up.add(address),
        }
        if what in at_once:
            at_once[what]()
        elif what == "route":
            await it.use(wine(*(f"w{n}" for n in range(number % 4)), fingerprint=f"f{number % 2}"))
        else:
            await (asyncio.sleep(LIMITS.queue_s / 2) if what == "wait" else settle())


happenings = st.sampled_from(
    [
        "ask",
        "ask",
        "ask",
        "reply",
        "reply",
        "stream",
        "piece",
        "piece",
        "leave",
        "disconnect",
        "lose",
        "up",
        "route",
        "wait",
        "settle",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(happenings, st.integers(0, 11)), min_size=5, max_size=60))
def test_whatever_happens_the_counters_balance_and_no_worker_is_kept(happened: list[tuple[str, int]]) -> None:
    async def live() -> None:
        it = Setup("w0", "w1")
        await it.use(wine("w0", "w1", fingerprint="f0"))
        history = History(it)
        clients = history.clients
        for what, number in happened:
            await history.do(what, number)
        await settle()
        under_way = sum(1 for client in clients if not client.done())
        assert sum(counted(it.usage())[3:]) == under_way
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        assert counted(it.usage())[3:] == (0, 0)
        await it.use()
        assert all(upstream.lost for upstream in it.workers.made), "every connection of a deleted endpoint is closed"

    run(live())


@pytest.mark.parametrize("start", [0.0, 0.3, 0.999999])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_draws_keep_to_a_share_over_few_requests(start: float, share: float) -> None:
    draw = even_draws(start)
    points = [draw() for _ in range(1_000)]
    assert all(0.0 <= point < 1.0 for point in points)
    for begin in range(0, 900, 50):
        window = points[begin : begin + 100]
        assert abs(sum(point < share for point in window) - 100 * share) <= 3
