"""Which example of a model's folder is shown as a request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lakeserve.adapters.mlflow.example import request_example

SPLIT = {"columns": ["a"], "data": [[1.5]]}
FRAME = {"type": "dataframe", "pandas_orient": "split"}


def mlmodel(info: dict[str, Any] | None) -> dict[str, Any]:
    return {"saved_input_example_info": info} if info else {}


def test_the_whole_request_wins(tmp_path: Path) -> None:
    (tmp_path / "input_example.json").write_text(json.dumps(SPLIT))
    (tmp_path / "serving_input_example.json").write_text('{"inputs": [1]}')
    assert request_example(tmp_path, mlmodel(FRAME)) == {"inputs": [1]}


@pytest.mark.parametrize(
    ("info", "saved", "shown"),
    [
        (FRAME, SPLIT, {"dataframe_split": SPLIT}),
        ({"type": "ndarray", "format": "tf-serving"}, {"inputs": [[1]]}, {"inputs": [[1]]}),
        ({"type": "json_object"}, {"messages": []}, {"messages": []}),
        ({"type": "json_object"}, ["a", "b"], None),
        ({"type": "dataframe", "pandas_orient": "records"}, SPLIT, None),
        (None, SPLIT, None),
    ],
)
def test_examples_of_older_mlflow(tmp_path: Path, info: dict[str, Any] | None, saved: object, shown: object) -> None:
    (tmp_path / "input_example.json").write_text(json.dumps(saved))
    assert request_example(tmp_path, mlmodel(info)) == shown


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '{"inputs": [NaN]}', '{"inputs": "' + "x" * 70_000 + '"}', "[" * 9_999]
)
def test_what_cannot_be_shown_is_left_out(tmp_path: Path, text: str) -> None:
    (tmp_path / "serving_input_example.json").write_text(text)
    assert request_example(tmp_path, {}) is None


def test_a_model_without_example(tmp_path: Path) -> None:
    assert request_example(tmp_path, mlmodel(FRAME)) is None
