"""``python -m support.log_served_models``: registers every model that the acceptance tests serve.

Where to is said by MLFLOW_TRACKING_URI and MLFLOW_TRACKING_TOKEN. Requirements are given, so that MLflow infers nothing, and it
must not run inside the project: MLflow adds a ``uv.lock`` that it finds in the working folder to what it logs.
"""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.models import infer_signature
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SERVED = Path(__file__).parent / "served"
PINNED = [f"{name}=={version(name)}" for name in ("mlflow", "scikit-learn", "pandas", "numpy", "cloudpickle")]
PROBE = "main.default.probe"


def main() -> None:
    mlflow.set_experiment("acceptance")
    wine()
    for number in (1, 2):
        coded("probe", PINNED, number)
    client = MlflowClient()
    client.set_registered_model_alias(PROBE, "champion", "1")
    client.set_registered_model_alias(PROBE, "challenger", "2")
    coded("broken", PINNED)
    coded("unbuildable", ["no-such-package-lakeserve-xyz==1.0"], source="probe")
    of_another_python()


def wine() -> None:
    data = load_wine(as_frame=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data.data, data.target)
    mlflow.sklearn.log_model(
        model,
        name="model",
        registered_model_name="main.default.wine",
        signature=infer_signature(data.data, model.predict(data.data)),
        pip_requirements=PINNED,
    )


def coded(name: str, requirements: list[str], number: int = 1, *, source: str | None = None) -> None:
    mlflow.pyfunc.log_model(
        name="model",
        python_model=str(SERVED / f"{source or name}.py"),
        registered_model_name=f"main.default.{name}",
        pip_requirements=requirements,
        model_config={"version": number},
    )


def of_another_python() -> None:
    """As if it had been logged under a Python that no machine has any more."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        mlflow.pyfunc.save_model(str(path), python_model=str(SERVED / "probe.py"), pip_requirements=PINNED)
        for name in ("python_env.yaml", "MLmodel", "conda.yaml"):
            file = path / name
            file.write_text(file.read_text().replace(_python(), "3.5.0"))
        with mlflow.start_run() as run:
            mlflow.log_artifacts(str(path), "model")
    client = MlflowClient()
    client.create_registered_model("main.default.oldpython")
    client.create_model_version("main.default.oldpython", f"{run.info.artifact_uri}/model", run.info.run_id)


def _python() -> str:
    import platform

    return platform.python_version()


if __name__ == "__main__":
    main()
