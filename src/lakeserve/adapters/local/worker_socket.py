"""The server's side of a worker's socket: whole frames over an asyncio transport.

One object serves both users. The controller connects to learn when a worker is ready, and that it has ended; a gateway connects to
send requests. See :mod:`lakeserve_worker.protocol` for the frames.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

import orjson

from lakeserve_worker import protocol
from lakeserve_worker.protocol import Frame

_SMALL = 16 * 1024
"""Bodies up to here are cheaper to copy than to send as a piece of their own."""


class WorkerGone(ConnectionError):
    """The worker's end of the socket is closed."""


class WorkerSocket(asyncio.Protocol):
    """Frames in the order they come. ``closed`` is done when the connection is."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._frames: deque[Frame] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._lost = False
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        # Almost always there is nothing left over, and one whole frame comes: then nothing is copied but its parts.
        pending: bytes | bytearray = data
        if self._buffer:
            self._buffer += data
            pending = self._buffer
        try:
            while len(pending) >= protocol.PREFIX_SIZE:
                kind, head_length, body_length = protocol.decode_prefix(pending)
                body_at = protocol.PREFIX_SIZE + head_length
                end = body_at + body_length
                if len(pending) < end:
                    break
                head = _decode_head(pending[protocol.PREFIX_SIZE : body_at])
                self._frames.append(Frame(kind, head, bytes(pending[body_at:end])))
                pending = pending[end:]
                self._wake()
        except protocol.ProtocolError:
            self.close()
            return
        if pending is not self._buffer:
            self._buffer = bytearray(pending)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if not self.closed.done():
            self.closed.set_result(None)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def lost(self) -> bool:
        return self._lost

    def send(self, kind: int, head: dict[str, Any], body: bytes = b"") -> None:
        """
        :raises WorkerGone: the connection is closed.
        """
        if self._lost or self._transport is None:
            raise WorkerGone
        start = protocol.encode_head(kind, orjson.dumps(head), len(body))
        if len(body) <= _SMALL:
            self._transport.write(start + body)
        else:
            self._transport.writelines((start, body))

    async def receive(self) -> Frame:
        """The next frame. One caller at a time.

        :raises WorkerGone: the connection was closed before a whole one had come.
        """
        while not self._frames:
            if self._lost:
                raise WorkerGone
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._frames.popleft()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close without waiting for what is still unsent."""
        self._lost = True
        if self._transport is not None:
            self._transport.abort()


def _decode_head(data: bytes | bytearray) -> dict[str, Any]:
    """
    :raises protocol.ProtocolError: not a JSON object.
    """
    try:
        head = orjson.loads(data)
    except orjson.JSONDecodeError:
        head = None
    # What is left: nothing at all, no JSON, and what only the standard library reads and writes, such as half a surrogate pair.
    return head if isinstance(head, dict) else protocol.decode_head(bytes(data))


async def connect(address: str) -> WorkerSocket:
    """
    :raises OSError: nothing listens there.
    """
    _, connection = await asyncio.get_running_loop().create_unix_connection(WorkerSocket, address)
    return connection
