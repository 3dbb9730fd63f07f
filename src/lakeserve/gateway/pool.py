"""The workers of one served entity as this gateway sees them, and the short queue in front of them.

A worker takes one request at a time, so an idle connection is a free unit of concurrency. A request that finds none waits
in line, first come first served; the line is short, and a request that would make it longer is refused. A worker that the
routing table no longer names gets no further request: its connection is closed when it is idle, which is what the worker
waits for to end.

Several gateways of one machine share the workers. An upstream in somebody's hands is claimed, an idle one is not, and a
claim fails while another gateway holds it. Who waits while idle ones are claimed elsewhere tries again every few
milliseconds, because no gateway tells another when it is done.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection

from lakeserve.domain.errors import TemporarilyUnavailable, TooManyRequests
from lakeserve.ports.upstream import Connector, Upstream, UpstreamLost

_FIRST_RETRY_S = 0.05
_LONGEST_RETRY_S = 1.0
_CLAIM_S = 0.002


class PoolClosed(Exception):
    """The served entity is no longer served, at least not by these workers."""


class EntityPool:
    """``queue_limit`` requests may wait, each at most ``queue_s`` seconds for a busy worker and ``wake_s`` when there is none."""

    def __init__(self, connect: Connector, *, queue_limit: int, queue_s: float, wake_s: float) -> None:
        self._connect = connect
        self.queue_limit = queue_limit
        self._queue_s = queue_s
        self._wake_s = wake_s
        self._idle: deque[Upstream] = deque()
        self._waiting: deque[asyncio.Future[Upstream]] = deque()
        self._keepers: dict[str, asyncio.Task[None]] = {}
        self._retired: set[Upstream] = set()
        self._at: dict[str, Upstream] = {}
        self._watching: asyncio.TimerHandle | None = None

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def update(self, workers: Collection[str]) -> None:
        """The workers to use from now on, by address."""
        wanted = set(workers)
        for address in self._keepers.keys() - wanted:
            self._keepers.pop(address).cancel()
            self._retire(address)
        for address in wanted - self._keepers.keys():
            self._keepers[address] = asyncio.create_task(self._keep(address), name=f"keep {address}")

    def close(self) -> None:
        """Let go of every worker, and send those who wait to look for another pool."""
        self.update(())
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_exception(PoolClosed())

    def acquire_now(self) -> Upstream | None:
        """An idle worker's connection, claimed, if there is one."""
        for _ in range(len(self._idle)):
            upstream = self._idle.popleft()
            if upstream.lost:
                continue
            if upstream.claim():
                return upstream
            self._idle.append(upstream)
        return None

    async def acquire(self) -> Upstream:
        """An idle worker's connection; give it back with :meth:`release`.

        :raises TooManyRequests: the line is full.
        :raises TemporarilyUnavailable: none became free in time.
        :raises PoolClosed: the routing table changed meanwhile; where the request belongs now is for the caller to find out.
        """
        while (upstream := self.acquire_now()) is None:
            if len(self._waiting) >= self.queue_limit:
                raise TooManyRequests(
                    "Too many concurrent requests. Consider increasing the provisioned concurrency of the served entity."
                )
            upstream = await self._wait()
            if not upstream.lost:
                break
            self.release(upstream)  # it ended after it was handed over and before anything was sent
        return upstream

    def release(self, upstream: Upstream) -> None:
        upstream.disclaim()
        if upstream in self._retired:
            self._retired.discard(upstream)
            upstream.close()
        elif not upstream.lost:
            self._offer(upstream)

    async def _wait(self) -> Upstream:
        waiter: asyncio.Future[Upstream] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._watch_claims()
        try:
            async with asyncio.timeout(self._queue_s if self._at else self._wake_s):
                return await waiter
        except TimeoutError:
            if (upstream := _handed_over(waiter)) is not None:
                return upstream
            raise TemporarilyUnavailable("No worker of the served entity became free in time.") from None
        except asyncio.CancelledError:
            if (upstream := _handed_over(waiter)) is not None:
                self.release(upstream)
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _offer(self, upstream: Upstream) -> None:
        self._idle.append(upstream)
        self._serve_waiting()

    def _serve_waiting(self) -> None:
        """Give what can be claimed to those who wait, in their order."""
        while self._waiting:
            if self._waiting[0].done():
                self._waiting.popleft()
                continue
            upstream = self.acquire_now()
            if upstream is None:
                self._watch_claims()
                return
            self._waiting.popleft().set_result(upstream)

    def _watch_claims(self) -> None:
        if self._idle and self._watching is None:
            self._watching = asyncio.get_running_loop().call_later(_CLAIM_S, self._look_again)

    def _look_again(self) -> None:
        self._watching = None
        self._serve_waiting()

    def _retire(self, address: str) -> None:
        upstream = self._at.pop(address, None)
        if upstream is None:
            return
        if upstream in self._idle:
            self._idle.remove(upstream)
            upstream.close()
        elif not upstream.lost:
            self._retired.add(upstream)

    async def _keep(self, address: str) -> None:
        """Stay connected to one worker for as long as the table names it."""
        pause = _FIRST_RETRY_S
        while True:
            try:
                upstream = await self._connect(address)
            except UpstreamLost:
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_RETRY_S)
                continue
            pause = _FIRST_RETRY_S
            self._at[address] = upstream
            self._offer(upstream)
            await upstream.wait_lost()
            self._at.pop(address, None)
            if upstream in self._idle:
                self._idle.remove(upstream)


def _handed_over(waiter: asyncio.Future[Upstream]) -> Upstream | None:
    """What a waiter was given in the very moment that its caller stopped waiting."""
    if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
        return waiter.result()
    return None
