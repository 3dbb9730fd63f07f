"""The models that are served, and bodies of requests for them.

``python -m bench.models NAME FOLDER`` trains one and registers it in an MLflow registry of its own in that folder (SQLite), in a
process of its own so that the benchmark stays small. All peers serve the same version from there.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import CannotMeasure, environment

_BODIES = 8
"""Different bodies for each case, so that no side can live off a memory of the last one."""


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """``registry`` is an MLflow URI. ``columns`` are the names of its input, all of type double, and their ranges."""

    name: str
    version: str
    registry: str
    columns: Sequence[str]
    ranges: Sequence[tuple[float, float]]

    @property
    def short_name(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def uri(self) -> str:
        return f"models:/{self.name}/{self.version}"

    def bodies(self, rows: int) -> list[bytes]:
        """``dataframe_split`` requests, the same in every run."""
        draw = random.Random(rows)

        def row() -> list[float]:
            return [round(draw.uniform(low, high), 2) for low, high in self.ranges]

        return [
            json.dumps({"dataframe_split": {"columns": self.columns, "data": [row() for _ in range(rows)]}}).encode()
            for _ in range(_BODIES)
        ]


def registered(name: str, folder: Path) -> RegisteredModel:
    """Train and register ``iris`` or ``wine`` in another process.

    :raises CannotMeasure: that failed.
    """
    argv = [sys.executable, "-m", "bench.models", name, str(folder)]
    cwd = Path(__file__).resolve().parents[1]
    done = subprocess.run(argv, env=environment(), cwd=cwd, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode:
        raise CannotMeasure(f"the model could not be trained:\n{done.stderr[-2000:]}")
    return RegisteredModel(**json.loads(done.stdout.splitlines()[-1]))


def _train(name: str, folder: Path) -> dict[str, Any]:
    import mlflow
    from sklearn.datasets import load_iris, load_wine
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    registry = f"sqlite:///{folder / 'registry.db'}"
    mlflow.set_tracking_uri(registry)
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("bench", artifact_location=str(folder / "artifacts")))
    if name == "iris":
        return _log(name, load_iris(as_frame=True), LogisticRegression(max_iter=1000), registry)
    return _log(name, load_wine(as_frame=True), make_pipeline(StandardScaler(), LogisticRegression()), registry)


def _log(name: str, data: Any, model: Any, registry: str) -> dict[str, Any]:
    import mlflow.sklearn
    from mlflow.models import infer_signature

    model.fit(data.data, data.target)
    logged = mlflow.sklearn.log_model(
        model,
        name="model",
        registered_model_name=f"main.default.{name}",
        signature=infer_signature(data.data, model.predict(data.data)),
        input_example=data.data.head(2),
    )
    return {
        "name": f"main.default.{name}",
        "version": str(logged.registered_model_version),
        "registry": registry,
        "columns": list(data.data.columns),
        "ranges": [[float(data.data[column].min()), float(data.data[column].max())] for column in data.data.columns],
    }


if __name__ == "__main__":
    print(json.dumps(_train(sys.argv[1], Path(sys.argv[2]))))
