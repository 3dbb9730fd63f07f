"""A model worker as an upstream of the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from lakeserve.adapters.local import worker_socket
from lakeserve.adapters.local.worker_socket import WorkerGone, WorkerSocket
from lakeserve.ports.upstream import Reply, UpstreamLost
from lakeserve_worker import protocol


async def connect(address: str) -> WorkerUpstream:
    """See :class:`lakeserve.ports.upstream.Connector`."""
    try:
        socket = await worker_socket.connect(address)
        try:
            hello = await socket.receive()
        except BaseException:
            socket.abort()
            raise
    except (OSError, WorkerGone) as error:
        raise UpstreamLost from error
    if hello.kind != protocol.HELLO:
        socket.abort()
        raise UpstreamLost
    return WorkerUpstream(socket)


class WorkerUpstream:
    def __init__(self, socket: WorkerSocket) -> None:
        self._socket = socket

    @property
    def lost(self) -> bool:
        return self._socket.lost

    async def ask(self, content_type: str, body: bytes, request_id: str) -> Reply | WorkerStream:
        socket = self._socket
        try:
            socket.send(protocol.REQUEST, {"content_type": content_type, "request_id": request_id}, body)
            frame = await socket.receive()
        except WorkerGone:
            raise UpstreamLost from None
        except asyncio.CancelledError:
            # Whoever asks next must not get this request's answer.
            socket.abort()
            raise
        if frame.kind == protocol.RESPONSE:
            head = frame.head
            return Reply(int(head["status"]), str(head["content_type"]), frame.body, float(head.get("predict_ms", 0.0)))
        return WorkerStream(socket, frame)

    async def wait_lost(self) -> None:
        await asyncio.shield(self._socket.closed)

    def close(self) -> None:
        self._socket.close()


class WorkerStream:
    """Starts with the frame that came as the answer; a stream that is not read to its end costs the connection."""

    def __init__(self, socket: WorkerSocket, first: protocol.Frame) -> None:
        self._socket = socket
        self._first = first

    async def __aiter__(self) -> AsyncIterator[bytes]:
        frame, ended = self._first, False
        try:
            while frame.kind == protocol.CHUNK:
                yield frame.body
                frame = await self._socket.receive()
            ended = frame.kind == protocol.END
            if not ended:
                raise UpstreamLost
        except WorkerGone:
            raise UpstreamLost from None
        finally:
            if not ended:
                self._socket.abort()

    def cancel(self) -> None:
        self._socket.abort()
