"""What processes of this machine use of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Machine:
    """``cpus`` is how many of them this server may use."""

    cpus: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """``cpu_s`` is what the process has used since it began. ``memory_bytes`` is what is its own, and its part of what it shares:
    the sum over processes that were forked from one is what they really take."""

    cpu_s: float
    memory_bytes: int


class ProcessStats(Protocol):
    def machine(self) -> Machine | None:
        """None where this kind of machine cannot be measured; then there are no samples either."""

    def sample(self, pids: Collection[int]) -> Mapping[int, ProcessSample]:
        """Without those that have ended. Blocks for milliseconds per gigabyte of a process."""

    def server(self) -> Mapping[int, str]:
        """The server's own processes: what each of them is ("gateway", "controller", "worker", …)."""
