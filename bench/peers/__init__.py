"""The systems that are measured. Each is a small class with ``name``, ``absent`` and ``serve``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from bench.room import Room


@dataclass(frozen=True, slots=True)
class Target:
    """Where to POST, and with what besides a body of JSON."""

    host: str
    port: int
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Serving:
    """A peer that is up. ``pid`` is the root of all its processes; ``target`` takes the requests.

    ``part`` names the part of the peer that a process is, by its command line.
    """

    pid: int
    target: Target
    part: Callable[[str], str] = lambda command: "server"


class Peer(Protocol):
    name: str

    def absent(self) -> str | None:
        """Why it cannot take part on this machine; None if it can."""

    def serve(self, room: Room) -> AbstractContextManager[Serving]:
        """Up and ready inside, gone afterwards.

        :raises CannotMeasure: it does not start.
        """


def present(peers: list[Peer], room: Room) -> list[Peer]:
    """Those that can take part; the others are noted, and said aloud."""
    for peer in peers:
        reason = peer.absent()
        if reason is not None:
            room.absent[peer.name] = reason
            room.say(f"{peer.name} does not take part: {reason}")
    return [peer for peer in peers if peer.name not in room.absent]
