"""The pool of one served entity's workers, on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeserve.domain.errors import LakeserveError, TemporarilyUnavailable, TooManyRequests
from lakeserve.gateway.pool import EntityPool, PoolClosed
from lakeserve.ports.upstream import Upstream
from support.clock import run, settle, virtual
from support.fakes import FakeUpstream, FakeWorkers

QUEUE_S, WAKE_S = 60.0, 300.0


def a_pool(workers: FakeWorkers, queue_limit: int = 4) -> EntityPool:
    return EntityPool(workers, queue_limit=queue_limit, queue_s=QUEUE_S, wake_s=WAKE_S)


async def with_pool(*up: str, queue_limit: int = 4) -> tuple[FakeWorkers, EntityPool]:
    """A pool that is connected to these workers."""
    workers = FakeWorkers(*up)
    pool = a_pool(workers, queue_limit)
    pool.update(up)
    await settle()
    return workers, pool


def seconds() -> float:
    return asyncio.get_running_loop().time()


@virtual
async def test_hands_out_each_worker_once() -> None:
    _, pool = await with_pool("a", "b")
    first, second = pool.acquire_now(), pool.acquire_now()
    assert {str(first), str(second)} == {"<a #0>", "<b #1>"} or first is not second
    assert pool.acquire_now() is None


@virtual
async def test_a_worker_that_another_gateway_has_is_passed_over() -> None:
    workers, pool = await with_pool("a", "b")
    workers["a"].claimed_elsewhere = True
    assert pool.acquire_now() is workers["b"]
    assert pool.acquire_now() is None


@virtual
async def test_who_waits_for_a_worker_of_another_gateway_gets_it_soon_after_it_is_done() -> None:
    workers, pool = await with_pool("a")
    workers["a"].claimed_elsewhere = True
    waiting = asyncio.ensure_future(pool.acquire())
    await asyncio.sleep(5)
    assert not waiting.done()
    workers["a"].claimed_elsewhere = False
    began = seconds()
    assert await waiting is workers["a"]
    assert seconds() - began < 0.01
    pool.release(workers["a"])
    assert not workers["a"].claimed


@virtual
async def test_who_waits_first_is_served_first() -> None:
    _, pool = await with_pool("a")
    held = await pool.acquire()
    served: list[int] = []

    async def wait(number: int) -> None:
        upstream = await pool.acquire()
        served.append(number)
        await asyncio.sleep(1)
        pool.release(upstream)

    waiting = []
    for number in range(4):
        waiting.append(asyncio.create_task(wait(number)))
        await settle()
    assert pool.queued == 4
    pool.release(held)
    await asyncio.gather(*waiting)
    assert served == [0, 1, 2, 3]


@virtual
async def test_a_full_line_is_refused_at_once_in_the_documented_words() -> None:
    _, pool = await with_pool("a", queue_limit=2)
    await pool.acquire()
    waiting = [asyncio.create_task(pool.acquire()) for _ in range(2)]
    await settle()
    before = seconds()
    with pytest.raises(TooManyRequests) as refused:
        await pool.acquire()
    assert seconds() == before
    assert refused.value.status == 429
    assert refused.value.message.startswith("Too many concurrent requests.")
    for task in waiting:
        task.cancel()


@virtual
async def test_waits_longer_for_an_entity_that_wakes_than_for_one_that_is_busy() -> None:
    for up, limit_s in (((), WAKE_S), (("a",), QUEUE_S)):
        _, pool = await with_pool(*up)
        pool.acquire_now()
        began = seconds()
        with pytest.raises(TemporarilyUnavailable):
            await pool.acquire()
        assert seconds() - began == pytest.approx(limit_s)
        assert pool.queued == 0


@virtual
async def test_a_worker_that_comes_up_is_found_and_given_to_who_waits() -> None:
    workers = FakeWorkers()
    pool = a_pool(workers)
    pool.update(["a"])
    waiting = asyncio.create_task(pool.acquire())
    await asyncio.sleep(10)
    assert 8 <= workers.attempts["a"] <= 16, "neither hammers nor sleeps for long"
    workers.up.add("a")
    upstream = await asyncio.wait_for(waiting, 1.1)
    assert upstream is workers["a"]


@virtual
async def test_a_worker_that_is_lost_while_idle_is_not_handed_out() -> None:
    workers, pool = await with_pool("a", "b")
    workers.end("a")
    assert pool.acquire_now() is workers["b"]
    assert pool.acquire_now() is None
    await settle()
    assert pool.acquire_now() is None


@virtual
async def test_a_worker_that_is_lost_while_busy_is_reconnected_to_and_not_offered_twice() -> None:
    workers, pool = await with_pool("a")
    held = await pool.acquire()
    workers["a"].lose()
    await settle()
    again = pool.acquire_now()
    assert again is workers["a"]
    assert again is not held
    pool.release(held)
    assert pool.acquire_now() is None


@virtual
async def test_a_retired_worker_is_closed_when_it_is_idle() -> None:
    workers, pool = await with_pool("a", "b")
    busy = pool.acquire_now()
    assert isinstance(busy, FakeUpstream)
    pool.update([])
    assert [upstream.closed for upstream in workers.made].count(True) == 1
    assert not busy.closed
    pool.release(busy)
    assert busy.closed
    assert pool.acquire_now() is None


@virtual
async def test_a_worker_that_is_named_again_is_connected_to_again() -> None:
    workers, pool = await with_pool("a")
    busy = pool.acquire_now()
    pool.update([])
    pool.update(["a"])
    await settle()
    assert pool.acquire_now() is workers["a"]
    assert busy is not None
    pool.release(busy)
    assert pool.acquire_now() is None, "what was retired does not come back"


@virtual
async def test_closing_sends_who_waits_elsewhere_and_lets_go_of_every_worker() -> None:
    workers, pool = await with_pool("a")
    held = await pool.acquire()
    waiting = [asyncio.create_task(pool.acquire()) for _ in range(3)]
    await settle()
    pool.close()
    assert [type(e) for e in await asyncio.gather(*waiting, return_exceptions=True)] == [PoolClosed] * 3
    pool.release(held)
    assert all(upstream.closed for upstream in workers.made)


@virtual
async def test_who_leaves_in_the_moment_of_being_served_gives_the_worker_back() -> None:
    workers, pool = await with_pool("a")
    held = await pool.acquire()
    leaving = asyncio.create_task(pool.acquire())
    await settle()
    pool.release(held)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert leaving.cancelled()
    assert pool.acquire_now() is workers["a"]


@virtual
async def test_who_is_served_in_the_moment_of_the_time_limit_is_served() -> None:
    _, pool = await with_pool("a")
    held = await pool.acquire()
    waiting = asyncio.create_task(pool.acquire())
    await settle()
    # Ordered before the waiter's own timer, and near enough to it for the loop to run both at once.
    asyncio.get_running_loop().call_later(QUEUE_S - 1e-10, pool.release, held)
    assert await waiting is held
    pool.release(held)
    assert pool.acquire_now() is held


@virtual
async def test_a_worker_that_ends_between_hand_over_and_use_is_not_used() -> None:
    workers, pool = await with_pool("a")
    held = await pool.acquire()
    waiting = asyncio.create_task(pool.acquire())
    await settle()
    pool.release(held)
    workers["a"].lose()
    upstream = await waiting
    assert upstream is not held
    assert not upstream.lost


class Interleaving:
    """Does to a pool whatever can be done to it, in any order, and holds it to what must be true in between."""

    def __init__(self, workers: FakeWorkers, pool: EntityPool) -> None:
        self.workers = workers
        self.pool = pool
        self.named: set[str] = set()
        self.asking: list[asyncio.Task[Upstream]] = []
        self.held: list[Upstream] = []

    async def do(self, step: tuple[str, int]) -> None:
        what, number = step
        address = f"w{number % 4}"
        actions: dict[str, Callable[[], None]] = {
            "acquire": lambda: self.asking.append(asyncio.create_task(self.pool.acquire())),
            "release": lambda: self.held and self.pool.release(self.held.pop(number % len(self.held))),  # type: ignore[dict-item,func-returns-value]
            "cancel": lambda: self.asking and self.asking[number % len(self.asking)].cancel(),  # type: ignore[dict-item,func-returns-value]
            "lose": lambda: self.workers.end(address),
            "up": lambda: self.workers.up.add(address),
            "name": lambda: self.name(self.named ^ {address}),
            "none": lambda: self.name(set()),
        }
        if what in actions:
            actions[what]()
        else:
            await (settle() if what == "settle" else asyncio.sleep(QUEUE_S / 2))
        self.collect()

    def name(self, workers: set[str]) -> None:
        self.named = workers
        self.pool.update(workers)

    def collect(self) -> None:
        for task in [task for task in self.asking if task.done()]:
            self.asking.remove(task)
            if not task.cancelled() and task.exception() is None:
                self.held.append(task.result())
            elif not task.cancelled():
                assert isinstance(task.exception(), (LakeserveError, PoolClosed))

    def check(self) -> None:
        """Nothing is ready to run."""
        pool, idle = self.pool, list(self.pool._idle)
        living = [upstream for upstream in self.workers.made if not upstream.lost]
        held = [upstream for upstream in self.held if not upstream.lost]
        assert sorted(map(id, living)) == sorted(map(id, [*idle, *held])), "each living worker is in exactly one place"
        assert pool.queued == len([task for task in self.asking if not task.done()])
        assert not (idle and pool.queued), "a worker is idle while somebody waits"
        assert len({upstream.address for upstream in idle}) == len(idle)
        assert {upstream.address for upstream in idle} <= self.named
        assert pool._retired <= set(self.held)
        assert len(self.held) == len(set(self.held)), "a worker was handed out twice"


kinds = st.sampled_from(
    ["acquire", "acquire", "release", "release", "cancel", "lose", "up", "up", "name", "none", "settle", "wait"]
)
steps = st.lists(st.tuples(kinds, st.integers(0, 11)), min_size=5, max_size=60)


@settings(max_examples=200, deadline=None)
@given(steps)
def test_whatever_happens_no_worker_is_lost_or_used_twice(history: list[tuple[str, int]]) -> None:
    async def live() -> None:
        workers = FakeWorkers("w0", "w1")
        it = Interleaving(workers, a_pool(workers, queue_limit=5))
        it.name({"w0", "w1"})
        for step in history:
            await it.do(step)
            if step[0] in ("settle", "wait"):
                await settle()
                it.collect()
                it.check()
        await wind_up(it)

    run(live())


async def wind_up(it: Interleaving) -> None:
    """After the pool's end nothing of it is left."""
    await settle()
    it.collect()
    it.pool.close()
    await settle()
    it.collect()
    for upstream in it.held:
        it.pool.release(upstream)
    it.held.clear()
    await settle()
    assert not it.asking
    assert all(upstream.lost for upstream in it.workers.made)
    assert not it.pool._retired
    assert not it.pool._at
    others: list[Coroutine[Any, Any, Any] | None] = [
        task.get_coro()
        for task in asyncio.all_tasks()
        if task is not asyncio.current_task()  # type: ignore[misc]
    ]
    assert not others
