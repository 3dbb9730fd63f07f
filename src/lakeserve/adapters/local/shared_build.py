"""One slow job that several callers wait for, all of them reading its log.

The first caller starts it, later ones get the lines so far and then each new one. It is cancelled when nobody waits any more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine

from lakeserve.ports.environments import LogLine

_KEPT_LINES = 20_000


class SharedBuild:
    def __init__(self, work: Callable[[LogLine], Coroutine[None, None, None]], forget: Callable[[], None]) -> None:
        """``work`` gets the function to log with. ``forget`` is called once, when there is nothing left to join."""
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._listeners: list[LogLine] = []
        self._forget = forget
        self._task = asyncio.create_task(work(self._log))
        self._task.add_done_callback(lambda _: forget())

    async def join(self, log: LogLine) -> None:
        """Wait for the end, whatever it is; ``log`` gets every line."""
        for line in self._lines:
            log(line)
        self._listeners.append(log)
        try:
            await asyncio.shield(self._task)
        finally:
            self._listeners.remove(log)
            if not self._listeners and not self._task.done():
                # Nobody may join a build that is being cancelled.
                self._forget()
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)

    def _log(self, line: str) -> None:
        self._lines.append(line)
        for listener in tuple(self._listeners):
            listener(line)
