"""Builds the models that the worker tests serve, each once for the session and only when a test asks for it."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array, Map, Object, Property

CODE = Path(__file__).with_name("model_code")
REQUIREMENTS = ["mlflow"]
FEATURES = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]

_CHAT = ColSpec(Array(Object([Property("role", "string"), Property("content", "string")])), "messages")

SIGNATURES: dict[str, ModelSignature | None] = {
    "none": None,
    "doubles": ModelSignature(Schema([ColSpec("double", "a"), ColSpec("double", "b")])),
    "floats": ModelSignature(Schema([ColSpec("float", "a"), ColSpec("float", "b")])),
    "longs": ModelSignature(Schema([ColSpec("long", "a"), ColSpec("long", "b")])),
    "integers": ModelSignature(Schema([ColSpec("integer", "a"), ColSpec("integer", "b")])),
    "one_double": ModelSignature(Schema([ColSpec("double", "a")])),
    "mixed": ModelSignature(Schema([ColSpec("long", "n"), ColSpec("string", "s"), ColSpec("boolean", "flag")])),
    "optional": ModelSignature(Schema([ColSpec("double", "a"), ColSpec("double", "b", required=False)])),
    "unnamed": ModelSignature(Schema([ColSpec("double"), ColSpec("double")])),
    "binary": ModelSignature(Schema([ColSpec("binary", "data")])),
    "datetime": ModelSignature(Schema([ColSpec("datetime", "at")])),
    "nested": ModelSignature(
        Schema(
            [
                ColSpec(Array("double"), "list"),
                ColSpec(Object([Property("x", "long"), Property("y", "string", required=False)]), "object"),
                ColSpec(Map("string"), "map", required=False),
                ColSpec(AnyType(), "any", required=False),
            ]
        )
    ),
    "tensor": ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, 2))])),
    "named_tensors": ModelSignature(
        Schema([TensorSpec(np.dtype("int64"), (-1, 2), "x"), TensorSpec(np.dtype("float64"), (-1,), "y")])
    ),
    "params": ModelSignature(
        Schema([ColSpec("double", "a")]),
        params=ParamSchema(
            [
                ParamSpec("temperature", "double", 0.5),
                ParamSpec("top", "long", 3),
                ParamSpec("words", "string", ["x"], shape=(-1,)),
                ParamSpec("since", "datetime", np.datetime64("2024-01-01")),
            ]
        ),
    ),
    "chat_params": ModelSignature(
        Schema([_CHAT]),
        params=ParamSchema([ParamSpec("stream", "boolean", False), ParamSpec("temperature", "double", 0.5)]),
    ),
}


class Models:
    """``path(name)`` of a saved model: ``echo:<signature>``, ``sklearn:<kind>``, or a file of ``model_code``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, name: str) -> Path:
        path = self._folder / name.replace(":", "-")
        if not path.exists():
            with quietly():
                _save(path, *name.split(":"))
        return path

    def load(self, name: str) -> Any:
        """In this process."""
        with quietly():
            return mlflow.pyfunc.load_model(str(self.path(name)), suppress_warnings=True)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """MLflow puts some of its warnings past the filters; recorded, they are not shown."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("ignore")
        yield


def _save(path: Path, kind: str, detail: str = "") -> None:
    if kind == "sklearn":
        _save_sklearn(path, _SKLEARN[detail])
    elif kind == "echo":
        _save_code(path, "echo", signature=SIGNATURES[detail])
    else:
        _save_code(path, kind, **_EXTRA.get(kind, {}))


_EXTRA: dict[str, dict[str, Any]] = {
    "typed": {"input_example": [{"name": "tea", "count": 2}]},
    "streams": {"signature": ModelSignature(Schema([_CHAT]))},
}


def _save_code(path: Path, code: str, **options: Any) -> None:
    if code in ("broken", "slow_to_load"):
        # Saving would run it, so an innocent model's folder gets its code.
        _save_code(path, "echo")
        (path / "echo.py").write_text((CODE / f"{code}.py").read_text())
        return
    mlflow.pyfunc.save_model(str(path), python_model=str(CODE / f"{code}.py"), pip_requirements=REQUIREMENTS, **options)


def _save_sklearn(path: Path, make: Callable[[pd.DataFrame, np.ndarray], tuple[Any, ModelSignature]]) -> None:
    generator = np.random.default_rng(7)
    inputs = pd.DataFrame(generator.normal(size=(150, 4)), columns=FEATURES)
    classes = (inputs.sum(axis=1) > 0).astype(int).to_numpy()
    model, signature = make(inputs, classes)
    mlflow.sklearn.save_model(
        model,
        str(path),
        signature=signature,
        input_example=inputs.head(2),
        pip_requirements=REQUIREMENTS,
        serialization_format="cloudpickle",
    )


def _signature(outputs: str) -> ModelSignature:
    return ModelSignature(Schema([ColSpec("double", name) for name in FEATURES]), Schema([ColSpec(outputs)]))


def _logistic(inputs: pd.DataFrame, classes: np.ndarray) -> tuple[Any, ModelSignature]:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit(inputs, classes), _signature("long")


def _forest(inputs: pd.DataFrame, classes: np.ndarray) -> tuple[Any, ModelSignature]:
    from sklearn.ensemble import RandomForestClassifier

    labels = np.array(["no", "yes"])[classes]
    return RandomForestClassifier(n_estimators=20, random_state=0).fit(inputs, labels), _signature("string")


def _regression(inputs: pd.DataFrame, classes: np.ndarray) -> tuple[Any, ModelSignature]:
    from sklearn.linear_model import LinearRegression

    return LinearRegression().fit(inputs, classes), _signature("double")


_SKLEARN = {"logistic": _logistic, "forest": _forest, "regression": _regression}
