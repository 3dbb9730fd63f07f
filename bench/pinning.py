"""Which cores work for whom: the servers on one, the load generator on another, where the system lets us say so."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pinning:
    """Cores by number; None where nothing is pinned."""

    servers: int | None
    generator: int | None

    @classmethod
    def choose(cls) -> Pinning:
        if not sys.platform.startswith("linux"):
            return cls(None, None)
        cores = sorted(os.sched_getaffinity(0))
        return cls(cores[0], cores[1]) if len(cores) > 1 else cls(None, None)

    def __str__(self) -> str:
        if self.servers is None:
            return "nothing pinned: the system has one core, or no way to pin"
        return (
            f"every process of every server on core {self.servers}, load generator on core {self.generator}"
            " (sched_setaffinity, inherited)"
        )


@contextlib.contextmanager
def on(core: int | None) -> Iterator[None]:
    """What is started inside runs on that core, for all of its life."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
