"""Model workers: processes that answer requests of one served entity, one at a time each."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lakeserve.ports.environments import Environment
from lakeserve.ports.models import ModelPackage


class WorkerFailed(Exception):
    """A worker did not become ready. The text is one sentence; the worker's log has the rest."""


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """What a worker is started with. ``environment_vars`` are already resolved; they travel over a socket, never in argv."""

    endpoint_id: str
    endpoint_name: str
    entity_name: str
    fingerprint: str
    package: ModelPackage
    environment: Environment
    environment_vars: Mapping[str, str] = field(repr=False)
    log_file: Path
    execution_limit_s: float
    load_limit_s: float


@dataclass(frozen=True, slots=True)
class Worker:
    """A ready worker. ``address`` is the Unix socket that gateways speak frames to."""

    id: str
    address: str
    fingerprint: str
    endpoint_id: str
    pid: int = 0


Lost = Callable[[Worker, str], Awaitable[None]]
"""Called when a ready worker ended unasked, with one sentence on how."""


class Workers(Protocol):
    async def start(self, spec: WorkerSpec, lost: Lost) -> Worker:
        """Start one worker and wait until it has loaded the model.

        :raises WorkerFailed: it ended, or did not finish loading within the limit.
        """

    async def drain(self, worker: Worker, limit_s: float) -> None:
        """End a worker that no gateway routes to any more: it finishes what it has, and is killed at the limit."""

    async def kill(self, worker: Worker) -> None:
        """End a worker now."""

    async def adopt(self, endpoint_ids: frozenset[str], lost: Lost) -> list[Worker]:
        """Workers of an earlier controller that still serve; those of endpoints not in ``endpoint_ids`` are killed."""
