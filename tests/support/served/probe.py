"""A model that does what a row of its input says, so that tests can see how the server meets it. Logged as code."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

_HOARD: list[bytearray] = []


class Probe(PythonModel):
    def load_context(self, context: Any) -> None:
        print("probe: loading", flush=True)
        if not Path(os.environ.get("PROBE_NEEDS", "/")).exists():
            raise FileNotFoundError("what the probe needs is not there")
        if reason := os.environ.get("PROBE_REFUSES"):
            raise RuntimeError(reason)
        time.sleep(float(os.environ.get("PROBE_LOADS_FOR_S", "0")))
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
    do = row.get("do")
    if do == "version":
        return context.model_config["version"]
    return _ACTS[do](row) if do in _ACTS else row.get("value")


def _tell(row: dict[str, Any]) -> Any:
    time.sleep(row.get("seconds", 0))
    return {"value": row.get("value"), "version": os.environ.get("PROBE_VERSION"), "pid": os.getpid()}


def _print(row: dict[str, Any]) -> Any:
    print(row["text"], flush=True)
    return row.get("value")


def _raise(row: dict[str, Any]) -> None:
    raise KeyError(row["text"])


def _hang(row: dict[str, Any]) -> None:
    while True:
        time.sleep(60)


def _grow(row: dict[str, Any]) -> None:
    """As a leak does, until somebody ends the process."""
    while True:
        _HOARD.append(bytearray(os.urandom(1024) * 8192))
        time.sleep(0.01)


def _note(row: dict[str, Any]) -> Any:
    """Leave a trace of having been run."""
    with Path(row["file"]).open("a") as file:
        file.write(f"{row['value']}\n")
    if "pid_file" in row:
        Path(row["pid_file"]).write_text(str(os.getpid()))
    _wait(row)
    return row["value"]


def _wait_after_begin(row: dict[str, Any]) -> Any:
    Path(row["began"]).touch()
    _wait(row)
    return row.get("value")


_ACTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pid": lambda row: os.getpid(),
    "environ": lambda row: os.environ.get(row["name"]),
    "spawn": lambda row: subprocess.Popen(["sleep", "1000"], start_new_session=True).pid,
    "exit": lambda row: os._exit(7),
    "tell": _tell,
    "print": _print,
    "raise": _raise,
    "hang": _hang,
    "grow": _grow,
    "note": _note,
    "wait": _wait_after_begin,
}

set_model(Probe())
