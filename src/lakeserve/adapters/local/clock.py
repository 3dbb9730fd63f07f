"""The machine's clocks and random ids."""

from __future__ import annotations

import secrets
import time
import uuid


class SystemClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


class RandomIds:
    def hex32(self) -> str:
        return uuid.uuid4().hex

    def uuid(self) -> str:
        return str(uuid.uuid4())

    def number(self) -> str:
        return str(secrets.randbelow(9 * 10**14) + 10**14)
