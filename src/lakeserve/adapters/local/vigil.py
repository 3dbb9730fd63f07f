"""Looks at each worker's process now and then, and ends one that is beyond help before a request finds out.

Two things cannot be seen from its answers: a process that is stopped (it holds requests and will never answer), and one
whose memory grows without end (the kernel would sooner or later kill anybody). A worker that is merely busy is left alone
however long it takes: that is the execution limit's business. Where there is no ``/proc`` nothing is seen and nothing is
ended.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

INTERVAL_S: Final = 0.5
_STOPPED_FOR_S: Final = 3.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Vigil:
    """Of one worker. ``limit_bytes`` bounds its resident memory."""

    def __init__(self, pid: int, limit_bytes: int) -> None:
        self._proc = Path(f"/proc/{pid}")
        self._limit_bytes = limit_bytes
        self._stopped_since: float | None = None

    def complaint(self, now: float) -> str | None:
        """Why it must be ended, as the predicate of a sentence; None while all is well. ``now`` is monotonic."""
        try:
            state = (self._proc / "stat").read_text().rpartition(")")[2].split()[0]
            resident = int((self._proc / "statm").read_text().split()[1]) * _PAGE
        except (OSError, IndexError, ValueError):
            return None  # it ended, which others will notice, or this system does not tell
        if resident > self._limit_bytes:
            return f"was ended because it used more than {self._limit_bytes // (1024 * 1024)} MiB of memory"
        if state not in ("T", "t"):
            self._stopped_since = None
            return None
        if self._stopped_since is None:
            self._stopped_since = now
        if now - self._stopped_since >= _STOPPED_FOR_S:
            return "was ended because it had been stopped and did not answer"
        return None
