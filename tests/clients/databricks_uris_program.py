"""Training code as it is written for Databricks, run against lakeserve: nothing in here knows that it is not Databricks.

Only ``DATABRICKS_HOST`` and ``DATABRICKS_TOKEN`` are set. Prints what it found as one line of JSON at the end.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression

MODEL = sys.argv[1]


def main() -> None:
    mlflow.set_tracking_uri("databricks")
    mlflow.set_registry_uri("databricks-uc")
    mlflow.set_experiment(f"/Shared/{MODEL}")
    rows = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [0.0, 1.0, 0.0]})
    model = LinearRegression().fit(rows, [2.0, 5.0, 6.0])
    with mlflow.start_run() as run:
        mlflow.log_param("kind", "linear")
        mlflow.log_metric("loss", 0.5)
        with tempfile.TemporaryDirectory() as folder:
            note = Path(folder, "note.txt")
            note.write_text("hello\n")
            mlflow.log_artifact(str(note), "notes")
        named = {"name": "model"} if mlflow.__version__ >= "3" else {"artifact_path": "model"}
        signature = infer_signature(rows, model.predict(rows))
        logged = mlflow.sklearn.log_model(model, signature=signature, input_example=rows.head(1), **named)
    version = mlflow.register_model(logged.model_uri, MODEL)
    client = MlflowClient()
    client.set_registered_model_alias(MODEL, "champion", version.version)
    client.set_model_version_tag(MODEL, version.version, "checked", "yes")
    client.update_model_version(MODEL, version.version, "from a notebook")
    loaded = mlflow.pyfunc.load_model(f"models:/{MODEL}@champion")
    by_alias = client.get_model_version_by_alias(MODEL, "champion")
    found = {
        "artifact_uri": run.info.artifact_uri,
        "note": mlflow.artifacts.load_text(f"{run.info.artifact_uri}/notes/note.txt"),
        "artifacts": [info.path for info in client.list_artifacts(run.info.run_id)],
        "runs": [one.info.run_id == run.info.run_id for one in client.search_runs([run.info.experiment_id])],
        "history": [one.value for one in client.get_metric_history(run.info.run_id, "loss")],
        "version": [by_alias.version, by_alias.status, by_alias.description, by_alias.tags, list(by_alias.aliases)],
        "run_of_version": by_alias.run_id == run.info.run_id,
        "models": [one.name for one in client.search_registered_models()],
        "versions": [one.version for one in client.search_model_versions(f"name='{MODEL}'")],
        "aliases": {alias: str(number) for alias, number in client.get_registered_model(MODEL).aliases.items()},
        "by_alias": [round(float(value), 6) for value in loaded.predict(rows)],
        "by_run": [round(float(value), 6) for value in mlflow.pyfunc.load_model(logged.model_uri).predict(rows)],
        "expected": [round(float(value), 6) for value in model.predict(rows)],
        "run": run.info.run_id,
    }
    print(json.dumps(found))


main()
