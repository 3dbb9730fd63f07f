"""The registry's client against the real ASGI app with a made-up source, over a real Unix socket."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
import uvicorn

from lakeserve.adapters.mlflow.answers import Refused, does_not_exist, unavailable, unusable, without_credentials
from lakeserve.adapters.mlflow.client import RegistryModels
from lakeserve.adapters.mlflow.registry_app import RegistryApp
from lakeserve.ports.models import ModelNotFound, ModelUnusable, ModelVersion, RegistryUnavailable

MLMODEL = "flavors: {python_function: {loader_module: x}}\n"


class MadeUp:
    """A source of one model. ``refusal`` makes it fail, ``content`` is its MLmodel file, ``uid`` its identity."""

    def __init__(self) -> None:
        self.refusal: Refused | Exception | None = None
        self.content = MLMODEL
        self.uid = "one"
        self.fetches = 0
        self.asked = threading.Event()
        self.go_on = threading.Event()
        self.go_on.set()

    def resolve(self, name: str, version: str) -> dict[str, str]:
        if self.refusal:
            raise self.refusal
        return {"name": name, "version": version.replace("@best", "3"), "uid": self.uid}

    def fetch(self, name: str, version: str, destination: Path) -> None:
        self.fetches += 1
        self.asked.set()
        self.go_on.wait(10)
        if self.refusal:
            raise self.refusal
        destination.mkdir(parents=True)
        (destination / "MLmodel").write_text(self.content)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    # Paths of Unix sockets are short.
    folder = Path(tempfile.mkdtemp(prefix="ls-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def source() -> MadeUp:
    return MadeUp()


@pytest.fixture
async def models(data_dir: Path, source: MadeUp) -> AsyncIterator[RegistryModels]:
    app = RegistryApp(source, data_dir=data_dir, mlflow_app=None, elsewhere="Elsewhere.")
    server = uvicorn.Server(
        uvicorn.Config(app, uds=str(data_dir / "s"), lifespan="off", log_level="critical", ws="none")
    )
    serving = asyncio.create_task(server._serve())
    client = RegistryModels(data_dir / "s", data_dir)
    try:
        async with asyncio.timeout(10):
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.005)
        yield client
    finally:
        source.go_on.set()
        await client.close()
        server.should_exit = True
        await serving


async def test_resolve(models: RegistryModels) -> None:
    assert await models.resolve("main.a.b", "@best") == ModelVersion("main.a.b", "3", "one")


@pytest.mark.parametrize(
    ("refusal", "raised", "text"),
    [
        (does_not_exist("No such thing."), ModelNotFound, "No such thing."),
        (unavailable("Not now."), RegistryUnavailable, "Not now."),
        (KeyError("a bug"), RegistryUnavailable, "The model registry failed. Its log says why."),
    ],
)
async def test_refusals(
    models: RegistryModels, source: MadeUp, refusal: Exception, raised: type[Exception], text: str
) -> None:
    source.refusal = refusal
    with pytest.raises(raised, match=text):
        await models.resolve("a", "1")
    with pytest.raises(raised, match=text):
        await models.fetch(ModelVersion("a", "1", "one"))


async def test_fetch_then_from_the_cache(models: RegistryModels, source: MadeUp, data_dir: Path) -> None:
    version = await models.resolve("a", "1")
    first = await models.fetch(version)
    source.refusal = unavailable("down")
    assert await models.fetch(version) == first
    # After a restart, with the registry down and nothing but name and number known.
    restarted = RegistryModels(data_dir / "nothing", data_dir)
    assert await restarted.fetch(ModelVersion("a", "1")) == first
    with pytest.raises(RegistryUnavailable):
        await restarted.fetch(ModelVersion("a", "2"))
    await restarted.close()
    assert source.fetches == 1


async def test_a_number_that_was_given_again(models: RegistryModels, source: MadeUp, data_dir: Path) -> None:
    first = await models.fetch(await models.resolve("a", "1"))
    source.uid, source.content = "two", MLMODEL + "again: true\n"
    await models.resolve("a", "1")
    second = await models.fetch(ModelVersion("a", "1"))
    assert "again" in second.mlmodel
    assert (await models.fetch(ModelVersion("a", "1", "one"))).path == first.path
    restarted = RegistryModels(data_dir / "nothing", data_dir)
    assert (await restarted.fetch(ModelVersion("a", "1"))).path == second.path
    await restarted.close()


async def test_fetches_of_one_version_are_one(models: RegistryModels, source: MadeUp) -> None:
    source.go_on.clear()
    waiting = [asyncio.create_task(models.fetch(ModelVersion("a", "1", "one"))) for _ in range(3)]
    async with asyncio.timeout(10):
        await asyncio.to_thread(source.asked.wait)
        waiting[0].cancel()
        source.go_on.set()
        got = await asyncio.gather(*waiting[1:])
    assert got[0] == got[1]
    assert source.fetches == 1


async def test_what_is_unusable_is_not_kept(models: RegistryModels, source: MadeUp, data_dir: Path) -> None:
    source.content = "flavors: {}"
    with pytest.raises(ModelUnusable, match=r"^Version 1 of registered model 'a' cannot be served"):
        await models.fetch(ModelVersion("a", "1", "one"))
    assert list((data_dir / "models").iterdir()) == []
    source.content = MLMODEL
    await models.fetch(ModelVersion("a", "1", "one"))
    source.refusal = unusable("No files.")
    with pytest.raises(ModelUnusable, match="No files"):
        await models.fetch(ModelVersion("a", "2", "one"))


async def test_what_an_ended_fetch_left_is_removed(models: RegistryModels, data_dir: Path) -> None:
    place = models._place(ModelVersion("a", "1", "one"))
    for left in (f"{place.name}.fetched", f"{place.name}.fetched.partial-x"):
        (data_dir / "models" / left).mkdir(parents=True)
    package = await models.fetch(ModelVersion("a", "1"))
    assert list((data_dir / "models").iterdir()) == [package.path]


async def test_a_damaged_copy_is_fetched_again(models: RegistryModels, source: MadeUp) -> None:
    version = ModelVersion("a", "1", "one")
    (await models.fetch(version)).path.joinpath("MLmodel").unlink()
    assert (await models.fetch(version)).mlmodel
    assert source.fetches == 2


async def test_nobody_there(data_dir: Path) -> None:
    client = RegistryModels(data_dir / "nothing", data_dir)
    with pytest.raises(RegistryUnavailable, match="does not answer"):
        await client.resolve("a", "1")
    await client.close()


@pytest.mark.parametrize(
    "answer", [b"x" * 200_000, b"HTTP/1.1 200 OK\r\n\r\n[1]", b"HTTP/1.1 200 OK\r\n\r\n" + b"1" * 100_000, b""]
)
async def test_nonsense_for_an_answer(data_dir: Path, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    client = RegistryModels(data_dir / "s", data_dir)
    async with await asyncio.start_unix_server(serve, data_dir / "s"):
        with pytest.raises(RegistryUnavailable):
            await client.resolve("a", "1")
        await client.close()


async def test_an_answer_has_a_deadline(models: RegistryModels, source: MadeUp, data_dir: Path) -> None:
    source.go_on.clear()
    hasty = RegistryModels(data_dir / "s", data_dir, fetch_limit_s=0.05)
    with pytest.raises(RegistryUnavailable):
        await hasty.fetch(ModelVersion("a", "1", "one"))
    await hasty.close()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/_lakeserve/models/resolve", b"", 404),
        ("POST", "/_lakeserve/other", b"{}", 404),
        ("POST", "/_lakeserve/models/resolve", b"no", 400),
        ("POST", "/_lakeserve/models/resolve", b"[]", 400),
        ("POST", "/_lakeserve/models/resolve", b'{"name": "a", "version": 3}', 400),
        ("POST", "/_lakeserve/models/resolve", b"x" * 70_000, 413),
        ("POST", "/_lakeserve/models/fetch", b'{"name": "a", "version": "3", "destination": "/etc/x"}', 400),
        ("GET", "/api/2.0/mlflow/registered-models/get", b"", 404),
        ("GET", "/", b"", 404),
    ],
)
async def test_questions_that_are_refused(
    models: RegistryModels, data_dir: Path, method: str, path: str, body: bytes, status: int
) -> None:
    assert models
    async with (
        aiohttp.ClientSession("http://localhost", connector=aiohttp.UnixConnector(str(data_dir / "s"))) as session,
        session.request(method, path, data=body) as response,
    ):
        answer = await response.json()
        assert response.status == status
        assert answer["error_code"] in ("NOT_FOUND", "BAD_REQUEST", "INVALID_PARAMETER_VALUE")
        if "_lakeserve" not in path:
            assert answer == {"error_code": "NOT_FOUND", "message": "Elsewhere."}


async def test_the_assistant_is_not_offered() -> None:
    sent: list[dict[str, object]] = []

    async def send(message: object) -> None:
        assert isinstance(message, dict)
        sent.append(message)

    async def reached(*_: object) -> None:
        raise AssertionError("MLflow got the request")

    app = RegistryApp(MadeUp(), data_dir=Path("/x"), mlflow_app=reached)
    await app({"type": "http", "method": "GET", "path": "/ajax-api/3.0/mlflow/assistant/config"}, reached, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 404


def test_without_credentials() -> None:
    assert (
        without_credentials("at http://u:p@h:1/x, postgresql+psycopg://a@b/c")
        == "at http://h:1/x, postgresql+psycopg://b/c"
    )
