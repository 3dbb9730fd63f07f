"""Passing a request on to another process of ours, over its Unix socket, both bodies streamed.

What is passed on is what the guard has seen. Headers that belong to one connection stay on it. A process that is just starting is
waited for, as long as nothing of the request's body has been read.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
from yarl import URL

from lakeserve.domain.errors import TemporarilyUnavailable
from lakeserve.http.asgi import Header, Receive, Scope, Send
from lakeserve.http.body import ClientGone

_HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
_RETRY_S = 0.1
_CHUNK = 256 * 1024

HeaderFilter = Callable[[list[Header]], list[Header]]


class Passage:
    """``name`` is for messages; ``wait_s`` is how long a process that does not listen yet is waited for, and ``answer_s`` one that
    listens and says nothing."""

    def __init__(
        self,
        name: str,
        socket: Path,
        *,
        wait_s: float,
        answer_s: float | None = None,
        headers: HeaderFilter | None = None,
    ) -> None:
        self._name = name
        self._wait_s = wait_s
        self._headers = headers or list
        self._session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(socket), limit=0),
            timeout=aiohttp.ClientTimeout(total=None, sock_read=answer_s),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        await self._session.close()

    async def reachable(self) -> bool:
        """Whether something listens there now."""
        try:
            async with self._session.head("http://localhost/_lakeserve/health", timeout=aiohttp.ClientTimeout(total=2)):
                return True
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def __call__(self, scope: Scope, receive: Receive, send: Send, extra: list[Header] | None = None) -> None:
        """
        :raises TemporarilyUnavailable: the process is not there, or went away before it answered.
        :raises ClientGone: the client left while its body was being read.
        """
        body = _Body(scope, receive)
        async with await self._open(scope, body) as response:
            headers = [(k.lower(), v) for k, v in response.raw_headers if k.lower() not in _HOP_BY_HOP]
            await send(
                {"type": "http.response.start", "status": response.status, "headers": [*headers, *(extra or ())]}
            )
            async for chunk in response.content.iter_chunked(_CHUNK):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})

    async def _open(self, scope: Scope, body: _Body) -> aiohttp.ClientResponse:
        deadline = asyncio.get_running_loop().time() + self._wait_s
        path = scope["raw_path"].decode("ascii")
        query = scope["query_string"].decode("ascii")
        url = URL(f"http://localhost{path}{'?' + query if query else ''}", encoded=True)
        headers = self._headers([(k, v) for k, v in scope["headers"] if k not in _HOP_BY_HOP])
        while True:
            try:
                return await self._session.request(
                    scope["method"],
                    url,
                    headers=[(k.decode("latin-1"), v.decode("latin-1")) for k, v in headers],
                    data=body if body.expected else None,
                    allow_redirects=False,
                )
            except ClientGone:
                raise
            except aiohttp.ClientError:
                if body.begun or asyncio.get_running_loop().time() > deadline:
                    raise TemporarilyUnavailable(f"The {self._name} is not available at the moment.") from None
                await asyncio.sleep(_RETRY_S)


class _Body:
    """The request's body as it comes; ``begun`` once any of it was taken."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        names = {name for name, _ in scope["headers"]}
        self.expected = b"content-length" in names or b"transfer-encoding" in names
        self.begun = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun = True
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            if part := message.get("body", b""):
                yield part
            if not message.get("more_body", False):
                return
