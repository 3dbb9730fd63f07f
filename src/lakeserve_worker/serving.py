"""The serving loop: several connections, one request at a time.

Everything happens in the one thread of the process, because that is what most models' libraries expect, and because a unit
of concurrency is a process. Between requests the loop waits in ``select``; a connection's bytes are collected there until
they make a whole frame, so a peer that stalls in mid-frame delays nobody.

A request that runs longer than the limit ends the process, even one stuck in native code that holds the interpreter's lock:
``faulthandler``'s watchdog is a native thread. Arming and disarming it costs about 15 µs.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import selectors
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from lakeserve_worker import process, protocol

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
        self._limit_s = limit_s
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
            for key, _ in self._selector.select():
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
        peer.settimeout(PEER_LIMIT_S)
        try:
            peer.sendall(self._hello)
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
        self._arm(self._limit_s)
        answer = self._scorer.score(request.head.get("content_type", ""), request.body)
        faulthandler.cancel_dump_traceback_later()
        if answer.events is None:
            _send_answer(peer, answer)
        else:
            self._relay(peer, answer.events, self._limit_s - (time.monotonic() - began))

    def _arm(self, seconds: float) -> None:
        faulthandler.dump_traceback_later(max(seconds, 0.001), exit=True, file=2)

    def _relay(self, peer: socket.socket, stream: Stream, left_s: float) -> None:
        """The limit counts what the model takes, not what the peer takes to read.

        :raises OSError: the peer is gone, or does not read.
        """
        try:
            while True:
                began = time.monotonic()
                self._arm(left_s)
                event = next(stream, None)
                faulthandler.cancel_dump_traceback_later()
                left_s -= time.monotonic() - began
                if event is None:
                    break
                _send(peer, protocol.encode(protocol.CHUNK, None, event))
            _send(peer, protocol.encode(protocol.END, {"predict_ms": stream.predict_ms}))
        finally:
            # A stream that was cut short ends in the model's own code: its ``finally`` runs, within the limit.
            self._arm(left_s)
            stream.close()
            faulthandler.cancel_dump_traceback_later()


def _send_answer(peer: socket.socket, answer: Answer) -> None:
    head = b'{"status":%d,"content_type":"%s","predict_ms":%.3f}' % (
        answer.status,
        answer.content_type.encode(),
        answer.predict_ms,
    )
    start = protocol.encode_head(protocol.RESPONSE, head, len(answer.body))
    if len(answer.body) <= _SMALL:
        _send(peer, start + answer.body)
    else:
        _send(peer, start)
        _send(peer, answer.body)


def _send(peer: socket.socket, data: bytes) -> None:
    """Unlike ``sendall``, whose time limit is for the whole, this gives up only on a peer that stopped reading.

    :raises OSError: the peer is gone, or does not read.
    """
    sent = peer.send(data)
    if sent < len(data):
        rest = memoryview(data)[sent:]
        while rest:
            rest = rest[peer.send(rest) :]
