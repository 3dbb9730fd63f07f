"""The public listener's own manners, on top of uvicorn's protocol and its strict parser.

uvicorn bounds neither how large a request's head may grow nor how long it may take to arrive, answers what its parser refuses with
plain text, and may write that into the middle of an answer that has begun. Here a head has a size and a time, a refusal is the
documented JSON object, and a connection whose answer has begun is cut instead.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lakeserve.domain.errors import BadRequest, LakeserveError, RequestTimeout
from lakeserve.wire.databricks.errors import render_error

_REASONS = {400: b"Bad Request", 408: b"Request Timeout"}


class BoundedProtocol(HttpToolsProtocol):
    """``head_bytes`` bounds request line and headers together, ``head_s`` is the longest time for them to arrive."""

    head_bytes = 0
    head_s = 0.0

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._in_head = False
        self._received = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._in_head:
            # A chunk that ends inside a head can hold the end of the request before it: that much is allowed on top.
            self._received += len(data)
            if self._received > self.head_bytes:
                self._refuse(BadRequest("The request's headers are too large."))
        if not self._answering and self.timeout_keep_alive_task is None:
            self._arm()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._received = 0

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._disarm()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(BadRequest("The request is not valid HTTP."))

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade that is not known is ignored, as HTTP has it; uvicorn would advise to install a library."""

    @property
    def _answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def _arm(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self.head_s, self._too_slow)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self._answering:
            self._arm()  # half a request that came along with the one being answered; its turn comes
        elif self._in_head:
            self._refuse(RequestTimeout(f"The request's headers did not arrive within {self.head_s:.0f} s."))
        else:
            self.transport.close()

    def _refuse(self, error: LakeserveError) -> None:
        """Answer if nothing of another answer is on its way, and close in any case: what follows cannot be told apart."""
        begun = False
        if self._answering:
            # In a head, the answer under way is to the request before; elsewhere, to the one that is refused.
            begun = self.cycle.response_started or self._in_head
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not begun:
            status, body, _ = render_error(error)
            content = orjson.dumps(body)
            self.transport.write(
                b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
                % (status, _REASONS[status], len(content), content)
            )
        self.transport.close()


def bounded(*, head_bytes: int, head_s: float) -> type[BoundedProtocol]:
    """The protocol with these bounds: bytes, and seconds."""
    return type("Bounded", (BoundedProtocol,), {"head_bytes": head_bytes, "head_s": head_s})
