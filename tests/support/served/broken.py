"""A model that cannot be loaded. Logged as code."""

from __future__ import annotations

from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Broken(PythonModel):
    def load_context(self, context: Any) -> None:
        print("broken: about to fail", flush=True)
        raise RuntimeError("the weights are missing")

    def predict(self, context, model_input, params=None) -> Any:
        return model_input


set_model(Broken())
