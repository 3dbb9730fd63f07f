"""Frames between a gateway and a worker, over a real Unix socket, however the bytes arrive."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lakeserve.adapters.local import worker_socket
from lakeserve.adapters.local.worker_socket import WorkerGone, WorkerSocket
from lakeserve_worker import protocol
from support.registry import short_folder

DEADLINE_S = 10


@pytest.fixture
async def pair() -> AsyncIterator[tuple[WorkerSocket, asyncio.StreamReader, asyncio.StreamWriter]]:
    """Our side, and the worker's as streams."""
    with short_folder() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = Path(folder) / "w"
        listener.bind(str(path))
        listener.listen()
        ours = await worker_socket.connect(str(path))
        theirs, _ = listener.accept()
        reader, writer = await asyncio.open_connection(sock=theirs, limit=1 << 24)
        async with asyncio.timeout(DEADLINE_S):
            yield ours, reader, writer
        ours.abort()
        writer.close()


Pair = tuple[WorkerSocket, asyncio.StreamReader, asyncio.StreamWriter]

FRAMES = [
    (protocol.HELLO, {"worker_id": "w"}, b""),
    (protocol.CHUNK, {}, b"data: 1\n\n"),
    (protocol.RESPONSE, {"status": 200, "content_type": "text/é"}, b"x" * 300),
    (protocol.END, {"predict_ms": 0.5}, b""),
]


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 10, 64, 333, 10_000])
async def test_frames_however_they_are_cut(pair: Pair, size: int) -> None:
    ours, _, _ = pair
    data = b"".join(protocol.encode(*frame) for frame in FRAMES)
    for start in range(0, len(data), size):
        ours.data_received(data[start : start + size])
    assert [tuple(await ours.receive()) for _ in FRAMES] == FRAMES


async def test_frames_over_the_socket(pair: Pair) -> None:
    ours, _, writer = pair
    writer.write(b"".join(protocol.encode(*frame) for frame in FRAMES))
    assert [tuple(await ours.receive()) for _ in FRAMES] == FRAMES


@pytest.mark.parametrize("length", [0, 10, 16 * 1024, 16 * 1024 + 1, 3_000_000])
async def test_what_is_sent(pair: Pair, length: int) -> None:
    ours, reader, _ = pair
    head, body = {"content_type": "text/é", "request_id": "1"}, b"b" * length
    ours.send(protocol.REQUEST, head, body)
    kind, head_length, body_length = protocol.decode_prefix(await reader.readexactly(protocol.PREFIX_SIZE))
    assert (kind, body_length) == (protocol.REQUEST, length)
    assert protocol.decode_head(await reader.readexactly(head_length)) == head
    assert await reader.readexactly(body_length) == body


async def test_a_head_that_only_the_standard_library_reads(pair: Pair) -> None:
    """A model's error message may hold half a surrogate pair, out of a path that is no UTF-8."""
    ours, _, writer = pair
    writer.write(protocol.encode(protocol.FAILED, {"message": "/tmp/\udc80"}))
    assert (await ours.receive()).head == {"message": "/tmp/\udc80"}


@pytest.mark.parametrize("head", [b"[1]", b"nonsense", b'"text"', b"\xff"])
async def test_a_peer_that_speaks_something_else_is_cut_off(pair: Pair, head: bytes) -> None:
    ours, reader, writer = pair
    writer.write(protocol.encode_head(protocol.RESPONSE, head, 0))
    with pytest.raises(WorkerGone):
        await ours.receive()
    assert await reader.read() == b""


async def test_what_came_before_the_end_is_still_read(pair: Pair) -> None:
    ours, _, writer = pair
    writer.write(protocol.encode(*FRAMES[0]))
    writer.close()
    await ours.closed
    assert ours.lost
    assert tuple(await ours.receive()) == FRAMES[0]
    with pytest.raises(WorkerGone):
        await ours.receive()
    with pytest.raises(WorkerGone):
        ours.send(protocol.REQUEST, {})
