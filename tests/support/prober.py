"""An open-loop load generator: requests leave at a constant rate, whether or not earlier ones have been answered.

A closed loop waits for slow answers and so hides them. Each request carries its number; what came back is kept with it, so that a
test can say exactly which request failed, how, and when.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp


@dataclass(frozen=True, slots=True)
class Sample:
    """Moments are seconds since the prober's start. ``status`` is 0 when no answer came; ``body`` then says why."""

    number: int
    sent: float
    answered: float
    status: int
    body: str
    served_by: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class Report:
    samples: list[Sample] = field(default_factory=list)

    @property
    def failed(self) -> list[Sample]:
        return [sample for sample in self.samples if sample.status != 200]

    def statuses(self) -> Counter[int]:
        return Counter(sample.status for sample in self.samples)

    def latency_ms(self, share: float) -> float:
        """The latency that this share of the answers stayed within."""
        ordered = sorted(sample.answered - sample.sent for sample in self.samples)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000

    def summary(self) -> str:
        return (
            f"p50 {self.latency_ms(0.5):.1f} ms, p99 {self.latency_ms(0.99):.1f} ms, worst {self.latency_ms(1):.0f} ms"
        )

    def explain(self) -> str:
        """For an assertion's message: the counts, and the first failures whole."""
        return f"{self.statuses()} first failures: {self.failed[:5]}"


class Prober:
    """``await prober.during(work)`` sends while ``work`` runs and returns what came back."""

    def __init__(self, url: str, token: str, *, body: Callable[[int], object], per_second: float = 1) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._pause = 1 / per_second
        self._body = body
        self._began = time.perf_counter()
        self.report = Report()

    def now(self) -> float:
        """Seconds on the clock of the samples."""
        return time.perf_counter() - self._began

    async def during(self, work: Awaitable[object], *, connections: int = 32) -> Report:
        async with _session(connections) as session:
            working = asyncio.ensure_future(work)
            sent: list[asyncio.Task[None]] = []
            due = time.perf_counter()
            while not working.done():
                sent.append(asyncio.create_task(self._send(session, len(sent))))
                due += self._pause
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await asyncio.gather(*sent)
            await working
        return self.report

    async def exactly(self, count: int, *, connections: int = 8) -> Report:
        """So many requests as fast as they are answered: for what is counted, not timed."""
        numbers = iter(range(count))

        async def one_after_another(session: aiohttp.ClientSession) -> None:
            for number in numbers:
                await self._send(session, number)

        async with _session(connections) as session:
            await asyncio.gather(*(one_after_another(session) for _ in range(connections)))
        return self.report

    async def _send(self, session: aiohttp.ClientSession, number: int) -> None:
        sent = self.now()
        status, body, served_by = 0, "", ""
        try:
            data = json.dumps(self._body(number))
            async with session.post(self._url, data=data, headers=self._headers) as response:
                body = await response.text()
                status = response.status
                served_by = response.headers.get("served-model-name", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            body = f"{type(error).__name__}: {error}"
        self.report.samples.append(Sample(number, sent, self.now(), status, body, served_by))


def _session(connections: int) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=connections)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=120))
