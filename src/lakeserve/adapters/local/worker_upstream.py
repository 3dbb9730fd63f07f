"""A model worker as an upstream of the gateway."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path

from lakeserve.adapters.local import worker_socket
from lakeserve.adapters.local.worker_socket import WorkerGone, WorkerSocket
from lakeserve.ports.upstream import Reply, UpstreamLost
from lakeserve_worker import protocol

LOCK = ".lock"


async def connect_shared(address: str) -> WorkerUpstream:
    """As :func:`connect`, for one of several gateways of this machine."""
    return await connect(address, shared=True)


async def connect(address: str, *, shared: bool = False) -> WorkerUpstream:
    """See :class:`lakeserve.ports.upstream.Connector`. Who shares the worker claims it by a lock on a file beside its socket."""
    try:
        socket = await worker_socket.connect(address)
        try:
            hello = await socket.receive()
            claim = Claim(Path(address).with_suffix(LOCK)) if shared else None
        except BaseException:
            socket.abort()
            raise
    except (OSError, WorkerGone) as error:
        raise UpstreamLost from error
    if hello.kind != protocol.HELLO:
        socket.abort()
        raise UpstreamLost
    return WorkerUpstream(socket, claim)


class Claim:
    """An exclusive lock on a file. The kernel gives it back when its holder ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def give_back(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def __del__(self) -> None:
        os.close(self._descriptor)


class WorkerUpstream:
    def __init__(self, socket: WorkerSocket, shared: Claim | None = None) -> None:
        self._socket = socket
        self._shared = shared

    def claim(self) -> bool:
        return self._shared is None or self._shared.take()

    def disclaim(self) -> None:
        if self._shared is not None:
            self._shared.give_back()

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
