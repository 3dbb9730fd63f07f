"""Frames between a gateway (or the controller) and a model worker, and the lines between the controller and a zygote.

A frame is  ``length:u32 | kind:u8 | head_length:u32 | head | body``  in network byte order, where ``length`` counts
everything after itself, ``head`` is a UTF-8 JSON object, and ``body`` is opaque bytes.

A connection begins with one HELLO from the worker, sent when the model has been loaded (so that waiting for it is waiting
for readiness), or one FAILED, after which the worker ends. Then the peer sends one REQUEST at a time and reads its answer:
either one RESPONSE, or CHUNK … CHUNK END for a stream. A worker serves its connections in turn, one request at a time.
A peer that closes its connection in mid-stream cancels the stream.

A worker that got SIGTERM stops listening (who has connected by then is still served), answers what it holds and what its
open connections still send, and ends when the last connection is closed; peers close theirs when the routing table no longer
names the worker. While it loads, SIGTERM ends it at once.

It ends with status 0 after that; 3 when the model could not be loaded (after telling it to those who wait, for at most 10
seconds); 5 when its supervisor was gone at its start; and in every other way that a model's code can end a process.

======== ================= ======================================================================================
kind     direction         head
======== ================= ======================================================================================
HELLO    worker → peer     worker_id, pid, streamable (bool), task (str or null)
FAILED   worker → peer     message: one sentence on why the model could not be loaded
REQUEST  peer → worker     content_type (str, "" when absent), request_id; body is the client's, byte for byte
RESPONSE worker → peer     status, content_type, predict_ms (float); body is the answer's
CHUNK    worker → peer     (empty head) body is the bytes to relay: whole SSE events. Sending the first one means 200
END      worker → peer     predict_ms (float)
======== ================= ======================================================================================

Zygote lines are JSON objects, one per line, over the zygote's control socket:

``{"fork": WORKER_SPEC}`` → ``{"pid": N}`` or ``{"error": "…"}``. The worker's socket is bound and listening when the answer comes.
``{"info": true}``        → ``{"pid": N, "fork_safe": bool, "reason": "…"}``. Sent when the preloading is done.

``{"learn": true}`` → as for ``info``, after importing what the preload file lists by now: a worker has added what its model needed.

WORKER_SPEC, a JSON object, is also what an exec-started worker reads from standard input, as one line:

``worker_id``, ``socket`` (path to listen on), ``model_path``, ``endpoint_name``, ``entity_name``,
``environment`` (object: variables to set), ``log_file`` (path, appended to), ``execution_limit_s`` (a request that runs longer
ends the worker), ``preload_file`` (path where the modules that the model imported are remembered), ``supervisor_pid`` (the
worker ends when that process does).

This module is imported by the server and by the worker, and keeps to Python 3.8.
"""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple

HELLO = 0
FAILED = 1
REQUEST = 2
RESPONSE = 3
CHUNK = 4
END = 5

WORKER_VARIABLE = "LAKESERVE_WORKER"
"""Holds the worker's id in its own environment, and so in that of every program that the model starts."""

MAX_FRAME = 256 * 1024 * 1024
"""A frame longer than this is a broken peer, not a large answer."""

_PREFIX = struct.Struct("!IBI")
PREFIX_SIZE = _PREFIX.size
_AFTER_LENGTH = PREFIX_SIZE - 4


class ProtocolError(Exception):
    """The peer does not speak this protocol."""


class Frame(NamedTuple):
    kind: int
    head: dict[str, Any]
    body: bytes


def encode(kind: int, head: dict[str, Any] | None = None, body: bytes = b"") -> bytes:
    """The bytes of one frame."""
    return encode_head(kind, json.dumps(head).encode() if head else b"", len(body)) + body


def encode_head(kind: int, head: bytes, body_length: int) -> bytes:
    """Everything of a frame but its body, for callers that send a large body without copying it."""
    return _PREFIX.pack(_AFTER_LENGTH + len(head) + body_length, kind, len(head)) + head


def decode_prefix(data: bytes | bytearray) -> tuple[int, int, int]:
    """``(kind, head_length, body_length)`` of the frame that begins with these ``PREFIX_SIZE`` bytes.

    :raises ProtocolError: lengths that no peer of ours sends.
    """
    length, kind, head_length = _PREFIX.unpack_from(data)
    body_length = length - _AFTER_LENGTH - head_length
    if length > MAX_FRAME or body_length < 0 or kind > END:
        raise ProtocolError("not a frame")
    return kind, head_length, body_length


def decode_head(data: bytes) -> dict[str, Any]:
    """
    :raises ProtocolError: not a JSON object.
    """
    if not data:
        return {}
    try:
        head = json.loads(data)
    except ValueError as error:
        raise ProtocolError("a frame's head is not JSON") from error
    if not isinstance(head, dict):
        raise ProtocolError("a frame's head is not an object")
    return head
