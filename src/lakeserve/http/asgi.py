"""ASGI's shapes, and the few answers that every application of ours gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import orjson

from lakeserve.domain.errors import LakeserveError
from lakeserve.wire.databricks.errors import render_error

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

Header = tuple[bytes, bytes]


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of that lower-case name."""
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


async def send_bytes(
    send: Send, status: int, content_type: bytes, body: bytes, headers: list[Header] | None = None
) -> None:
    start = [(b"content-type", content_type), (b"content-length", str(len(body)).encode()), *(headers or ())]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, status: int, value: Any, headers: list[Header] | None = None) -> None:
    await send_bytes(send, status, b"application/json", orjson.dumps(value), headers)


async def send_error(send: Send, error: LakeserveError, headers: list[Header] | None = None) -> None:
    status, body, extra = render_error(error)
    await send_json(send, status, body, [*(headers or ()), *encode_headers(extra)])


def encode_headers(headers: Mapping[str, str]) -> list[Header]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
