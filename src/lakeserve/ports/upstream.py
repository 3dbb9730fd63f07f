"""What answers a request behind a served entity. Today a model worker; engines and providers will be others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol


class UpstreamLost(Exception):
    """The connection ended before a whole answer had come."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. ``model_ms`` is the time that the model itself took."""

    status: int
    content_type: str
    body: bytes
    model_ms: float = 0.0


class Stream(Protocol):
    """An answer in pieces, with status 200: each piece is one or more whole server-sent events."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        """
        :raises UpstreamLost: while iterating, when the upstream ended before its last piece.
        """

    def cancel(self) -> None:
        """Nobody reads any more: make the upstream stop, and the iteration end."""


class Upstream(Protocol):
    """One connection, good for one request at a time."""

    @property
    def lost(self) -> bool:
        """It can take no further request."""

    def claim(self) -> bool:
        """Take it for one request. False while another gateway has it; one that is not shared can always be taken."""

    def disclaim(self) -> None:
        """The request is over."""

    async def ask(self, content_type: str, body: bytes, request_id: str) -> Reply | Stream:
        """Send one request and wait for the whole answer, or for the first piece of a stream.

        :raises UpstreamLost: no answer will come.
        """

    async def wait_lost(self) -> None:
        """Return when the connection has ended."""

    def close(self) -> None: ...


class Connector(Protocol):
    async def __call__(self, address: str) -> Upstream:
        """Connect, and wait until the upstream takes requests.

        :raises UpstreamLost: nothing there.
        """
