"""Workload sizes: how many requests a served entity takes at once.

One unit of concurrency is one request in flight, which here is one model worker process. The ranges are those that
databricks-sdk documents: Small 4, Medium 8 to 16, Large 16 to 64.
"""

from __future__ import annotations

from dataclasses import dataclass

DEFAULT_SIZE = "Small"
DEFAULT_TYPE = "CPU"


@dataclass(frozen=True, slots=True)
class Concurrency:
    """Bounds on the number of workers; ``minimum`` is what a READY entity without scale-to-zero keeps."""

    minimum: int
    maximum: int


SIZES: dict[str, Concurrency] = {
    "Small": Concurrency(4, 4),
    "Medium": Concurrency(8, 16),
    "Large": Concurrency(16, 64),
}

TYPES = (
    "CPU",
    "CPU_MEDIUM",
    "CPU_LARGE",
    "GPU_SMALL",
    "GPU_MEDIUM",
    "GPU_LARGE",
    "MULTIGPU_MEDIUM",
    "GPU_XLARGE",
    "GPU_XLARGE_8",
)


@dataclass(frozen=True, slots=True)
class Workload:
    """What was asked for. Either ``size`` or the two concurrency numbers is set, never both."""

    size: str | None = DEFAULT_SIZE
    type: str = DEFAULT_TYPE
    min_concurrency: int | None = None
    max_concurrency: int | None = None

    @property
    def concurrency(self) -> Concurrency:
        if self.size is not None:
            return SIZES[self.size]
        low = self.min_concurrency or 0
        return Concurrency(low, max(low, self.max_concurrency or low, 1))
