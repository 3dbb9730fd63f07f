"""The one reader of request bodies: bounded, and never taking a cut body for a whole one."""

from __future__ import annotations

from lakeserve.domain.errors import BadRequest, PayloadTooLarge
from lakeserve.http.asgi import Receive, Scope, header


class ClientGone(Exception):
    """The client closed its connection; nobody is there to answer."""


def check_length(scope: Scope, limit: int) -> None:
    """
    :raises PayloadTooLarge: the declared length is over the limit. Nothing of the body has been read then.
    """
    declared = header(scope, b"content-length")
    # The parser has let only digits through.
    if declared is not None and int(declared) > limit:
        raise PayloadTooLarge(limit)


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body.

    :raises PayloadTooLarge: it is longer than ``limit`` bytes; reading stops there.
    :raises BadRequest: it is compressed, which no documented client does and a limit on its length would not bound.
    :raises ClientGone: the connection ended before the body did.
    """
    encoding = header(scope, b"content-encoding")
    if encoding is not None and encoding.strip().lower() not in (b"", b"identity"):
        raise BadRequest("Compressed request bodies are not supported; send the body without Content-Encoding.")
    check_length(scope, limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise PayloadTooLarge(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)
