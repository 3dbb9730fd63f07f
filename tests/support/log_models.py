"""``python -m support.log_models URI…``: registers main.default.wine at each, twice, with the alias champion for version 2."""

from __future__ import annotations

import sys

import mlflow
from mlflow import MlflowClient
from sklearn.linear_model import LinearRegression

NAME = "main.default.wine"


def main(uris: list[str]) -> None:
    model = LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])
    for uri in uris:
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        mlflow.set_experiment("wine")
        with mlflow.start_run():
            logged = mlflow.sklearn.log_model(
                model, name="model", pip_requirements=["scikit-learn"], registered_model_name=NAME
            )
        mlflow.register_model(logged.model_uri, NAME)
        MlflowClient().set_registered_model_alias(NAME, "champion", "2")


if __name__ == "__main__":
    main(sys.argv[1:])
