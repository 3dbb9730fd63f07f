"""The request that a model was logged with as an example.

MLflow since 2.16 writes ``serving_input_example.json``, a whole request body. Before, there is only ``input_example.json``, whose
form the MLmodel file tells (``saved_input_example_info``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MAX_BYTES = 64 * 1024
"""Examples are for reading; an image is not."""


def request_example(folder: Path, mlmodel: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """None when there is none, or none that can be shown."""
    saved = _json(folder / "serving_input_example.json")
    if isinstance(saved, dict):
        return saved
    info = mlmodel.get("saved_input_example_info")
    example = _json(folder / "input_example.json")
    if not isinstance(info, dict) or not isinstance(example, dict):
        return None
    if info.get("type") == "dataframe":
        return {"dataframe_split": example} if info.get("pandas_orient") == "split" else None
    # An array is wrapped in "inputs" by MLflow itself, and an object is the body of an LLM's request.
    return example


def _json(file: Path) -> object:
    """None for a file that is absent, too large or no JSON: a model is served without its example."""
    try:
        if file.stat().st_size > _MAX_BYTES:
            return None
        return json.loads(file.read_bytes(), parse_constant=_refuse)
    except (OSError, ValueError, RecursionError):
        return None


def _refuse(constant: str) -> object:
    # NaN is no JSON for anybody but Python, and the example is sent to others.
    raise ValueError(constant)
