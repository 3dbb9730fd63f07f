"""The one reader of request bodies: bounded, and never taking a cut body for a whole one.

What a gateway holds of all bodies together is bounded, too (:class:`ByteBudget`): a request takes its share before its body
is read and gives it back with its answer. One that finds no room waits, unread, so that the client's own socket holds it up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lakeserve.domain.errors import BadRequest, PayloadTooLarge, TemporarilyUnavailable
from lakeserve.http.asgi import Receive, Scope, header


class ClientGone(Exception):
    """The client closed its connection; nobody is there to answer."""


class ByteBudget:
    """``total`` bytes, given out first come first served. A request for more than all of it gets all of it."""

    def __init__(self, total: int, wait_s: float) -> None:
        self._total = total
        self._free = total
        self._wait_s = wait_s
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def free(self) -> int:
        return self._free

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """
        :raises TemporarilyUnavailable: no room within the time to wait.
        """
        size = min(size, self._total)
        await self._take(size)
        try:
            yield
        finally:
            self._free += size
            self._hand_out()

    async def _take(self, size: int) -> None:
        if not self._waiting and size <= self._free:
            self._free -= size
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (size, granted)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(self._wait_s):
                await granted
        except BaseException as error:
            if granted.done() and not granted.cancelled():
                self._free += size  # granted in the very moment that the wait ended
            elif entry in self._waiting:
                self._waiting.remove(entry)
            self._hand_out()
            if isinstance(error, TimeoutError):
                raise TemporarilyUnavailable("Too many large requests at the same time.") from None
            raise

    def _hand_out(self) -> None:
        while self._waiting and self._waiting[0][0] <= self._free:
            size, granted = self._waiting.popleft()
            if not granted.done():
                self._free -= size
                granted.set_result(None)


def expected_size(scope: Scope, limit: int) -> int:
    """How large the body may become: its declared length, or the limit when it comes in chunks.

    :raises PayloadTooLarge: the declared length is over the limit.
    """
    check_length(scope, limit)
    declared = header(scope, b"content-length")
    if declared is not None:
        return int(declared)
    return limit if header(scope, b"transfer-encoding") is not None else 0


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
