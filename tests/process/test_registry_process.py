"""The registry process itself: MLflow embedded, or an external registry behind it, asked by the real client."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from lakeserve.adapters.mlflow.client import RegistryModels
from lakeserve.ports.models import ModelNotFound, ModelUnusable, RegistryUnavailable
from support.registry import RegistryProcess, environment, short_folder, tcp_bridge, wait_for

NAME = "main.default.wine"
TESTS = Path(__file__).parent.parent
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@dataclass
class Registries:
    """One embedded registry, reachable as ``url`` too, and external ones that hold the same models."""

    embedded: RegistryProcess
    url: str
    externals: dict[str, RegistryProcess]


@pytest.fixture(scope="module")
def registries() -> Iterator[Registries]:
    with short_folder() as folder:
        for name in ("e", "http", "sqlite", "file", "path"):
            (folder / name).mkdir()
        embedded = RegistryProcess(folder / "e")
        processes = [embedded]
        try:
            embedded.wait()
            with tcp_bridge(embedded.socket) as url:
                (folder / "wd").mkdir()
                uris = {
                    "http": url.replace("http://", "http://user:hush@"),
                    "sqlite": f"sqlite:///{folder}/wd/other.db",
                    "file": (folder / "wd" / "mlruns").as_uri(),
                    "path": str(folder / "wd" / "mlruns"),
                }
                log_models([url, uris["sqlite"], uris["file"]], folder / "wd")
                externals = {name: RegistryProcess(folder / name, "--registry", uri) for name, uri in uris.items()}
                processes += externals.values()
                for process in externals.values():
                    process.wait()
                yield Registries(embedded, url, externals)
        finally:
            for process in processes:
                process.end()


def log_models(uris: list[str], folder: Path) -> None:
    env = environment() | {
        "PYTHONPATH": str(TESTS),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    done = subprocess.run(
        [sys.executable, "-m", "support.log_models", *uris],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
async def models(registries: Registries) -> AsyncIterator[RegistryModels]:
    client = RegistryModels(registries.embedded.socket, registries.embedded.data_dir)
    yield client
    await client.close()


@pytest.fixture(params=["http", "sqlite", "file", "path"])
async def external(request: pytest.FixtureRequest, registries: Registries) -> AsyncIterator[RegistryModels]:
    process = registries.externals[request.param]
    client = RegistryModels(process.socket, process.data_dir)
    yield client
    await client.close()


async def check_resolves(models: RegistryModels) -> None:
    found = await models.resolve(NAME, "1")
    assert (found.name, found.version) == (NAME, "1")
    champion = await models.resolve(NAME, "@champion")
    assert champion.version == "2"
    assert champion == await models.resolve(NAME, "2")
    assert len({champion.uid, found.uid, ""}) == 3
    for name, version, text in (
        ("main.default.x", "1", "Registered model 'main.default.x' does not exist."),
        ("main.default.x", "@champion", "Registered model 'main.default.x' does not exist."),
        (NAME, "7", f"Version 7 of registered model '{NAME}' does not exist."),
        (NAME, "latest", f"Version latest of registered model '{NAME}' does not exist."),
        (NAME, "@loser", f"Registered model '{NAME}' has no alias 'loser'."),
        ("../../etc", "1", "Registered model '../../etc' does not exist."),
    ):
        with pytest.raises(ModelNotFound) as caught:
            await models.resolve(name, version)
        assert str(caught.value) == text


async def check_fetches(models: RegistryModels) -> None:
    package = await models.fetch(await models.resolve(NAME, "@champion"))
    assert package.python_version == ".".join(map(str, sys.version_info[:3]))
    assert package.requirements_file is not None
    assert "scikit-learn" in package.requirements_file.read_text()
    assert package.mlmodel["flavors"]["python_function"]["loader_module"] == "mlflow.sklearn"
    assert (package.path / package.mlmodel["flavors"]["python_function"]["model_path"]).stat().st_size > 0
    assert [path for path in package.path.parent.iterdir() if "." in path.name] == []


async def test_embedded(models: RegistryModels) -> None:
    await check_resolves(models)
    await check_fetches(models)


async def test_external(external: RegistryModels) -> None:
    await check_resolves(external)
    await check_fetches(external)


async def call(socket: Path, method: str, path: str, **body: Any) -> tuple[int, Any]:
    connector = aiohttp.UnixConnector(str(socket))
    async with (
        aiohttp.ClientSession("http://localhost", connector=connector) as session,
        session.request(method, path, json=body or None) as response,
    ):
        return response.status, await response.json()


async def test_an_external_registry_has_no_routes_here(registries: Registries) -> None:
    status, answer = await call(registries.externals["http"].socket, "GET", "/api/2.0/mlflow/experiments/search")
    assert status == 404
    assert answer["error_code"] == "NOT_FOUND"
    assert (
        answer["message"]
        == f"This server uses the model registry at {registries.url}. Point MLFLOW_TRACKING_URI there."
    )


async def test_a_number_given_again_is_another_version(registries: Registries, models: RegistryModels) -> None:
    socket, routes = registries.embedded.socket, "/api/2.0/mlflow"
    _, version = await call(socket, "GET", f"{routes}/model-versions/get?name={NAME}&version=1")
    source = version["model_version"]["source"]
    logged = next(part for part in source.split("/") if part.startswith("m-"))
    new = {"name": "again", "source": source, "model_id": logged}

    async def register() -> None:
        assert (await call(socket, "POST", f"{routes}/registered-models/create", name="again"))[0] == 200
        assert (await call(socket, "POST", f"{routes}/model-versions/create", **new))[0] == 200

    await register()
    first = await models.resolve("again", "1")
    old = await models.fetch(first)
    assert (await call(socket, "DELETE", f"{routes}/registered-models/delete", name="again"))[0] == 200
    with pytest.raises(ModelNotFound, match="Registered model 'again' does not exist"):
        await models.resolve("again", "1")
    assert (await models.fetch(first)).path == old.path
    await register()
    second = await models.resolve("again", "1")
    assert second.uid != first.uid
    assert (await models.fetch(second)).path != old.path


async def test_files_that_are_gone(registries: Registries, models: RegistryModels) -> None:
    socket, routes = registries.embedded.socket, "/api/2.0/mlflow"
    _, run = await call(socket, "POST", f"{routes}/runs/create", experiment_id="0", start_time=1)
    info = run["run"]["info"]
    await call(socket, "POST", f"{routes}/registered-models/create", name="gone")
    new = {"name": "gone", "source": f"{info['artifact_uri']}/nothing", "run_id": info["run_id"]}
    assert (await call(socket, "POST", f"{routes}/model-versions/create", **new))[0] == 200
    version = await models.resolve("gone", "1")
    with pytest.raises(ModelUnusable, match="Version 1 of registered model 'gone' has no files"):
        await models.fetch(version)
    artifacts = registries.embedded.data_dir / "registry" / "artifacts"
    folder = artifacts.joinpath(*info["artifact_uri"].removeprefix("mlflow-artifacts:/").split("/"), "nothing")
    folder.mkdir(parents=True)
    (folder / "passwd").symlink_to("/etc/passwd")
    with pytest.raises(ModelUnusable, match="The link passwd leads out"):
        await models.fetch(version)


@linux_only
def test_one_process_that_calls_nobody(registries: Registries) -> None:
    """No children, and no socket but the Unix one (and none to another machine, ever: telemetry is off)."""
    pid = registries.embedded.process.pid
    assert [Path(f"/proc/{pid}/task/{task}/children").read_text() for task in os.listdir(f"/proc/{pid}/task")] == [
        "" for _ in os.listdir(f"/proc/{pid}/task")
    ]
    links = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    inodes = {link.removeprefix("socket:[").rstrip("]") for link in links if link.startswith("socket:[")}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        assert not inodes & {line.split()[9] for line in lines}


def test_the_socket_is_the_users_alone(registries: Registries) -> None:
    assert registries.embedded.socket.stat().st_mode & 0o077 == 0


async def test_an_external_registry_that_is_away() -> None:
    with short_folder() as folder:
        process = RegistryProcess(folder, "--registry", f"sqlite:///{folder}/none.db")
        try:
            process.wait()
            client = RegistryModels(process.socket, folder)
            with pytest.raises(RegistryUnavailable, match="There is no registry at"):
                await client.resolve(NAME, "1")
            process.end()
            with pytest.raises(RegistryUnavailable, match="does not answer"):
                await client.resolve(NAME, "1")
            await client.close()
        finally:
            process.end()


async def test_an_external_server_that_is_away() -> None:
    with short_folder() as folder:
        process = RegistryProcess(folder, "--registry", "http://user:hush@127.0.0.1:9")
        try:
            process.wait()
            client = RegistryModels(process.socket, folder)
            with pytest.raises(RegistryUnavailable) as caught:
                await client.resolve(NAME, "1")
            assert str(caught.value) == "The model registry at http://127.0.0.1:9 does not answer."
            await client.close()
        finally:
            process.end()


async def test_killed_and_started_again(registries: Registries) -> None:
    """On a copy of the embedded registry's data: a stale socket file and an existing database are no obstacle."""
    with short_folder() as folder:
        shutil.copytree(registries.embedded.data_dir / "registry", folder / "registry")
        process = RegistryProcess(folder)
        try:
            process.wait()
            process.end()
            assert process.socket.exists()
            process = RegistryProcess(folder)
            process.wait()
            client = RegistryModels(process.socket, folder)
            await check_resolves(client)
            await client.close()
        finally:
            process.end()


def test_ends_when_the_life_pipe_does() -> None:
    with short_folder() as folder:
        read, write = os.pipe()
        process = RegistryProcess(folder, life_fd=read)
        os.close(read)
        try:
            process.wait()
            os.close(write)
            assert process.process.wait(timeout=30) != 0
        finally:
            process.end()


@linux_only
def test_ends_with_its_supervisor() -> None:
    """A supervisor in between is killed; the registry process must follow."""
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([*sys.argv[1:], '--supervisor-pid', str(os.getpid())])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    with short_folder() as folder:
        argv = [
            sys.executable,
            "-m",
            "lakeserve.adapters.mlflow",
            "--uds",
            str(folder / "s"),
            "--data-dir",
            str(folder),
        ]
        supervisor = subprocess.Popen([sys.executable, "-c", code, *argv], stdout=subprocess.PIPE, env=environment())
        assert supervisor.stdout is not None
        with supervisor, supervisor.stdout:
            pid = int(supervisor.stdout.readline())
            try:
                wait_for((folder / "registry").exists)
            finally:
                supervisor.kill()
            wait_for(lambda: not running(pid))


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
