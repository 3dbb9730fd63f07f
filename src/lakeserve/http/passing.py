"""Passing a request on to another process of ours, over its Unix socket, both bodies streamed.

What is passed on is what the guard has seen. Headers that belong to one connection stay on it. A process that is just starting is
waited for; a request that may have reached one that then went away is not sent a second time, unless it only asks.
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
# Each server dates its answers, the gateway's too.
_NOT_PASSED_BACK = _HOP_BY_HOP | {b"date"}
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
            headers = [(k.lower(), v) for k, v in response.raw_headers if k.lower() not in _NOT_PASSED_BACK]
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
                    headers=[(_text(k), _text(v)) for k, v in headers],
                    data=body if body.expected else None,
                    allow_redirects=False,
                )
            except aiohttp.ClientError as error:
                if body.gone:
                    raise ClientGone from None
                if body.begun or not self._may_repeat(scope, error) or asyncio.get_running_loop().time() > deadline:
                    raise TemporarilyUnavailable(f"The {self._name} is not available at the moment.") from None
                await asyncio.sleep(_RETRY_S)

    def _may_repeat(self, scope: Scope, error: aiohttp.ClientError) -> bool:
        """What was never sent, and what only asks. Anything else may have been acted on before the connection was lost."""
        return isinstance(error, aiohttp.ClientConnectorError) or scope["method"] in ("GET", "HEAD")


def _text(value: bytes) -> str:
    """As aiohttp, which sends headers in UTF-8, must get it for the same bytes to arrive; older encodings arrive in UTF-8."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


class _Body:
    """The request's body as it comes; ``begun`` once any of it was taken, ``gone`` when the client left before its end."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        names = {name for name, _ in scope["headers"]}
        self.expected = b"content-length" in names or b"transfer-encoding" in names
        self.begun = False
        self.gone = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun = True
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.gone = True
                raise ClientGone
            if part := message.get("body", b""):
                yield part
            if not message.get("more_body", False):
                return
