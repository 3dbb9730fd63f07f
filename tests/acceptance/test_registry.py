"""MLflow at the server's own address: training, registering, loading back and downloading with our token, and other registries."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import pytest

from support.registry import environment
from support.server import TOKEN, Server
from support.serving import Factory

NAME = "main.default.from_a_client"

TRAIN = """
import json, sys, pathlib
import mlflow, pandas
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression

mlflow.set_experiment("client")
data = pandas.DataFrame({"x": [0.0, 1.0, 2.0]})
model = LinearRegression().fit(data, [1.0, 3.0, 5.0])
with mlflow.start_run() as run:
    mlflow.log_param("kind", "line")
    mlflow.log_metric("error", 0.0)
    mlflow.log_text("a note: \\u00fc", "notes/note.txt")
    mlflow.sklearn.log_model(
        model, name="model", registered_model_name=sys.argv[1], pip_requirements=["scikit-learn"],
        signature=infer_signature(data, model.predict(data)),
    )
client = MlflowClient()
client.set_registered_model_alias(sys.argv[1], "champion", "1")
client.set_tag(run.info.run_id, "by", "client")
found = client.get_run(run.info.run_id)
loaded = mlflow.pyfunc.load_model(f"models:/{sys.argv[1]}@champion")
note = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="notes/note.txt", dst_path=".")
print(json.dumps({
    "param": found.data.params["kind"], "metric": found.data.metrics["error"], "tag": found.data.tags["by"],
    "prediction": float(loaded.predict(pandas.DataFrame({"x": [10.0]}))[0]),
    "note": pathlib.Path(note).read_text(), "run": run.info.run_id,
}))
"""


def run_client(
    server: Server, folder: Path, script: str, *arguments: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    env = environment() | {"MLFLOW_TRACKING_URI": server.url, "MLFLOW_DISABLE_TELEMETRY": "true"} | variables
    argv = [sys.executable, "-c", script, *arguments]
    return subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_a_model_s_way_from_training_to_a_query(server: Server, tmp_path: Path) -> None:
    done = run_client(server, tmp_path, TRAIN, NAME, MLFLOW_TRACKING_TOKEN=TOKEN)
    assert done.returncode == 0, done.stdout + done.stderr
    told: Mapping[str, object] = json.loads(done.stdout.splitlines()[-1])
    assert (told["param"], told["metric"], told["tag"], told["note"]) == ("line", 0.0, "client", "a note: ü")
    assert told["prediction"] == pytest.approx(21.0)

    path = f"/get-artifact?run_uuid={told['run']}&path={quote('notes/note.txt')}"
    assert server.ask("GET", path).body.decode() == "a note: ü"
    server.deploy("client", "from_a_client", "@champion")
    assert server.query("client", {"inputs": {"x": [10.0]}}).json["predictions"] == [pytest.approx(21.0)]
    server.delete("client")


def test_a_client_without_our_token_is_refused(server: Server, tmp_path: Path) -> None:
    script = "import mlflow; mlflow.search_experiments()"
    for token in ({}, {"MLFLOW_TRACKING_TOKEN": "dapi-wrong"}):
        done = run_client(server, tmp_path, script, **token)
        assert done.returncode != 0
        assert "UNAUTHENTICATED" in done.stderr or "401" in done.stderr


def test_mlflow_s_user_interface_asks_where_we_answer(server: Server) -> None:
    found = server.ask("POST", "/ajax-api/2.0/mlflow/experiments/search", {"max_results": 10})
    assert "acceptance" in {each["name"] for each in found.json["experiments"]}
    answer = server.ask("POST", "/graphql", {"operationName": "X", "query": "query X { __typename }", "variables": {}})
    assert answer.status == 200


def test_our_token_goes_no_further_than_the_gateway(server: Server) -> None:
    assert TOKEN not in "".join(path.read_text(errors="replace") for path in (server.data_dir / "logs").rglob("*.log"))


REGISTER = """
import mlflow
from sklearn.linear_model import LinearRegression

model = LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])
mlflow.sklearn.log_model(model, name="model", registered_model_name="main.default.line", pip_requirements=["scikit-learn"])
"""


@pytest.mark.parametrize("kind", ["http", "sqlite", "file"])
def test_another_registry(server: Server, new_server: Factory, tmp_path: Path, kind: str) -> None:
    uri = {"http": server.url, "sqlite": f"sqlite:///{tmp_path}/mlflow.db", "file": (tmp_path / "mlruns").as_uri()}[
        kind
    ]
    credentials = {"MLFLOW_TRACKING_TOKEN": TOKEN} if kind == "http" else {}
    done = run_client(
        server, tmp_path, REGISTER, **{"MLFLOW_ALLOW_FILE_STORE": "true", **credentials, "MLFLOW_TRACKING_URI": uri}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    other = new_server("--registry", uri, models=False, **credentials).start(registry=True)
    assert uri in other.said
    other.deploy("line", "line", "1")
    assert other.query("line", {"inputs": [[10.0]]}).json["predictions"] == [pytest.approx(21.0)]
    assert other.create("none", "none", "1").error == (404, "RESOURCE_DOES_NOT_EXIST")
    refused = other.ask("GET", "/api/2.0/mlflow/registered-models/search")
    assert refused.error == (404, "NOT_FOUND")
    assert uri in refused.json["message"]
    other.stop()


def test_another_registry_that_does_not_take_the_token(server: Server, new_server: Factory) -> None:
    other = new_server("--registry", server.url, models=False, MLFLOW_TRACKING_TOKEN="dapi-wrong").start(registry=True)
    answer = other.create("probe")
    assert answer.error == (503, "TEMPORARILY_UNAVAILABLE")
    assert "dapi-wrong" not in answer.json["message"]
    other.stop()
