"""Where the gateway sends each request, and what it answers by itself: over fake workers, and real servers behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from lakeserve.adapters.local.clock import SystemClock
from lakeserve.domain.principal import token_digest
from lakeserve.domain.routing import RoutingTable
from lakeserve.gateway.plane import DataPlane, PlaneLimits
from lakeserve.http.gateway import GatewayApp
from lakeserve.http.passing import Passage
from lakeserve.ports.upstream import UpstreamLost
from lakeserve.settings import Limits
from support.asgi_client import Exchange
from support.clock import settle
from support.fakes import ADA, FakeWorkers, an_entity_route, routes_of
from support.registry import short_folder

TOKEN = (b"authorization", b"Bearer dapi1")
JSON = (b"content-type", b"application/json; charset=utf-8")
INVOKE = "/serving-endpoints/wine/invocations"
LIMIT_S = 10.0


class Gateway:
    def __init__(self, folder: Path) -> None:
        self.workers = FakeWorkers("w")
        self.plane = DataPlane(self.workers, PlaneLimits(60.0, 60.0, 60.0, 4), SystemClock())
        self.synced = asyncio.Event()
        self.passages = {name: Passage(name, folder / f"{name}.sock", wait_s=0.1) for name in ("control", "registry")}
        self.app = GatewayApp(
            self.plane,
            **self.passages,  # type: ignore[arg-type]
            limits=Limits(request_bytes=1_000),
            workspace_id="17",
            synced=self.synced,
        )
        self._runners: list[web.AppRunner] = []
        self._folder = folder

    async def start(self) -> None:
        """Both processes behind answer with their name."""
        for name in self.passages:
            app = web.Application()

            async def answer(request: web.Request, name: str = name) -> web.Response:
                return web.Response(text=name)

            app.router.add_route("*", "/{path:.*}", answer)
            self._runners.append(web.AppRunner(app, shutdown_timeout=0.1))
            await self._runners[-1].setup()
            await web.UnixSite(self._runners[-1], str(self._folder / f"{name}.sock")).start()
        wine = routes_of("wine", [an_entity_route("wine-3", "w"), an_entity_route("wine-4", percentage=0)])
        self.plane.use(RoutingTable({"wine": wine}, {token_digest("dapi1"): ADA}))
        self.synced.set()
        await settle()

    async def stop(self) -> None:
        for runner in self._runners:
            await runner.cleanup()
        for passage in self.passages.values():
            await passage.close()
        self.plane.use(RoutingTable())
        await settle()

    async def ask(self, method: str, target: str, *headers: tuple[bytes, bytes], parts: Any = ()) -> Exchange:
        return await Exchange(method, target, list(headers), parts).run(self.app)

    def invokes(self, **options: Any) -> tuple[Exchange, asyncio.Task[Exchange]]:
        it = Exchange("POST", INVOKE, [TOKEN, JSON], [b"{}"], **options)
        return it, asyncio.create_task(it.run(self.app))


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    with short_folder() as folder:
        made = Gateway(folder)
        await made.start()
        yield made
        await made.stop()


@pytest.mark.parametrize(
    ("target", "to"),
    [
        ("/api/2.0/serving-endpoints", "control"),
        ("/api/2.0/serving-endpoints/wine", "control"),
        ("/api/2.0/preview/scim/v2/Me", "control"),
        ("/serving-endpoints/wine/openapi", "control"),
        ("/.well-known/databricks-config", "control"),
        ("/graphqlx", "control"),
        ("/api/2.0/mlflow/runs/create", "registry"),
        ("/api/2.0/mlflow-artifacts/artifacts/x", "registry"),
        ("/api/3.0/mlflow/traces", "registry"),
        ("/ajax-api/2.0/mlflow/runs/search", "registry"),
        ("/static-files/main.js", "registry"),
        ("/get-artifact?path=x", "registry"),
        ("/version", "registry"),
        ("/v1/traces", "registry"),
        ("/api/2.0/fs/files/Volumes/a/b/c/d", "registry"),
    ],
)
async def test_who_answers(gateway: Gateway, target: str, to: str) -> None:
    it = await gateway.ask("GET", target, TOKEN)
    assert (it.status, it.body.decode()) == (200, to)


async def test_questions_in_graphql_go_to_the_registry(gateway: Gateway) -> None:
    it = await gateway.ask("POST", "/graphql", TOKEN, (b"content-length", b"2"), parts=[b"{}"])
    assert (it.status, it.body) == (200, b"registry")


async def test_a_signed_url_needs_no_token(gateway: Gateway) -> None:
    """Its signature is the registry's to check; only exactly its route gets past."""
    it = await gateway.ask("GET", "/api/2.0/fs-signed/x")
    assert (it.status, it.body) == (200, b"registry")
    assert (await gateway.ask("GET", "/api/2.0/fs/x")).status == 401
    assert (await gateway.ask("GET", "/api/2.0/fs-signed/../mlflow/runs/search")).status == 400


@pytest.mark.parametrize("target", ["/api/2.0/mlflow/runs/create", "/graphql", "/ajax-api/x", "/get-artifact", INVOKE])
async def test_nobody_gets_to_a_model_or_the_registry_without_a_token(gateway: Gateway, target: str) -> None:
    for headers in ([], [(b"authorization", b"Bearer wrong")]):
        it = await gateway.ask("POST", target, *headers)
        assert (it.status, it.json["error_code"]) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("target", ["/_lakeserve", "/_lakeserve/health", "/%5flakeserve/health", "/_lakeserve/"])
async def test_internal_routes_are_not_there(gateway: Gateway, target: str) -> None:
    it = await gateway.ask("GET", target, TOKEN)
    assert (it.status, it.json["error_code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    "target", ["/a/../_lakeserve/health", "/a/%2e%2e/api/2.0/mlflow/x", "//graphql", "/%00", "/a%5cb"]
)
async def test_paths_that_could_be_read_differently_are_refused(gateway: Gateway, target: str) -> None:
    it = await gateway.ask("GET", target, TOKEN)
    assert (it.status, it.json["error_code"]) == (400, "BAD_REQUEST")


async def test_probes_need_no_token(gateway: Gateway) -> None:
    assert (await gateway.ask("GET", "/health")).json == {"status": "ok"}
    ready = await gateway.ask("GET", "/ready")
    assert (ready.status, ready.json["parts"]) == (200, {"gateway": True, "controller": True, "registry": True})


async def test_not_ready_before_the_table_has_come(gateway: Gateway) -> None:
    gateway.synced.clear()
    assert (await gateway.ask("GET", "/ready")).status == 503
    assert (await gateway.ask("GET", "/health")).status == 200


async def test_an_invocation_goes_to_a_worker_and_back(gateway: Gateway) -> None:
    it, running = gateway.invokes()
    await settle()
    gateway.workers["w"].reply(200, b'{"predictions":[1]}')
    await asyncio.wait_for(running, LIMIT_S)
    assert (it.status, it.body) == (200, b'{"predictions":[1]}')
    assert it.header(b"served-model-name") == b"wine-3"
    assert it.header(b"x-databricks-request-id") == it.header(b"databricks-request-id")
    assert gateway.workers["w"].asked == [b"{}"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS"])
async def test_only_post_invokes(gateway: Gateway, method: str) -> None:
    it = await gateway.ask(method, INVOKE, TOKEN)
    assert it.status == 405


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/serving-endpoints/tea/invocations", 404, "ENDPOINT_NOT_FOUND"),
        ("/serving-endpoints/wine/served-models/none/invocations", 404, "ENDPOINT_NOT_FOUND"),
        ("/serving-endpoints/WINE/invocations", 404, "ENDPOINT_NOT_FOUND"),
    ],
)
async def test_refusals_of_the_data_plane(gateway: Gateway, target: str, status: int, code: str) -> None:
    it = await gateway.ask("POST", target, TOKEN, parts=[b"{}"])
    assert (it.status, it.json["error_code"]) == (status, code)
    assert it.header(b"x-databricks-request-id")


async def test_a_body_over_the_limit_reaches_no_worker(gateway: Gateway) -> None:
    declared = await gateway.ask("POST", INVOKE, TOKEN, (b"content-length", b"1001"), parts=[b"x"])
    chunked = await gateway.ask("POST", INVOKE, TOKEN, (b"transfer-encoding", b"chunked"), parts=[b"x" * 501] * 3)
    assert [declared.status, chunked.status] == [413, 413]
    assert gateway.workers["w"].asked == []
    assert gateway.app._bodies.free == Limits().body_buffer_bytes


async def test_a_client_that_leaves_before_its_body_is_whole_gets_and_costs_nothing(gateway: Gateway) -> None:
    it, running = gateway.invokes(leaves=True)
    it.parts = ()
    await asyncio.wait_for(running, LIMIT_S)
    assert it.status == 0
    assert gateway.workers["w"].asked == []
    assert gateway.app._bodies.free == Limits().body_buffer_bytes


async def test_with_the_processes_behind_gone_models_still_answer(gateway: Gateway) -> None:
    for runner in gateway._runners:
        await runner.cleanup()
    it, running = gateway.invokes()
    await settle()
    gateway.workers["w"].reply()
    await asyncio.wait_for(running, LIMIT_S)
    assert it.status == 200
    told = await gateway.ask("GET", "/api/2.0/serving-endpoints", TOKEN)
    assert (told.status, told.json["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")


async def test_an_error_of_ours_is_told_without_its_details(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    _, running = gateway.invokes()
    await settle()
    answers = gateway.workers["w"].answers
    assert answers is not None
    answers.set_exception(ZeroDivisionError("secret detail"))
    it = await asyncio.wait_for(running, LIMIT_S)
    assert (it.status, it.json["error_code"]) == (500, "INTERNAL_ERROR")
    assert b"secret" not in it.body
    assert "secret detail" in caplog.text


async def test_while_draining_every_answer_closes_its_connection(gateway: Gateway) -> None:
    assert (await gateway.ask("GET", "/health")).header(b"connection") is None
    gateway.app.drain()
    for target in ("/health", "/api/2.0/serving-endpoints", "/graphql"):
        assert (await gateway.ask("GET", target, TOKEN)).header(b"connection") == b"close"


# Streams


async def test_a_stream_is_relayed_and_its_worker_serves_the_next(gateway: Gateway) -> None:
    it, running = gateway.invokes()
    await settle()
    stream = gateway.workers["w"].stream()
    stream.put(b"data: 1\n\n")
    await asyncio.wait_for(it.first_piece.wait(), LIMIT_S)
    assert (it.status, it.header(b"content-type")) == (200, b"text/event-stream; charset=utf-8")
    assert it.header(b"content-length") is None
    stream.put(b"data: [DONE]\n\n")
    stream.put(None)
    await asyncio.wait_for(running, LIMIT_S)
    assert (it.body, it.ended) == (b"data: 1\n\ndata: [DONE]\n\n", True)
    await settle()
    assert not stream.cancelled
    _, after = gateway.invokes()
    await settle()
    await settle()
    gateway.workers["w"].reply()
    assert (await asyncio.wait_for(after, LIMIT_S)).status == 200
    assert len(gateway.workers.made) == 1, "over the same connection"


async def test_a_stream_whose_worker_dies_ends_with_an_event_that_says_so(gateway: Gateway) -> None:
    it, running = gateway.invokes()
    await settle()
    stream = gateway.workers["w"].stream()
    stream.put(b"data: 1\n\n")
    stream.put(UpstreamLost())
    await asyncio.wait_for(running, LIMIT_S)
    assert it.ended
    assert b'"error"' in it.pieces[1]


async def test_a_client_that_leaves_its_stream_frees_the_worker(gateway: Gateway) -> None:
    it = Exchange("POST", INVOKE, [TOKEN, JSON], [b"{}"])
    gone = asyncio.Event()
    original = it._receive

    async def receive() -> dict[str, Any]:
        if it._messages:
            return await original()
        await gone.wait()
        return {"type": "http.disconnect"}

    it._receive = receive  # type: ignore[method-assign]
    running = asyncio.create_task(it.run(gateway.app))
    await settle()
    stream = gateway.workers["w"].stream()
    stream.put(b"data: 1\n\n")
    await asyncio.wait_for(it.first_piece.wait(), LIMIT_S)
    gone.set()
    await asyncio.wait_for(running, LIMIT_S)
    assert stream.cancelled
    usage = gateway.plane.meter.of(("id-wine", "wine-3"))
    assert (usage.in_flight, usage.client_errors, usage.server_errors) == (0, 1, 0)


async def test_a_stream_whose_head_cannot_be_sent_frees_the_worker(gateway: Gateway) -> None:
    it = Exchange("POST", INVOKE, [TOKEN, JSON], [b"{}"])

    async def send(message: Any) -> None:
        raise OSError("the connection is broken")

    it._send = send  # type: ignore[method-assign]
    running = asyncio.create_task(it.run(gateway.app))
    await settle()
    stream = gateway.workers["w"].stream()
    await asyncio.wait({running}, timeout=LIMIT_S)
    assert running.done()
    assert stream.cancelled
    assert gateway.plane.meter.of(("id-wine", "wine-3")).in_flight == 0
