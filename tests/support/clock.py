"""Time that passes only when everybody waits: hours of back-off in milliseconds of a test.

:class:`VirtualLoop` is asyncio's own loop with another clock. Whatever is ready runs; when nothing is, the clock jumps to the next
timer. ``asyncio.sleep`` and ``asyncio.timeout`` therefore work as ever and take no time, in the order they would have in real
time. A loop in which nothing is ready and no timer is set would wait forever, and says so instead.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from lakeserve.ports.clock import Clock

T = TypeVar("T")
P = ParamSpec("P")

EPOCH_MS = 1_700_000_000_000


class NobodyIsReady(RuntimeError):
    """Every task waits for something that no timer and no other task will bring."""


class _Selector(selectors.SelectSelector):
    """Never waits: it lets the loop's clock jump by as long as it was to wait."""

    def __init__(self, jump: Callable[[float], None]) -> None:
        super().__init__()
        self._jump = jump

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or timeout == 0:
            return events
        if timeout is None:
            raise NobodyIsReady
        self._jump(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._now = 1_000.0
        super().__init__(_Selector(self._advance))

    def time(self) -> float:
        return self._now

    def _advance(self, seconds: float) -> None:
        self._now += seconds


class LoopClock(Clock):
    """The clock of the loop that runs now, as the port."""

    def now_ms(self) -> int:
        return EPOCH_MS + int(self.monotonic() * 1000)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class ManualClock(Clock):
    """A clock that somebody sets, for code that has no loop."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def now_ms(self) -> int:
        return EPOCH_MS + int(self.now * 1000)

    def monotonic(self) -> float:
        return self.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run`` on virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


def virtual(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """A test that is a coroutine, as one that runs it on virtual time."""

    @functools.wraps(test)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        return run(test(*args, **kwargs))

    return wrapped


async def settle() -> None:
    """Let everything that is ready run, without letting time pass: a timer of no length comes after them."""
    for _ in range(50):
        await asyncio.sleep(0)


async def until(
    condition: Callable[[], Any] | Callable[[], Awaitable[Any]], limit_s: float = 3_600.0, step_s: float = 0.01
) -> None:
    """Wait, in the loop's time, until the condition holds; fails at the limit."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + limit_s
    while True:
        holds = condition()
        if isinstance(holds, Awaitable):
            holds = await holds
        if holds:
            return
        assert loop.time() < deadline, f"not within {limit_s} s"
        await asyncio.sleep(step_s)
