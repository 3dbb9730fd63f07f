"""Ends the process when a request runs too long, even in native code that never lets go of the interpreter's lock.

``faulthandler`` can do that: a native thread of its own writes every thread's traceback to the log and exits. Starting and
joining that thread costs 75 µs, though, a fifth of a small request. So it stays armed from one request to the next, and is
armed anew only when it would fire too early for the request at hand: at most once in ``slack`` seconds. The price is that a
request may run that much longer than its limit. A loop that has waited for ``slack`` seconds stops it.
"""

from __future__ import annotations

import faulthandler
import time

_LOG = 2
_MAX_SLACK_S = 1.0
_SHARE = 0.1
_LEAST_S = 0.001


class Watchdog:
    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._slack_s = min(_MAX_SLACK_S, limit_s * _SHARE)
        self._fires_at: float | None = None

    def watch(self, left_s: float) -> None:
        """Fire when the process is still at it after this time, and ``slack`` seconds later at the latest."""
        earliest = time.monotonic() + max(left_s, _LEAST_S)
        if self._fires_at is None or not earliest <= self._fires_at <= earliest + self._slack_s:
            faulthandler.dump_traceback_later(max(left_s, _LEAST_S) + self._slack_s, exit=True, file=_LOG)
            self._fires_at = earliest + self._slack_s

    def stop(self) -> None:
        if self._fires_at is not None:
            faulthandler.cancel_dump_traceback_later()
            self._fires_at = None

    @property
    def patience_s(self) -> float | None:
        """How long a wait may last before ``stop`` is due."""
        return None if self._fires_at is None else self._slack_s
