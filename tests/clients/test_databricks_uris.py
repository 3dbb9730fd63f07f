"""Training code that uses Databricks URIs, unmodified, with the newest MLflow and with 2.22, and what becomes of its model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support import proc
from support.clients import client_python
from support.registry import environment
from support.server import Server

HERE = Path(__file__).parent
MIB = 1024 * 1024
MODEL = "main.default.uris"


def run(server: Server, folder: Path, python: Path, program: str, *arguments: str) -> Any:
    """What ``program`` printed last, run with nothing that points at the server but the two variables."""
    env = {name: value for name, value in environment().items() if not name.startswith(("DATABRICKS_", "MLFLOW_"))}
    env |= {"DATABRICKS_HOST": server.url, "DATABRICKS_TOKEN": server.token or "", "HOME": str(folder)}
    done = subprocess.run(
        [str(python), str(HERE / program), *arguments],
        cwd=folder, env=env, capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr + server.told()
    # MLflow warns when it has to do without something that it expects of Databricks.
    assert "Failed to" not in done.stderr.replace("Failed to resolve installed pip", ""), done.stderr
    assert "Unable to" not in done.stderr, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check(found: dict[str, Any], model: str) -> None:
    run_id = found["run"]
    assert found["artifact_uri"].startswith("dbfs:/databricks/mlflow-tracking/")
    assert found["artifact_uri"].endswith(f"/{run_id}/artifacts")
    assert found["note"] == "hello\n"
    assert "notes" in found["artifacts"]
    assert (found["runs"], found["history"]) == ([True], [0.5])
    assert found["version"] == ["1", "READY", "from a notebook", {"checked": "yes"}, ["champion"]]
    assert found["run_of_version"]
    assert model in found["models"]
    assert (found["versions"], found["aliases"]) == (["1"], {"champion": "1"})
    assert found["by_alias"] == found["by_run"] == found["expected"] == [2.0, 5.0, 6.0]


@pytest.fixture(scope="module")
def trained(server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    found: dict[str, Any] = run(
        server, tmp_path_factory.mktemp("training"), Path(sys.executable), "databricks_uris_program.py", MODEL
    )
    return found


def test_the_newest_mlflow(trained: dict[str, Any]) -> None:
    check(trained, MODEL)


@pytest.mark.slow
def test_mlflow_2_22(server: Server, tmp_path: Path) -> None:
    """``setuptools`` because that release imports ``pkg_resources``."""
    python = client_python("mlflow==2.22.5", "setuptools<81")
    check(run(server, tmp_path, python, "databricks_uris_program.py", "main.default.uris_old"), "main.default.uris_old")


def test_the_model_is_deployed_by_its_alias(server: Server, trained: dict[str, Any], tmp_path: Path) -> None:
    assert trained["aliases"] == {"champion": "1"}
    try:
        answer = run(
            server, tmp_path, Path(sys.executable), "deploy_by_alias_program.py", MODEL, "champion", "by-alias"
        )
    finally:
        server.delete_answer("by-alias")
    assert answer == pytest.approx([2.0, 5.0])


def test_plain_clients_see_the_same(server: Server, trained: dict[str, Any]) -> None:
    """The model, its files and the run's artifacts, under the names that plain clients use."""
    version = server.ask("GET", f"/api/2.0/mlflow/model-versions/get?name={MODEL}&version=1").json["model_version"]
    assert (version["status"], version["aliases"], version["run_id"]) == ("READY", ["champion"], trained["run"])
    uri = server.ask("GET", f"/api/2.0/mlflow/model-versions/get-download-uri?name={MODEL}&version=1").json
    place = uri["artifact_uri"].removeprefix("mlflow-artifacts:")
    assert place != uri["artifact_uri"]
    file = server.ask("GET", f"/api/2.0/mlflow-artifacts/artifacts{place}/MLmodel")
    assert (file.status, b"loader_module: mlflow.sklearn" in file.body) == (200, True)
    told = server.ask("GET", f"/api/2.0/mlflow/runs/get?run_id={trained['run']}")
    assert told.json["run"]["info"]["artifact_uri"].startswith("mlflow-artifacts:/")
    assert told.headers["x-databricks-org-id"] == "1000000000000001"
    listed = server.ask("GET", f"/api/2.0/mlflow/artifacts/list?run_id={trained['run']}").json["files"]
    assert "notes" in [file["path"] for file in listed]


def test_a_model_of_a_plain_client_is_in_unity_catalog(server: Server) -> None:
    """Its files lie where it was logged, and cannot be written through Unity Catalog's paths."""
    found = server.ask("GET", "/api/2.0/mlflow/unity-catalog/model-versions/get?name=main.default.wine&version=1")
    assert (found.status, found.json["model_version"]["status"]) == (200, "READY")
    place = "/api/2.0/fs/files/Models/main/default/wine/1"
    assert b"mlflow.sklearn" in server.ask("GET", f"{place}/MLmodel").body
    assert server.ask("PUT", f"{place}/MLmodel?overwrite=true", b"x").error == (403, "PERMISSION_DENIED")
    assert server.ask("DELETE", f"{place}/MLmodel").error == (403, "PERMISSION_DENIED")


def test_a_large_file_goes_through_piece_by_piece(server: Server, tmp_path: Path) -> None:
    """The registry's process grows by a fraction of the file's size, which the SDK sends in parts."""
    (pid,) = server.pids_of("lakeserve.adapters.mlflow --uds")
    before = peak(pid)
    program = ("large_file_program.py", str(60 * MIB), "/Volumes/main/default/files/large.bin")
    assert run(server, tmp_path, Path(sys.executable), *program) == "ok"
    assert peak(pid) - before < 24 * MIB
    assert server.ask("DELETE", "/api/2.0/fs/files/Volumes/main/default/files/large.bin").status == 204
    assert not list((server.data_dir / "registry" / "uploads").iterdir())


def peak(pid: int) -> int:
    """Bytes of memory that the process has had at most."""
    (line,) = [line for line in proc.read(pid, "status").splitlines() if line.startswith(b"VmHWM:")]
    return int(line.split()[1]) * 1024
