"""A model that does what a row of its input says, so that tests can see how the server meets it. Logged as code."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Probe(PythonModel):
    def load_context(self, context: Any) -> None:
        print("probe: loaded", flush=True)

    def predict(self, context, model_input, params=None) -> list[Any]:
        return [_act(row, context) for row in _rows(model_input)]

    def predict_stream(self, context, model_input, params=None) -> Iterator[dict[str, Any]]:
        (row,) = _rows(model_input)
        try:
            for number in range(int(row["count"])):
                yield {"number": number, "pid": os.getpid()}
                _wait(row)
                if row.get("fail_at") == number:
                    raise ValueError("the stream broke")
        finally:
            print("probe: stream closed", flush=True)


def _rows(model_input: Any) -> list[dict[str, Any]]:
    if hasattr(model_input, "to_dict"):
        return list(model_input.to_dict("records"))
    return model_input if isinstance(model_input, list) else [model_input]


def _wait(row: dict[str, Any]) -> None:
    """Until a file appears: what a test orders by, instead of by time."""
    path = row.get("until")
    while isinstance(path, str) and not Path(path).exists():
        time.sleep(0.01)


def _act(row: dict[str, Any], context: Any) -> Any:
    match row.get("do"):
        case "version":
            return context.model_config["version"]
        case "pid":
            return os.getpid()
        case "environ":
            return os.environ.get(row["name"])
        case "print":
            print(row["text"], flush=True)
        case "raise":
            raise KeyError(row["text"])
        case "exit":
            os._exit(7)
        case "hang":
            while True:
                time.sleep(60)
        case "wait":
            Path(row["began"]).touch()
            _wait(row)
    return row.get("value")


set_model(Probe())
