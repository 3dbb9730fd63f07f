"""Passing requests on, to a real server on a Unix socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import orjson
import pytest
from aiohttp import web

from lakeserve.domain.errors import TemporarilyUnavailable
from lakeserve.http.body import ClientGone
from lakeserve.http.passing import Passage
from lakeserve.http.registry_headers import for_registry
from support.asgi_client import Exchange
from support.registry import short_folder

MIB = 1024 * 1024
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


class Behind:
    """The process behind: started on demand, and what it has been asked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[str] = []
        self._runner: web.AppRunner | None = None

    async def start(self, handler: Handler | None = None) -> None:
        async def counted(request: web.Request) -> web.StreamResponse:
            self.asked.append(f"{request.method} {request.raw_path}")
            return await (handler or _mirror)(request)

        app = web.Application(client_max_size=1024 * MIB)
        app.router.add_route("*", "/{path:.*}", counted)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.UnixSite(self._runner, str(self.path)).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()


async def _mirror(request: web.Request) -> web.Response:
    """What arrived."""
    body = await request.read()
    told = {
        "method": request.method,
        "path": request.raw_path,
        "headers": [[k.decode().lower(), v.decode("latin-1")] for k, v in request.raw_headers],
        "size": len(body),
        "body": body[:100].decode("latin-1"),
    }
    headers = {"X-Answer": "yes", "Keep-Alive": "timeout=5", "Set-Cookie": "a=b"}
    return web.Response(status=201, body=orjson.dumps(told), headers=headers, content_type="application/json")


@pytest.fixture
async def behind(folder: Path) -> AsyncIterator[Behind]:
    made = Behind(folder / "s.sock")
    yield made
    await made.stop()


@pytest.fixture
async def passage(folder: Path) -> AsyncIterator[Passage]:
    made = Passage("control plane", folder / "s.sock", wait_s=5.0)
    yield made
    await made.close()


async def test_passes_method_path_query_body_and_headers_as_they_came(behind: Behind, passage: Passage) -> None:
    await behind.start()
    sent = [
        (b"host", b"example:1"),
        (b"x-one", b"1"),
        (b"x-two", "zü".encode()),
        (b"content-length", b"5"),
        (b"accept-encoding", b"gzip"),
    ]
    it = await Exchange("PATCH", "/a%2Fb/%C3%BC?x=%20&y=a+b", sent, [b"he", b"llo"]).run(passage)
    told = it.json
    assert (it.status, it.ended) == (201, True)
    assert (told["method"], told["path"], told["body"]) == ("PATCH", "/a%2Fb/%C3%BC?x=%20&y=a+b", "hello")
    assert sorted(told["headers"]) == sorted([k.decode(), v.decode("latin-1")] for k, v in sent)
    assert it.header(b"x-answer") == b"yes"
    assert it.header(b"set-cookie") == b"a=b"


async def test_headers_of_one_connection_stay_on_it(behind: Behind, passage: Passage) -> None:
    await behind.start()
    sent = [
        (b"connection", b"close"),
        (b"te", b"trailers"),
        (b"upgrade", b"h2c"),
        (b"proxy-authorization", b"hush"),
        (b"x-kept", b"1"),
    ]
    it = await Exchange("GET", "/", sent).run(passage)
    names = {name for name, _ in it.json["headers"]}
    assert names == {"host", "x-kept"}
    assert it.header(b"keep-alive") is None
    assert it.header(b"transfer-encoding") is None


async def test_the_registry_sees_neither_credentials_nor_names_of_the_way(behind: Behind, folder: Path) -> None:
    await behind.start()
    passage = Passage("model registry", folder / "s.sock", wait_s=1.0, headers=for_registry)
    hidden = [b"authorization", b"cookie", b"origin", b"referer", b"forwarded", b"x-forwarded-host", b"x-forwarded-for"]
    hidden.append(b"x-lakeserve-base-url")
    it = await Exchange(
        "GET", "/", [(b"host", b"evil.example"), *((name, b"hush") for name in hidden), (b"x-kept", b"1")]
    ).run(passage)
    # The address by which the client came is in a header of our own alone: for URLs in answers.
    own = ["x-lakeserve-base-url", "http://evil.example"]
    assert sorted(it.json["headers"]) == [["host", "localhost"], ["x-kept", "1"], own]
    await passage.close()


async def test_what_is_added_is_in_the_answer(behind: Behind, passage: Passage) -> None:
    await behind.start()
    it = Exchange()
    it._messages = it._sent()
    await passage(it.scope, it._receive, it._send, [(b"x-extra", b"1")])
    assert it.header(b"x-extra") == b"1"


async def test_a_large_body_is_streamed_both_ways(behind: Behind, passage: Passage) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        async for chunk in request.content.iter_chunked(MIB):
            await response.write(chunk)
        return response

    await behind.start(echo)
    part = bytes(range(256)) * (MIB // 256)
    it = await Exchange("PUT", "/big", [(b"transfer-encoding", b"chunked")], [part] * 64).run(passage)
    assert it.body == part * 64
    assert max(map(len, it.pieces)) <= MIB


async def test_an_answer_comes_piece_by_piece(behind: Behind, passage: Passage) -> None:
    go = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await go.wait()
        await response.write(b"last")
        return response

    await behind.start(slow)
    it = Exchange("GET", "/slow")
    running = asyncio.create_task(it.run(passage))
    await asyncio.wait_for(it.first_piece.wait(), 5.0)
    assert it.body == b"first"
    go.set()
    await running
    assert it.body == b"firstlast"


async def test_nothing_is_decoded_or_followed(behind: Behind, passage: Passage) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(
            status=307, body=b"\x1f\x8bnot really", headers={"Location": "/else", "Content-Encoding": "gzip"}
        )

    await behind.start(answer)
    it = await Exchange("GET", "/").run(passage)
    assert (it.status, it.body, it.header(b"location")) == (307, b"\x1f\x8bnot really", b"/else")
    assert len(behind.asked) == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_process_that_is_still_starting_is_waited_for(behind: Behind, passage: Passage, method: str) -> None:
    headers = [(b"content-length", b"2")] if method == "POST" else []
    running = asyncio.create_task(Exchange(method, "/", headers, [b"{}"] if headers else ()).run(passage))
    assert not await passage.reachable()
    await behind.start()
    it = await running
    assert it.status == 201
    assert it.json["size"] == (2 if headers else 0)
    assert await passage.reachable()


async def test_one_that_does_not_come_is_told(folder: Path) -> None:
    passage = Passage("model registry", folder / "none.sock", wait_s=0.2)
    with pytest.raises(TemporarilyUnavailable, match="model registry"):
        await Exchange().run(passage)
    await passage.close()


async def drop(request: web.Request) -> web.StreamResponse:
    """Takes the request, and goes away without an answer."""
    assert request.transport is not None
    request.transport.abort()
    raise asyncio.CancelledError


@pytest.mark.parametrize(("method", "parts"), [("POST", [b"{}"]), ("POST", []), ("PATCH", [b"{}"])])
async def test_a_change_that_may_have_been_made_is_not_asked_for_again(
    behind: Behind, passage: Passage, method: str, parts: list[bytes]
) -> None:
    await behind.start(drop)
    headers = [(b"content-length", b"2")] if parts else []
    with pytest.raises(TemporarilyUnavailable, match="control plane"):
        await Exchange(method, "/x", headers, parts).run(passage)
    assert behind.asked == [f"{method} /x"]


async def test_a_question_is_asked_again(behind: Behind, passage: Passage) -> None:
    async def second_time(request: web.Request) -> web.StreamResponse:
        return await (drop(request) if len(behind.asked) < 3 else _mirror(request))

    await behind.start(second_time)
    assert (await Exchange("GET", "/x").run(passage)).status == 201


async def test_a_client_that_leaves_in_its_body_is_no_failure_of_the_process_behind(
    behind: Behind, passage: Passage
) -> None:
    await behind.start()
    with pytest.raises(ClientGone):
        await Exchange("PUT", "/", [(b"content-length", b"100")], [b"half"], leaves=True).run(passage)


async def test_an_answer_that_breaks_off_is_never_taken_for_a_whole_one(behind: Behind, passage: Passage) -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.close()
        return response

    await behind.start(half)
    it = Exchange()
    with pytest.raises(Exception, match=r"payload|ClientPayloadError|[Nn]ot enough data"):
        await it.run(passage)
    assert it.body == b"half"
    assert not it.ended
