"""A server that ends without cutting anybody off.

A client that keeps its connection open may send its next request at the very moment that an idle connection is closed. So the
end has two phases: first no new connections are taken and every answer says ``Connection: close``, which moves busy clients
elsewhere; then what is still idle is closed, and what is in flight is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import FrameType

import uvicorn

_FIRST_PHASE_S = 1.0


class DrainingServer(uvicorn.Server):
    """``on_drain`` is called when the first phase begins: from then on answers must ask for their connection to be closed."""

    def __init__(self, config: uvicorn.Config, on_drain: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_drain = on_drain
        self._draining = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._draining or not self.server_state.connections:
            super().handle_exit(sig, frame)
            return
        self._draining = True
        self._on_drain()
        loop = asyncio.get_event_loop()
        for server in self.servers:
            loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.call_later, _FIRST_PHASE_S, super().handle_exit, sig, frame)
