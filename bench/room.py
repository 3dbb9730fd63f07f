"""What every suite gets: a place for its files, cores, how long to measure, and someone to tell how it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench.pinning import Pinning


@dataclass(frozen=True, slots=True)
class Pace:
    """``seconds`` of each measurement, after ``warm_up`` seconds of the same load; each peer in each of ``rounds``."""

    rounds: int = 5
    seconds: float = 2.0
    warm_up: float = 0.5


QUICK = Pace(rounds=3, seconds=1.0, warm_up=0.3)


@dataclass(frozen=True, slots=True)
class Room:
    folder: Path
    pinning: Pinning
    pace: Pace
    wanted: Callable[[str], bool]
    """Whether the case of that name is to be run."""
    say: Callable[[str], None]
    absent: dict[str, str] = field(default_factory=dict)
    """Filled by suites: peers that could not take part, and why."""
