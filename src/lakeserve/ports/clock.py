"""Time and identity: the two inputs that would make rules untestable if they were taken from the air."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Wall-clock time in epoch milliseconds, as the API shows it."""

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps, for waits and durations."""


class Ids(Protocol):
    def hex32(self) -> str:
        """A new id of 32 lower-case hexadecimal digits, as endpoints and served entities have."""

    def uuid(self) -> str:
        """A new dashed UUID, as requests have."""

    def number(self) -> str:
        """A new id of up to 15 decimal digits, as users and groups have: official clients read it as an integer."""
