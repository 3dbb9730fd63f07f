"""What is measured. A suite is a set of cases that share their peers; :data:`SUITES` is all of them, in the order of the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from bench.cases.scoring import Scoring
from bench.results import CaseResult
from bench.room import Room


class Suite(Protocol):
    name: str
    case_names: Sequence[str]

    def run(self, room: Room) -> Iterator[CaseResult]:
        """Start what it needs, measure each case that is wanted, and end everything.

        :raises CannotMeasure: there is nothing sensible to report.
        """


SUITES: tuple[Suite, ...] = (Scoring("iris"), Scoring("wine"))
