"""What the metrics say, before anybody writes it down in Prometheus' text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lakeserve.domain.usage import EntityUsage


@dataclass(frozen=True, slots=True)
class Consumption:
    """Mean over the last minute, in percent of the machine: of all its CPUs that the server may use, of all its memory."""

    cpu_percent: float
    memory_percent: float


@dataclass(frozen=True, slots=True)
class EntityMetrics:
    """Of one served entity of an active config.

    ``consumption`` is that of all its workers together: they are what stands for the one replica that this machine is. None when it
    cannot be measured, or not yet. ``provisioned`` is how many requests its workers can take at once now. ``recent`` is of the
    last minute, ``total`` since the controller's start; ``in_flight`` and ``queued`` are now.
    """

    endpoint: str
    served_entity: str
    consumption: Consumption | None
    provisioned: int
    recent: EntityUsage
    total: EntityUsage
    in_flight: int
    queued: int


@dataclass(frozen=True, slots=True)
class ProcessGroup:
    """The processes of one kind, added up. ``cpu_s`` is since each began."""

    count: int
    cpu_s: float
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class ServerMetrics:
    entities: tuple[EntityMetrics, ...]
    processes: Mapping[str, ProcessGroup]
