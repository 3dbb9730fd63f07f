"""The load generator: a closed loop over kept-alive connections, in a process of its own that does as little as possible.

``python -m bench.load`` reads one JSON object, a :class:`Plan`, from standard input. It writes one line when the warm-up is over,
so that its starter can note what CPU time the servers have used until then, and one with the outcome.

Each connection sends its next request when it has the answer to the last. Requests are made beforehand and answers are compared
as bytes with those that have been checked beforehand, so that nothing but sockets is worked on while time is taken.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.stats import CURVE, percentile

STALLED_S = 60.0
"""Longest time in which nothing at all may happen."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_READ = 1 << 18


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request's bytes, and the body of the answer that is right."""

    request: bytes
    answer: bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """Times are seconds. Connections go round the exchanges, each from a start of its own."""

    host: str
    port: int
    connections: int
    warm_up: float
    duration: float
    exchanges: Sequence[Exchange]

    def to_json(self) -> str:
        def text(data: bytes) -> str:
            return base64.b64encode(data).decode()

        exchanges = [[text(e.request), text(e.answer)] for e in self.exchanges]
        numbers = {name: getattr(self, name) for name in ("host", "port", "connections", "warm_up", "duration")}
        return json.dumps({**numbers, "exchanges": exchanges})

    @classmethod
    def from_json(cls, data: str) -> Plan:
        plan = json.loads(data)
        exchanges = [Exchange(base64.b64decode(r), base64.b64decode(a)) for r, a in plan.pop("exchanges")]
        return cls(**plan, exchanges=exchanges)


def request(target: Any, path: str, body: bytes) -> bytes:
    """The bytes of a POST of JSON. ``target`` has ``host``, ``port`` and ``headers``."""
    headers = {"Host": f"{target.host}:{target.port}", "Content-Type": "application/json", **target.headers}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


def split_answer(data: bytes | bytearray) -> tuple[int, bytes] | None:
    """Status and body once the whole of an answer is there.

    :raises ValueError: an answer without a length, which none of the servers gives to these requests.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    length = _LENGTH.search(data, 0, end + 2)
    if length is None:
        raise ValueError("an answer without Content-Length")
    whole = end + 4 + int(length[1])
    if len(data) < whole:
        return None
    if len(data) > whole:
        raise ValueError("more than one answer")
    return int(data[9:12]), bytes(data[end + 4 :])


class Connection:
    """One of the clients. ``latencies`` are seconds from the first byte sent to the last one received."""

    def __init__(self, plan: Plan, start: int) -> None:
        self._exchanges = plan.exchanges
        self._next = start
        self._expected = b""
        self._unsent = memoryview(b"")
        self._received = bytearray()
        self._began = 0.0
        self.latencies: list[float] = []
        self.errors = 0
        self.socket = socket.create_connection((plan.host, plan.port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    def ask(self) -> int:
        """Begin the next request; the events to wait for."""
        exchange = self._exchanges[self._next % len(self._exchanges)]
        self._next += 1
        self._expected = exchange.answer
        self._unsent = memoryview(exchange.request)
        self._received.clear()
        self._began = time.perf_counter()
        return self.write()

    def write(self) -> int:
        with contextlib.suppress(BlockingIOError):
            self._unsent = self._unsent[self.socket.send(self._unsent) :]
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    def read(self) -> bool:
        """Whether the answer is complete now; it is noted then.

        :raises ConnectionError: the server closed the connection.
        """
        data = self.socket.recv(_READ)
        if not data:
            raise ConnectionError("the server closed a connection")
        self._received += data
        answer = split_answer(self._received)
        if answer is None:
            return False
        self.latencies.append(time.perf_counter() - self._began)
        self.errors += answer != (200, self._expected)
        return True


class Load:
    def __init__(self, plan: Plan) -> None:
        self._selector = selectors.DefaultSelector()
        self._connections = [Connection(plan, start) for start in range(plan.connections)]
        for connection in self._connections:
            self._selector.register(connection.socket, connection.ask(), connection)

    def drive(self, seconds: float) -> float:
        """Keep all connections busy for that long, forgetting what was noted before; the exact time.

        :raises TimeoutError: nothing happened for :data:`STALLED_S`.
        """
        for connection in self._connections:
            connection.latencies.clear()
            connection.errors = 0
        began = time.perf_counter()
        while (now := time.perf_counter()) - began < seconds:
            events = self._selector.select(STALLED_S)
            if not events:
                raise TimeoutError(f"no answer for {STALLED_S:g} s")
            for key, mask in events:
                self._handle(key, mask)
        return now - began

    def _handle(self, key: selectors.SelectorKey, mask: int) -> None:
        connection: Connection = key.data
        wanted = key.events
        if mask & selectors.EVENT_WRITE:
            wanted = connection.write()
        if mask & selectors.EVENT_READ and connection.read():
            wanted = connection.ask()
        if wanted != key.events:
            self._selector.modify(connection.socket, wanted, connection)

    def close(self) -> None:
        self._selector.close()
        for connection in self._connections:
            connection.socket.close()

    def outcome(self, seconds: float, cpu: float) -> dict[str, Any]:
        latencies = sorted(value for connection in self._connections for value in connection.latencies)
        return {
            "seconds": seconds,
            "cpu_seconds": cpu,
            "requests": len(latencies),
            "errors": sum(connection.errors for connection in self._connections),
            "curve_ms": [percentile(latencies, percent) * 1000 for percent in CURVE] if latencies else [],
        }


def main() -> None:
    plan = Plan.from_json(sys.stdin.read())
    load = Load(plan)
    load.drive(plan.warm_up)
    print("measuring", flush=True)
    cpu = time.process_time()
    seconds = load.drive(plan.duration)
    print(json.dumps(load.outcome(seconds, time.process_time() - cpu)), flush=True)


if __name__ == "__main__":
    main()
