"""Calls an ASGI application as a server would: a scope, what the client sends, and what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import orjson

from lakeserve.http.asgi import App, Header


@dataclass
class Exchange:
    """One request. ``parts`` are its body; ``leaves`` makes the client go before the body's end, or after it."""

    method: str = "GET"
    target: str = "/"
    headers: list[Header] = field(default_factory=list)
    parts: Iterable[bytes] = ()
    leaves: bool = False
    status: int = 0
    answer_headers: list[Header] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    ended: bool = False
    first_piece: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def scope(self) -> dict[str, Any]:
        path, _, query = self.target.partition("?")
        headers = self.headers
        if not any(name == b"host" for name, _ in headers):
            headers = [(b"host", b"localhost"), *headers]
        return {
            "type": "http", "method": self.method, "path": unquote(path), "raw_path": path.encode(),
            "query_string": query.encode(), "headers": headers,
        }  # fmt: skip

    async def run(self, app: App) -> Exchange:
        self._messages = self._sent()
        await app(self.scope, self._receive, self._send)
        return self

    def _sent(self) -> list[dict[str, Any]]:
        parts = list(self.parts)
        messages = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        if not self.leaves:
            if not messages:
                messages = [{"type": "http.request", "body": b""}]
            messages[-1]["more_body"] = False
        return messages

    async def _receive(self) -> dict[str, Any]:
        if self._messages:
            return self._messages.pop(0)
        if not self.leaves:
            await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            assert not self.status, "two answers"
            self.status, self.answer_headers = message["status"], list(message["headers"])
            return
        self.pieces.append(message.get("body", b""))
        self.first_piece.set()
        self.ended = not message.get("more_body", False)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    def header(self, name: bytes) -> bytes | None:
        return dict(self.answer_headers).get(name)
