"""The serving loop: several connections, one request at a time.

Everything happens in the one thread of the process, because that is what most models' libraries expect, and because a unit
of concurrency is a process. Between requests the loop waits in ``select``; a connection's bytes are collected there until
they make a whole frame, so a peer that stalls in mid-frame delays nobody.

A request that runs longer than the limit ends the process (:mod:`lakeserve_worker.watchdog`). What a peer takes to read its
answer does not count.
"""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from lakeserve_worker import process, protocol
from lakeserve_worker.watchdog import Watchdog

if TYPE_CHECKING:
    from lakeserve_worker.answers import Answer
    from lakeserve_worker.scoring import Scorer
    from lakeserve_worker.streaming import Stream

PEER_LIMIT_S = 60.0
"""A peer that neither reads nor ends for so long is dropped."""

_CHUNK = 256 * 1024
_SMALL = 64 * 1024


class Inbox:
    """The bytes of one connection, until they make a frame."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> protocol.Frame | None:
        """Add what was received; the frame if it is whole now. A peer sends its next one only after our answer.

        :raises protocol.ProtocolError: not a frame.
        """
        self._data += data
        if len(self._data) < protocol.PREFIX_SIZE:
            return None
        kind, head_length, body_length = protocol.decode_prefix(self._data)
        body_start = protocol.PREFIX_SIZE + head_length
        if len(self._data) < body_start + body_length:
            return None
        whole, self._data = bytes(self._data), bytearray()
        if len(whole) > body_start + body_length:
            raise protocol.ProtocolError("a second frame before the first was answered")
        return protocol.Frame(kind, protocol.decode_head(whole[protocol.PREFIX_SIZE : body_start]), whole[body_start:])


class Server:
    def __init__(self, listener: socket.socket, hello: bytes, scorer: Scorer, limit_s: float) -> None:
        self._listener = listener
        self._hello = hello
        self._scorer = scorer
        self._watchdog = Watchdog(limit_s)
        self._draining = False
        self._selector = selectors.DefaultSelector()
        self._inboxes: dict[socket.socket, Inbox] = {}
        self._woken, self._waker = socket.socketpair()

    def run(self) -> None:
        """Serve until SIGTERM was received and the last connection is closed."""
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._drain)
        signal.siginterrupt(signal.SIGTERM, False)
        while not (self._draining and not self._inboxes):
            ready = self._selector.select(self._watchdog.patience_s)
            if not ready:
                self._watchdog.stop()
            for key, _ in ready:
                self._handle(key.fileobj)
            if self._draining and self._listener.fileno() >= 0:
                self._stop_listening()

    def _drain(self, number: int, frame: Any) -> None:
        """SIGTERM. The wake-up descriptor ends the wait in ``select``."""
        self._draining = True

    def _handle(self, ready: Any) -> None:
        if ready is self._listener:
            self._accept()
        elif ready is self._woken:
            with contextlib.suppress(BlockingIOError):
                self._woken.recv(1024)
        else:
            self._receive(ready)

    def _stop_listening(self) -> None:
        while self._accept():
            pass
        self._selector.unregister(self._listener)
        path = self._listener.getsockname()
        self._listener.close()
        with contextlib.suppress(OSError):
            os.unlink(path)

    def _accept(self) -> bool:
        try:
            peer, _ = self._listener.accept()
        except OSError:
            return False
        peer.setblocking(False)
        try:
            self._send(peer, self._hello)
        except OSError:
            peer.close()
            return True
        self._inboxes[peer] = Inbox()
        self._selector.register(peer, selectors.EVENT_READ)
        return True

    def _receive(self, peer: socket.socket) -> None:
        try:
            data = peer.recv(_CHUNK)
            frame = self._inboxes[peer].feed(data)
            if frame is not None:
                if frame.kind != protocol.REQUEST:
                    raise protocol.ProtocolError("a worker only takes requests")
                self._serve(peer, frame)
        except protocol.ProtocolError as error:
            process.log(f"a peer was dropped: {error}")
            data = b""
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(peer)
            del self._inboxes[peer]
            peer.close()

    def _serve(self, peer: socket.socket, request: protocol.Frame) -> None:
        """
        :raises OSError: the peer is gone, or does not read.
        """
        began = time.monotonic()
        self._watchdog.watch(self._watchdog.limit_s)
        answer = self._scorer.score(request.head.get("content_type", ""), request.body)
        if answer.events is None:
            self._send_answer(peer, answer)
        else:
            self._relay(peer, answer.events, self._watchdog.limit_s - (time.monotonic() - began))

    def _relay(self, peer: socket.socket, stream: Stream, left_s: float) -> None:
        """
        :raises OSError: the peer is gone, or does not read.
        """
        try:
            while True:
                began = time.monotonic()
                self._watchdog.watch(left_s)
                event = next(stream, None)
                left_s -= time.monotonic() - began
                if event is None:
                    break
                self._send(peer, protocol.encode(protocol.CHUNK, None, event))
            self._send(peer, protocol.encode(protocol.END, {"predict_ms": stream.predict_ms}))
        finally:
            # A stream that was cut short ends in the model's own code: its ``finally`` runs, within the limit.
            self._watchdog.watch(left_s)
            stream.close()

    def _send_answer(self, peer: socket.socket, answer: Answer) -> None:
        head = b'{"status":%d,"content_type":"%s","predict_ms":%.3f}' % (
            answer.status,
            answer.content_type.encode(),
            answer.predict_ms,
        )
        start = protocol.encode_head(protocol.RESPONSE, head, len(answer.body))
        if len(answer.body) <= _SMALL:
            self._send(peer, start + answer.body)
        else:
            self._send(peer, start)
            self._send(peer, answer.body)

    def _send(self, peer: socket.socket, data: bytes) -> None:
        """
        :raises OSError: the peer is gone, or has not read for too long.
        """
        rest = memoryview(data)
        while rest:
            sent = _send_some(peer, rest)
            rest = rest[sent:]
            if sent == 0:
                self._watchdog.stop()
                _wait_for_reader(peer)


def _send_some(peer: socket.socket, data: memoryview) -> int:
    """As much as there is room for.

    :raises OSError: the peer is gone.
    """
    try:
        return peer.send(data)
    except BlockingIOError:
        return 0


def _wait_for_reader(peer: socket.socket) -> None:
    """
    :raises OSError: it took too long.
    """
    poll = select.poll()
    poll.register(peer, select.POLLOUT)
    if not poll.poll(PEER_LIMIT_S * 1000):
        raise OSError("the peer stopped reading")
