"""A lock between processes: ``flock`` on a file, which the kernel gives back however its holder ended."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5


@asynccontextmanager
async def file_lock(path: Path, *, waiting: Callable[[], None]) -> AsyncIterator[None]:
    """Hold the lock. ``waiting`` is called once if another holds it. The caller sets the deadline (``asyncio.timeout``).

    The file stays: to remove it would let two processes each lock a file of that name.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        pause = _FIRST_PAUSE_S
        while not _try(descriptor):
            if pause == _FIRST_PAUSE_S:
                waiting()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
        yield
    finally:
        os.close(descriptor)


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
