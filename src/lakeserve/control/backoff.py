"""How long to pause before workers are started again: not at all after a first loss, longer with each one that follows.

What is lost between two attempts counts once, however many workers it were: a machine that ran out of memory takes all of them,
and that is no reason to be slow. Only a while in which the workers served makes the next loss a first one again; an attempt that
failed never does, however long it took.
"""

from __future__ import annotations

from lakeserve.ports.clock import Clock

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 120.0
_STABLE_AFTER_S = 30.0


class Backoff:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._count = 0
        self._attempted = True
        self._lost_at = float("-inf")
        self._serving_since: float | None = None

    def attempt(self) -> None:
        """Workers are being started."""
        self._attempted = True

    def serving(self) -> None:
        """A worker became ready."""
        if self._serving_since is None:
            self._serving_since = self._clock.monotonic()

    def lost(self) -> None:
        """A worker ended unasked, or an attempt failed."""
        now = self._clock.monotonic()
        if self._serving_since is not None and now - self._serving_since >= _STABLE_AFTER_S:
            self._count = 0
        if self._attempted:
            self._count += 1
        self._attempted = False
        self._serving_since = None
        self._lost_at = now

    def pause_s(self) -> float:
        """Seconds from now until the next attempt."""
        if self._count <= 1:
            return 0.0
        pause = min(_FIRST_PAUSE_S * 2.0 ** min(self._count - 2, 10), _LONGEST_PAUSE_S)
        return max(0.0, self._lost_at + pause - self._clock.monotonic())
